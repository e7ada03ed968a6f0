use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", on_unreachable = rejct)]
async fn rename(id: u64) -> Result<u64, cache_runtime::Error> {
    Ok(id)
}

#[invalidates(key = "user:{id}", on_unreachable = "reject")]
async fn rename_quoted(id: u64) -> Result<u64, cache_runtime::Error> {
    Ok(id)
}

fn main() {}
