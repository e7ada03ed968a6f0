use cache_runtime::invalidates;

struct Transaction<'a>(&'a mut u64);

#[invalidates(key = "user:{id}")]
async fn rename(id: u64, tx: &mut Transaction<'_>) {
    *tx.0 = id;
}

fn main() {}
