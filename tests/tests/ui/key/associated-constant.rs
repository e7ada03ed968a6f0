use cache_runtime::cached;

struct Users;

impl Users {
    const SHARD: u32 = 7;

    #[cached(ttl = "5m", key = "users:{Self::SHARD}")]
    async fn count() -> u32 {
        Self::SHARD
    }
}

fn main() {}
