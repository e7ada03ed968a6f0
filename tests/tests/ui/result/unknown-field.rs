use cache_runtime::invalidates;

struct Order {
    number: u64,
}

#[invalidates(key = "order:{result.id}")]
async fn place() -> std::io::Result<Order> {
    Ok(Order { number: 7 })
}

fn main() {}
