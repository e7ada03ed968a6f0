use cache_runtime::cached;

#[cached(ttl = |user| user.ttl, key = "user:{id}")]
async fn user(id: u64) -> Result<String, std::io::Error> {
    Ok(id.to_string())
}

fn main() {}
