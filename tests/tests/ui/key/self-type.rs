use cache_runtime::cached;

struct Repo {
    shard: u32,
}

impl Repo {
    #[cached(ttl = "5m", key = "user:{Self.shard}:{id}")]
    async fn user(&self, id: u64) -> u64 {
        id + u64::from(self.shard)
    }

    #[cached(ttl = "5m", key = "name:{Self:json}:{id}")]
    async fn name(&self, id: u64) -> u64 {
        id
    }
}

#[cached(ttl = "5m", key = "free:{Self}:{id}")]
async fn free(id: u64) -> u64 {
    id
}

fn main() {}
