use cache_runtime::invalidates;

#[invalidates(key = "user:*", tags = ["tenant:{tenant}:*"])]
async fn clear(tenant: u32) {
    let _ = tenant;
}

fn main() {}
