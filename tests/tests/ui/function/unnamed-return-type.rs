use cache_runtime::cached;

#[cached(ttl = "5m", key = "users:{n}")]
async fn users(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

fn main() {}
