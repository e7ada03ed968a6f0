use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", negative = DbError::NotFound)]
async fn user(id: u64) -> Result<u64, DbError> {
    Ok(id)
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
enum DbError {
    NotFound,
}

fn main() {}
