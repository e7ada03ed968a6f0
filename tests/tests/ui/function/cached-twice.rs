use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
#[cached(ttl = "1m", key = "person:{id}")]
async fn user(id: u32) -> u32 {
    id
}

fn main() {}
