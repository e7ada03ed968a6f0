use cache_runtime::cached;

struct Session;

#[cached(ttl = "5m", key = "session:{id}", handle = session_entry)]
async fn session(id: u64) -> Option<Session> {
    let _ = id;
    None
}

fn main() {}
