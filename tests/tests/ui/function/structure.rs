use cache_runtime::cached;

#[cached(ttl = "5m")]
struct User;

fn main() {}
