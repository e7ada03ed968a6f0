use cache_runtime::cached;

#[cached(ttl = "5m", name = "users get")]
async fn user(id: u64) -> String {
    id.to_string()
}

fn main() {}
