use cache_runtime::cached;

struct Page {
    number: u32,
}

#[cached(ttl = "5m", key = "page:{page.nubmer}", skip(page))]
async fn page(page: Page) -> u32 {
    page.number
}

fn main() {}
