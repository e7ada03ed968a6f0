use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", overload = reject)]
async fn user(id: u64) -> Result<u64, std::num::ParseIntError> {
    Ok(id)
}

fn main() {}
