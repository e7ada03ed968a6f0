use cache_runtime::cached;

fn seconds() -> u64 {
    300
}

#[cached(ttl = seconds(), key = "user:{id}")]
async fn user(id: u64) -> Result<String, std::io::Error> {
    Ok(id.to_string())
}

fn main() {}
