use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", handle = "user_entry")]
async fn user(id: u64) -> String {
    id.to_string()
}

fn main() {}
