use cache_runtime::cached;

#[cached(ttl = "5m", key = "pages:{from}", skip(to), handle = pages_entry)]
async fn pages((from, to): (u64, u64)) -> u64 {
    to - from
}

fn main() {}
