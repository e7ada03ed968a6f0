use std::time::Duration;

use cache_runtime::cached;

struct Users(Duration);

impl Users {
    #[cached(ttl = |_| self.0, key = "user:{id}", handle = user_entry)]
    async fn user(&self, id: u64) -> String {
        id.to_string()
    }
}

fn main() {}
