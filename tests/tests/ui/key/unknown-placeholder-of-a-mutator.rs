use cache_runtime::invalidates;

#[invalidates(keys = ["user:{id}", "user:{di}"])]
async fn rename(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
