use cache_runtime::cached;
use cache_runtime::invalidates;

#[cached(time = 60)]
async fn a(id: u64) -> u64 {
    id
}

#[cached(ttl_secs = 60, size = 100)]
async fn b(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", convert = r#"{ format!("{}", id) }"#, sync_writes = true)]
async fn c(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", result = true)]
async fn d(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[cached(ttl = "5m", force_refresh = fresh, skip(fresh))]
async fn e(id: u64, fresh: bool) -> u64 {
    id + u64::from(fresh)
}

#[invalidates(entry = user_entry(&id))]
async fn rename(id: u64) {
    let _ = id;
}

fn main() {}
