use cache_runtime::cached;

struct Filter;

#[cached(ttl = "5m", key = "found:{filter:json}")]
async fn found(filter: &Filter) -> u64 {
    7
}

fn main() {}
