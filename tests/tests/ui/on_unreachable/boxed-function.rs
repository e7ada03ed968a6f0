use cache_runtime::invalidates;

#[async_trait::async_trait]
trait Users {
    async fn rename(&self, id: u64) -> std::io::Result<u64>;
}

#[async_trait::async_trait]
impl Users for () {
    #[invalidates(key = "user:{id}", on_unreachable = reject)]
    async fn rename(&self, id: u64) -> std::io::Result<u64> {
        Ok(id)
    }
}

fn main() {}
