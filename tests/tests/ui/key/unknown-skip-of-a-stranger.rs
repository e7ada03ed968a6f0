use cache_runtime::cached;

#[cached(ttl = "5m", skip(db))]
async fn user(id: u32) -> u32 {
    id
}

fn main() {}
