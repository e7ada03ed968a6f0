use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
async fn user(tenant: &str, id: u64) -> Result<String, std::io::Error> {
    Ok(format!("{tenant}{id}"))
}

fn main() {}
