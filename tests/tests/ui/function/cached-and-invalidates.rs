use cache_runtime::cached;
use cache_runtime::invalidates;

#[cached(ttl = "5m", key = "user:{id}")]
#[invalidates(tags = ["users"])]
async fn one(id: u32) -> u32 {
    id
}

#[invalidates(tags = ["users"])]
#[cache_runtime::cached(ttl = "5m", key = "user:{id}")]
async fn other(id: u32) -> u32 {
    id
}

fn main() {}
