use cache_runtime::cached;

#[cached(tll = "5m", key = "user:{uid}:{name", skip(tenat), tags = ["users", 3, "{ident}"], jitter = 1.5)]
fn user(id: u64, tenant: String) -> u64 {
    id + tenant.len() as u64
}

fn main() {
    // Still resolves, and is not async.
    let _: u64 = user(1, String::new());
}
