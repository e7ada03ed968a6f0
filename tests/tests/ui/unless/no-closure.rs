use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", unless = x > 3)]
async fn compared(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "user:{id}", unless = "draft")]
async fn quoted(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "user:{id}", unless = |a, b| a > b)]
async fn of_two(id: u64) -> u64 {
    id
}

fn main() {}
