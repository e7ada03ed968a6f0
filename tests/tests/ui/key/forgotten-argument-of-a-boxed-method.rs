use cache_runtime::cached;

#[async_trait::async_trait]
trait Pages {
    async fn page(&self, page: (u32, u32), tenant: String) -> u32;
}

#[async_trait::async_trait]
impl Pages for () {
    #[cached(ttl = "5m", key = "page:{number}")]
    async fn page(&self, (number, size): (u32, u32), tenant: String) -> u32 {
        number * size + tenant.len() as u32
    }
}

fn main() {}
