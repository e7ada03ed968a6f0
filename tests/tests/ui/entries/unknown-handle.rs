use cache_runtime::invalidates;

#[invalidates(entries = [user_entry(&id)])]
async fn rename(id: u64) -> u64 {
    id
}

fn main() {}
