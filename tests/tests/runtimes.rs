//! One installed cache under many runtimes, one after the other and side by side, as `#[tokio::test]` makes them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::cached;
use cache_runtime::install;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

static ROW: AtomicU64 = AtomicU64::new(0);
static LOADS: AtomicU64 = AtomicU64::new(0);

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"])]
async fn read(id: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::SeqCst);
    tokio::task::yield_now().await;
    id + ROW.load(Ordering::SeqCst)
}

#[invalidates(tags = ["rows"])]
async fn write() -> u64 {
    ROW.fetch_add(1000, Ordering::SeqCst) + 1000
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn one_installed_cache_serves_many_runtimes() {
    let server = Server::start();
    let cache = Cache::builder().url(&server.url()).op_timeout(Duration::from_secs(5));
    let cache = cache.connect_timeout(Duration::from_secs(5)).build().unwrap();
    install(cache.clone()).unwrap();
    assert!(install(Cache::memory()).is_err(), "a second one would not hear of the first one's invalidations");

    for _ in 0..5 {
        // Each runtime ends, with everything on it, before the next begins.
        let written = runtime().block_on(write());
        assert_eq!(runtime().block_on(read(7)), 7 + written);
        runtime().block_on(async {
            while cache.stats().function("read").fills == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert_eq!(runtime().block_on(read(7)), 7 + written);
    }
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    assert_eq!(paused.block_on(read(7)), 7 + ROW.load(Ordering::SeqCst), "a clock that jumps is not the cache's");
    assert_eq!(cache.stats().total.store_failures, 0);

    thread::scope(|threads| {
        for id in 0..4 {
            threads.spawn(move || {
                let runtime = runtime();
                for _ in 0..50 {
                    let written = ROW.load(Ordering::SeqCst);
                    assert!(runtime.block_on(read(id)) >= id + written);
                    if id == 0 {
                        runtime.block_on(write());
                    }
                }
            });
        }
    });
    assert!(cache.stats().total.hits > 0);
    assert_eq!(cache.pending(), 0);
}

#[cached(ttl = "10s", key = "slow:{id}", skip(takes), jitter = 0, stale_if_error = "1m", soft_timeout = "10ms")]
async fn slow(takes: Duration, id: u64) -> u64 {
    let began = Instant::now();
    poll_fn(|_| if began.elapsed() < takes { Poll::Pending } else { Poll::Ready(()) }).await;
    id + ROW.load(Ordering::SeqCst)
}

/// Polls `future` until it has ended, outside of any runtime.
fn without_a_runtime<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn where_no_load_can_go_on_beside_its_caller_a_slow_one_is_waited_for() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let read = |takes, id| without_a_runtime(scope(cache.clone(), slow(takes, id)));
    read(Duration::ZERO, 7);
    clock.advance(Duration::from_secs(20));
    let loads = cache.stats().total.loads;
    read(Duration::from_millis(200), 7);
    let counts = cache.stats().total;
    assert_eq!((counts.loads - loads, counts.stale), (1, 0));
}
