use cache_runtime::{cached, invalidates};

#[cached(ttl = "5m", key = "user:{id}", handle = user_entry)]
async fn user(id: u64) -> String {
    id.to_string()
}

#[invalidates(entries = [user_entry(&name)])]
async fn rename(name: String) -> String {
    name
}

fn main() {}
