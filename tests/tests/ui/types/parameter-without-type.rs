use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
async fn user(id: UserId) -> u64 {
    id.0
}

fn main() {}
