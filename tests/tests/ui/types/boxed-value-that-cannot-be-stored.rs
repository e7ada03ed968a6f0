use cache_runtime::cached;

struct Session;

#[async_trait::async_trait]
trait Sessions {
    async fn session(&self, id: u64) -> Option<Session>;
}

#[async_trait::async_trait]
impl Sessions for () {
    #[cached(ttl = "5m", key = "session:{id}")]
    async fn session(&self, id: u64) -> Option<Session> {
        let _ = id;
        Some(Session)
    }
}

fn main() {}
