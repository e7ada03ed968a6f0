use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
async fn user(id: u64) -> Result<u64, std::io::Error> {
    if id == 0 {
        return "none";
    }
    Ok(id)
}

fn main() {}
