use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", stale_while_revalidate = 30, stale_if_error = "soon", time_to_idle = true)]
async fn user(id: u64) -> u64 {
    id
}

fn main() {}
