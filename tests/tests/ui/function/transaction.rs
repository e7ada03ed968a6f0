use cache_runtime::cached;

struct Transaction<'a>(&'a mut u64);

#[cached(ttl = "5m", key = "user:{id}", skip(tx))]
async fn user(tx: &mut Transaction<'_>, id: u64) -> u64 {
    *tx.0 + id
}

fn main() {}
