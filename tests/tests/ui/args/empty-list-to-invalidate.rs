use cache_runtime::invalidates;

#[invalidates(tags = [], mode = after)]
async fn rename(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
