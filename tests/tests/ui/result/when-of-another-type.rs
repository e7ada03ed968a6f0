use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = after, when = |changed: &bool| *changed)]
async fn rename(id: u64) -> Result<u64, std::io::Error> {
    Ok(id)
}

fn main() {}
