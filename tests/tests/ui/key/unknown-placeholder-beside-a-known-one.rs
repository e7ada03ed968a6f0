use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}:{locale}")]
async fn user(id: u32) -> u32 {
    id
}

#[cached(ttl = "5m", key = "user:{id}:{locale}")]
async fn named(id: u32, language: &str) -> String {
    format!("{id} {language}")
}

fn main() {}
