use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", stale_while_revalidate = "30s", even_invalidated)]
async fn user(id: u64) -> u64 {
    id
}

fn main() {}
