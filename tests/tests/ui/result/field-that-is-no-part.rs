use cache_runtime::invalidates;

struct Order {
    weight: f64,
}

#[invalidates(tags = ["weight:{result.weight}"])]
async fn place() -> Option<Order> {
    Some(Order { weight: 7.5 })
}

fn main() {}
