use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", version = 99999999999)]
async fn user(id: u64) -> String {
    id.to_string()
}

fn main() {}
