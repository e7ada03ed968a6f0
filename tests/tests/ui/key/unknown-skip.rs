use cache_runtime::cached;

struct Db;

#[cached(ttl = "5m", key = "user:{id}", skip(dbb, id))]
async fn user(db: &Db, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
