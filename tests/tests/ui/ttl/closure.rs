use cache_runtime::cached;
use cache_runtime::invalidates;

#[cached(ttl = |a, b| a + b, key = "user:{id}")]
async fn of_two(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "user:{id}", negative_ttl = |user| user.ttl)]
async fn negative(id: u64) -> Option<u64> {
    Some(id)
}

#[invalidates(key = "user:{id}", hold_off = || LONG)]
async fn held(id: u64) -> u64 {
    id
}

fn main() {}
