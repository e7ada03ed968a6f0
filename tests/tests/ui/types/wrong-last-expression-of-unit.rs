use cache_runtime::invalidates;

#[invalidates(key = "user:{id}")]
async fn rename(id: u64) {
    id
}

fn main() {}
