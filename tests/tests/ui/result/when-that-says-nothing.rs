use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = after, when = |count| count)]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
