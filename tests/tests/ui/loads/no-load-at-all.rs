use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", max_loads = 0)]
async fn user(id: u64) -> u64 {
    id
}

fn main() {}
