use cache_runtime::cached;

#[cached(ttl = "5m", key = "default:{N}")]
async fn default<T: Default, const N: usize>() -> usize {
    let _ = T::default();
    N
}

fn main() {}
