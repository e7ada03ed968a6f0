use cache_runtime::cached;

#[async_trait::async_trait]
trait Users {
    async fn user(&self, id: u64) -> String;
}

struct Shop;

#[async_trait::async_trait]
impl Users for Shop {
    #[cached(ttl = "5m", key = "user:{id}", handle = user_entry)]
    async fn user(&self, id: u64) -> String {
        id.to_string()
    }
}

fn main() {}
