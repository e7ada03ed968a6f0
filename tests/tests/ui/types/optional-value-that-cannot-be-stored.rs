use cache_runtime::cached;

struct Session;

#[cached(ttl = "5m", key = "session:{id}")]
async fn session(id: u64) -> Result<Option<Session>, std::io::Error> {
    let _ = id;
    Ok(None)
}

fn main() {}
