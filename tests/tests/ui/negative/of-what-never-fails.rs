use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", negative = |error| true, negative_ttl = "30s")]
async fn user(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
