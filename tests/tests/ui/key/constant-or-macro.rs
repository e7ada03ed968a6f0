use cache_runtime::cached;
use cache_runtime::invalidates;

const KEY: &str = "user:{id}";

#[cached(ttl = "5m", key = KEY)]
async fn by_constant(id: u32) -> u32 {
    id
}

#[cached(ttl = "5m", key = format!("user:{id}"))]
async fn by_macro(id: u32) -> u32 {
    id
}

#[invalidates(tags = ["users", KEY])]
async fn rename(id: u32) {
    let _ = (id, KEY);
}

fn main() {}
