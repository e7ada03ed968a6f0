use cache_runtime::{cached, invalidates};

#[cached(ttl = "5m", key = "user:{id}", handle = user_entry)]
async fn user(id: u64) -> String {
    id.to_string()
}

#[invalidates(entries = user_entry(&id))]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
