//! A hit in process through an annotated function, beside a bare look-up in the map behind it.
//!
//! `cargo run --release -p benches --bin local_hit`

use std::hint::black_box;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

use benches::Side;
use benches::medians;
use cache_runtime::cached;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde::Serialize;

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

#[cached(ttl = "1h", key = "user:{tenant}:{id}")]
async fn user(tenant: &str, id: u64) -> Arc<User> {
    Arc::new(User { name: format!("{tenant} {id}") })
}

#[cached(ttl = "1h", key = "tagged:{tenant}:{id}", tags = ["users", "all"])]
async fn two_tags(tenant: &str, id: u64) -> Arc<User> {
    Arc::new(User { name: format!("{tenant} {id}") })
}

#[cached(ttl = "1h", key = "dynamic:{tenant}:{id}", tags = ["users", "tenant:{tenant}"])]
async fn dynamic_tags(tenant: &str, id: u64) -> Arc<User> {
    Arc::new(User { name: format!("{tenant} {id}") })
}

const COUNT: u32 = 200_000;

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn time(mut operation: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..COUNT {
        operation();
    }
    start.elapsed()
}

fn main() {
    let floor = Cache::<(&str, u64), Arc<User>>::new(100_000);
    floor.insert(("acme", 7), Arc::new(User { name: String::new() }));
    let mut sides: Vec<Side<'_>> = vec![
        ("quick_cache, borrowed key", Box::new(|| time(|| drop(black_box(floor.get(&(black_box("acme"), 7_u64))))))),
        ("annotated function", Box::new(|| time(|| drop(black_box(now(user(black_box("acme"), 7))))))),
        ("with two fixed tags", Box::new(|| time(|| drop(black_box(now(two_tags(black_box("acme"), 7))))))),
        ("with a tag of the arguments", Box::new(|| time(|| drop(black_box(now(dynamic_tags(black_box("acme"), 7))))))),
    ];
    let medians = medians(&mut sides, 15, COUNT);
    println!("one hot key (tenant, id), value behind an `Arc`, one thread, median of 15 runs of {COUNT}");
    for ((name, _), nanos) in sides.iter().zip(&medians) {
        println!("{name:>28}  {nanos:>6.1} ns  {:>5.2} of the floor", nanos / medians[0]);
    }
    let allocations = allocation_counter::measure(|| drop(black_box(now(user("acme", 7)))));
    println!("allocations of a hit: {}", allocations.count_total);
}
