use cache_runtime::cached;

struct Page {
    number: u32,
    size: u32,
}

#[cached(ttl = "5m", key = "page:{page.number}")]
async fn page(page: Page) -> u32 {
    page.number * page.size
}

fn main() {}
