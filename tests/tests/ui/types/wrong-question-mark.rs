use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
async fn user(id: String) -> Result<u64, std::io::Error> {
    Ok(id.parse::<u64>()?)
}

fn main() {}
