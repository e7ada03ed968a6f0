use cache_runtime::cached;

#[cached(ttl = "5m", key = "order:{id}", tags = ["customer:{result.customer}"])]
async fn order(id: u64) -> u64 {
    id
}

fn main() {}
