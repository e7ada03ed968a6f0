use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = after, on_unreachable = reject)]
async fn rename(id: u64) -> Result<u64, cache_runtime::Error> {
    Ok(id)
}

fn main() {}
