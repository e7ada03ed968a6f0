use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", mode = linearisable)]
async fn rename(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

fn main() {}
