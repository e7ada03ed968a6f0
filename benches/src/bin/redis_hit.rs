//! A hit on Redis through an annotated function, beside a bare `GET` and decode on a connection of the same kind.
//!
//! `cargo run --release -p benches --bin redis_hit` starts its own server.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    text: String,
}

#[cached(ttl = "1h", key = "user:{id}", skip(size))]
async fn user(id: u64, size: usize) -> User {
    User { id, text: "x".repeat(size) }
}

#[cached(ttl = "1h", key = "tagged:{id}", skip(size), tags = ["users", "user:{id}"])]
async fn tagged(id: u64, size: usize) -> User {
    User { id, text: "x".repeat(size) }
}

const KEYS: u64 = 100;

async fn get(mut connection: MultiplexedConnection, id: u64) -> User {
    let bytes: Vec<u8> = redis::cmd("GET").arg(format!("floor:{id}")).query_async(&mut connection).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Runs `operation` from `callers` at once, `count` times in all, and returns operations per second.
async fn rate<F: Future<Output = User> + Send + 'static>(
    callers: u64,
    count: u64,
    operation: impl Fn(u64) -> F + Clone + Send + 'static,
) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let operation = operation.clone();
        tasks.spawn(scope::current().carry(async move {
            for turn in 0..count / callers {
                let id = (caller + turn) % KEYS;
                assert_eq!(operation(id).await.id, id);
            }
        }));
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn compare(url: String, size: usize) {
    let info = redis::Client::open(url.as_str()).unwrap();
    let mut connection = info.get_multiplexed_async_connection().await.unwrap();
    for id in 0..KEYS {
        let value = serde_json::to_vec(&User { id, text: "x".repeat(size) }).unwrap();
        let _: () = redis::cmd("SET").arg(format!("floor:{id}")).arg(value).query_async(&mut connection).await.unwrap();
        user(id, size).await;
        tagged(id, size).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for callers in [1, 64] {
        let count = if callers == 1 { 4_000 } else { 128_000 } / if size > 1000 { 4 } else { 1 };
        let (mut floor, mut plain, mut with_tags) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..7 {
            let connection = connection.clone();
            floor.push(rate(callers, count, move |id| get(connection.clone(), id)).await);
            plain.push(rate(callers, count, move |id| user(id, size)).await);
            with_tags.push(rate(callers, count, move |id| tagged(id, size)).await);
        }
        let (floor, plain, with_tags) = (median(floor), median(plain), median(with_tags));
        println!(
            "{size:>6} B, {callers:>2} callers: GET and decode {floor:>8.0}/s, hit {plain:>8.0}/s ({:.2}), with two tags {with_tags:>8.0}/s ({:.2})",
            plain / floor,
            with_tags / floor
        );
    }
}

fn main() {
    let server = Arc::new(Server::start());
    for size in [200, 10_000] {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("{}?namespace=size{size}", server.url());
            let cache = Cache::builder().url(&url).op_timeout(Duration::from_secs(5)).connect().await.unwrap();
            scope(cache.clone(), compare(server.url(), size)).await;
            assert_eq!(cache.stats().total.store_failures, 0);
            assert!(cache.stats().total.loads <= 2 * KEYS);
        });
    }
}
