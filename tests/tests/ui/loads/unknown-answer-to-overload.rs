use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", overload = fail)]
async fn user(id: u64) -> u64 {
    id
}

fn main() {}
