use cache_runtime::invalidates;

#[invalidates(key = "user:{result}")]
async fn rename() -> impl Into<u64> {
    7_u32
}

fn main() {}
