use cache_runtime::cached;

#[cached(ttl = "5m", key = "users:{r#type}")]
async fn users(r#type: u32) -> u32 {
    r#type
}

fn main() {}
