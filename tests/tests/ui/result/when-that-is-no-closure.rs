use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = after, when = id > 3)]
async fn compared(id: u64) -> u64 {
    id
}

#[invalidates(key = "user:{id}", mode = after, when = || true)]
async fn of_none(id: u64) -> u64 {
    id
}

fn main() {}
