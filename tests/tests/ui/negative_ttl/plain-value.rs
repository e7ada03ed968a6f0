use cache_runtime::cached;

#[cached(ttl = "5m", negative_ttl = "30s", key = "user:{id}")]
async fn user(id: u64) -> String {
    id.to_string()
}

fn main() {}
