use cache_runtime::cached;

trait Users {
    async fn user(&self, id: u64) -> String;
}

struct Shop;

impl Users for Shop {
    #[cached(ttl = "5m", key = "user:{id}", handle = user_entry)]
    async fn user(&self, id: u64) -> String {
        id.to_string()
    }
}

fn main() {}
