use cache_runtime::invalidates;

#[invalidates(key = "user:{id}")]
fn rename(id: u64) {
    let _ = id;
}

fn main() {}
