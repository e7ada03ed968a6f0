use cache_runtime::invalidates;

#[invalidates(key = "user:{result}")]
async fn rename(id: u64) -> Result<(), String> {
    let _ = id;
    Ok(())
}

#[invalidates(key = "user:{id}", tags = ["name:{result.name}"])]
async fn remove(id: u64) {
    let _ = id;
}

fn main() {}
