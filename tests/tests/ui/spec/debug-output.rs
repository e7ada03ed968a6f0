use cache_runtime::invalidates;

#[invalidates(tags = ["user:{id:?}"])]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
