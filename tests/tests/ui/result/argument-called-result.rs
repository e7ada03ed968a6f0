use cache_runtime::invalidates;

#[invalidates(key = "order:{result.id}")]
async fn place(result: u64) -> u64 {
    result
}

fn main() {}
