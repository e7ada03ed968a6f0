use cache_runtime::cached;

#[cached(ttl = "5m", key = "user:{id}", stale_while_revalidate = "30s")]
async fn user(id: u64) -> u64 {
    let shared = std::rc::Rc::new(id);
    std::future::ready(()).await;
    *shared
}

fn main() {}
