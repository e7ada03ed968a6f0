use cache_runtime::cached;

#[cached(ttl = "5m", key = "count:{T:json}")]
async fn count<T: Into<u64>>() -> u64 {
    7
}

fn main() {}
