use cache_runtime::cached;

#[cached(tll = "5m", key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> Result<String, std::io::Error> {
    Ok(id.to_string())
}

fn main() {}
