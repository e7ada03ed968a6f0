use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", on_unreachable = reject)]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
