use cache_runtime::cached;

#[cached(ttl = "5m", key = "name:{id}", skip(names))]
async fn name(id: u64, names: &[String]) -> &str {
    &names[id as usize]
}

fn main() {}
