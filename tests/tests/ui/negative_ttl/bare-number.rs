use cache_runtime::cached;

#[cached(ttl = "5m", negative_ttl = 30, key = "user:{id}")]
async fn user(id: u64) -> Option<String> {
    Some(id.to_string())
}

fn main() {}
