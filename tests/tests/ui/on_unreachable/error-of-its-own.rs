use cache_runtime::invalidates;

struct DbError;

#[invalidates(key = "user:{id}", on_unreachable = reject)]
async fn rename(id: u64) -> Result<Vec<u64>, DbError> {
    if id == 0 { Err(DbError) } else { Ok(vec![id]) }
}

fn main() {}
