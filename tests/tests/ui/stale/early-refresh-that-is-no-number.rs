use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", early_refresh = "1s")]
async fn user(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "order:{id}", early_refresh = 0.0)]
async fn order(id: u64) -> u64 {
    id
}

fn main() {}
