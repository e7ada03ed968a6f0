use cache_runtime::cached;

struct Name<'a>(&'a str);

#[cached(ttl = "5m", key = "name:{id}", skip(names))]
async fn name(id: usize, names: &[String]) -> Name<'_> {
    Name(&names[id])
}

fn main() {}
