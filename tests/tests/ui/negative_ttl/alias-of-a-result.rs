use cache_runtime::cached;

#[cached(ttl = "5m", negative_ttl = std::time::Duration::from_secs(30), key = "user:{id}")]
async fn user(id: u64) -> std::io::Result<String> {
    Ok(id.to_string())
}

fn main() {}
