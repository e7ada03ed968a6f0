use cache_runtime::cached;

#[cached(ttl = "5m", key = "{a}-{b}")]
async fn both(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {}
