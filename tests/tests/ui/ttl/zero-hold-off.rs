use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", hold_off = "0m 0s")]
async fn rename(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
