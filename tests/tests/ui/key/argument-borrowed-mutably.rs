use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}")]
async fn by_key(id: u32, seen: &mut Vec<u32>) -> u32 {
    seen.push(id);
    id
}

#[cached(ttl = "5m")]
async fn without_key(id: u32, seen: &mut Vec<u32>) -> u32 {
    seen.push(id);
    id
}

#[cached(ttl = "5m", key = "user:{id}", skip(connection))]
async fn skipped(id: u32, connection: &mut u32) -> u32 {
    *connection + id
}

fn main() {}
