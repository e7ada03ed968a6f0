use std::time::Duration;

use cache_runtime::cached;

#[cached(ttl = keep, key = "user:{id}", skip(keep), handle = user_entry)]
async fn user(id: u64, keep: Duration) -> String {
    id.to_string()
}

fn main() {}
