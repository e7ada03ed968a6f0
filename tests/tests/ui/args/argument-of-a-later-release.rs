use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", local = "1s")]
async fn user(id: u64) -> Result<String, std::io::Error> {
    Ok(id.to_string())
}

fn main() {}
