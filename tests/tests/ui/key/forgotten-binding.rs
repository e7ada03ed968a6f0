use cache_runtime::cached;

#[cached(ttl = "5m", key = "page:{number}")]
async fn page((number, size): (u32, u32)) -> u32 {
    number * size
}

fn main() {}
