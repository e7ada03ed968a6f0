use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", version = id)]
async fn user(id: u32) -> String {
    id.to_string()
}

fn main() {}
