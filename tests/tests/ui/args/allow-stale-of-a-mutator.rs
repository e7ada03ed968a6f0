use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", allow_stale)]
async fn rename(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
