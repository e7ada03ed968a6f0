use cache_runtime::cached;

#[cached(ttl = "5m", key = "{T.name}:{id}")]
async fn user<T>(id: u64) -> u64 {
    id
}

fn main() {}
