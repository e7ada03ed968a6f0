use cache_runtime::cached;

struct Session;

struct Shop;

impl Shop {
    #[cached(ttl = "5m", key = "session:{id}")]
    async fn session(&self, id: u64) -> Result<Session, std::io::Error> {
        let _ = id;
        Ok(Session)
    }
}

fn main() {}
