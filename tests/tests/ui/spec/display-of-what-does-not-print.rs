use cache_runtime::cached;

struct Locale;

#[cached(ttl = "5m", key = "page:{locale:display}")]
async fn page(locale: &Locale) -> u64 {
    7
}

fn main() {}
