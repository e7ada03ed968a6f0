//! A call while the store does not answer: what an open breaker adds to the load that every call then is.
//!
//! `cargo run --release --bin shed` starts a server of its own, and silences it.

use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

use benches::rounds::Contender;
use benches::rounds::race;
use benches::server::Server;
use benches::table::Table;
use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

fn main() {
    let server = Server::start();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cache = runtime.block_on(async {
        let builder = Cache::builder().url(&server.url()).breaker(5, Duration::from_secs(3600));
        let cache = builder.connect().await.expect("a cache");
        scope(cache.clone(), load(1)).await;
        server.silence();
        // This one waits for its deadline, and opens the breaker.
        scope(cache.clone(), load(2)).await;
        cache
    });
    let before = cache.stats().total;
    let outcomes = race(
        &mut [
            Contender::new("the body alone", || time(&runtime, || body(black_box(7)))),
            Contender::new("past the cache, as `when` says", || {
                time(&runtime, || scope(cache.clone(), past(black_box(7))))
            }),
            Contender::new("with the breaker open", || time(&runtime, || scope(cache.clone(), load(black_box(7))))),
        ],
        ROUNDS,
    );
    let since = cache.stats().total.since(before);
    assert_eq!(since.store_failures, 0, "the store was asked: {since:?}");
    let mut table = Table::new(["a call that loads", "µs"]);
    for outcome in outcomes {
        table.row([outcome.name, format!("{:.2}", outcome.measured)]);
    }
    println!("A call while the store does not answer, where asking it takes 100,000 µs:\n\n{table}");
}

/// Nothing at all, so that what is seen is what is added.
async fn body(id: u64) -> u64 {
    id
}

#[cached(ttl = "1h", key = "load:{id}")]
async fn load(id: u64) -> u64 {
    body(id).await
}

#[cached(ttl = "1h", key = "past:{id}", when = id == 0)]
async fn past(id: u64) -> u64 {
    body(id).await
}

/// Microseconds for each call.
fn time<F: Future>(runtime: &Runtime, call: impl Fn() -> F) -> f64 {
    runtime.block_on(async {
        let began = Instant::now();
        for _ in 0..CALLS {
            black_box(call().await);
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    })
}

const CALLS: u32 = 20_000;
const ROUNDS: usize = 15;
