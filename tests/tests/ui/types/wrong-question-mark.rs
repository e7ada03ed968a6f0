use cache_runtime::cached;

struct DbError;

#[cached(ttl = "5m", key = "user:{id}")]
async fn user(id: String) -> Result<u64, DbError> {
    Ok(id.parse::<u64>()?)
}

fn main() {}
