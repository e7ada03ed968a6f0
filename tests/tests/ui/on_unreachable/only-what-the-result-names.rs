use cache_runtime::invalidates;

#[invalidates(key = "user:{result}", tags = ["of:{result}"], on_unreachable = reject)]
async fn add() -> Result<u64, cache_runtime::Error> {
    Ok(1)
}

fn main() {}
