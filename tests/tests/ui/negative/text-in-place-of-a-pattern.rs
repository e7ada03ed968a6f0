use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", negative = "NotFound", negative_ttl = "30s")]
async fn user(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
