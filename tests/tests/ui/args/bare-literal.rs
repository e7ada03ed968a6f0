use cache_runtime::cached;

#[cached("5m")]
async fn user(id: u64) -> Result<String, std::io::Error> {
    Ok(id.to_string())
}

fn main() {}
