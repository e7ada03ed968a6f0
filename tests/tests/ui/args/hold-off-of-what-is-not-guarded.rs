use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = after, hold_off = "10s")]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
