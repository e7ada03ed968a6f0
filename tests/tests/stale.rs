//! Values past their time: who is given one, who refreshes it, and that nobody is given one that was invalidated.

#[allow(unused_macros, reason = "these laws need a clock that they hold")]
mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Explanation;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Stale;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;

use crate::common::Row;
use crate::common::until;

/// A row that can be out of reach.
struct Source {
    row: Arc<Row>,
    fails: AtomicBool,
}

impl Source {
    fn new() -> Arc<Self> {
        Arc::new(Self { row: Row::new(), fails: AtomicBool::new(false) })
    }

    async fn read(&self) -> Result<u64, String> {
        let value = self.row.read().await;
        if self.fails.load(Ordering::SeqCst) { Err("out of reach".to_owned()) } else { Ok(value) }
    }

    fn fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// From here on loads wait until they are let go on.
    fn hold(&self) {
        self.row.gate.forget_permits(usize::MAX);
    }

    fn let_go(&self) {
        self.row.gate.add_permits(1000);
    }
}

#[cached(ttl = "10s", key = "row:{id}", tags = ["rows"], skip(source), jitter = 0, stale_while_revalidate = "20s")]
async fn beside(source: Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "10s", key = "row:{id}", tags = ["rows"], skip(source), jitter = 0, stale_while_revalidate = "20s")]
async fn inline(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "10s", key = "kept:{id}", tags = ["rows"], skip(source), jitter = 0, stale_if_error = "1m")]
async fn kept(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "10s", key = "known:{id}", tags = ["rows"], skip(source), jitter = 0, stale_if_error = "1m", even_invalidated)]
async fn known_to_be_old(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "10s", key = "slow:{id}", skip(source), jitter = 0, stale_if_error = "1m", soft_timeout = "20ms")]
async fn slow(source: Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "100s", key = "early:{id}", tags = ["rows"], skip(source), jitter = 0, early_refresh = 1e9)]
async fn early(source: Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "100s", key = "early:{id}", tags = ["rows"], skip(source), jitter = 0, early_refresh = 1e9)]
async fn early_inline(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "100s", key = "idle:{id}", skip(source), jitter = 0, time_to_idle = "16s")]
async fn idle(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "1h", key = "sum:{id}", skip(source))]
async fn twice(source: Arc<Source>, id: u64) -> Result<u64, String> {
    beside(source, id).await.map(|value| 2 * value)
}

#[invalidates(key = "row:{id}")]
async fn write(source: &Arc<Source>, id: u64) -> u64 {
    let _ = id;
    source.row.write()
}

/// Holds each law in process, on a store of bytes, and on Redis, with a clock that it moves.
macro_rules! on_every_store {
    ($($law:ident)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    super::held(super::Cache::builder(), super::$law).await;
                }
            )*
        }
        mod outside {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    super::held(super::Cache::builder().faults(&super::Faults::new()), super::$law).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = super::Server::start();
                    super::held(super::Cache::builder().url(&server.url()), super::$law).await;
                }
            )*
        }
        mod memcached {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = cache_runtime::sim::Memcached::start();
                    super::held(super::Cache::builder().url(&server.url()), super::$law).await;
                }
            )*
        }
    };
}

async fn held<F: Future<Output = ()>>(builder: cache_runtime::Builder, law: fn(Cache, Clock) -> F) {
    let clock = Clock::held();
    let cache = builder.clock(clock.clone()).op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    scope(cache.clone(), law(cache, clock)).await;
}

/// What a call returned, and how it went.
async fn explained<T>(call: impl Future<Output = T>) -> (T, Explanation) {
    let (value, calls) = scope(global(), call).explain().await;
    (value, calls[0].clone())
}

const SECOND: Duration = Duration::from_secs(1);

async fn past_its_time_a_value_is_served_while_one_caller_refreshes_it(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    source.hold();
    clock.advance(10 * SECOND);
    for _ in 0..100 {
        let (value, call) = explained(beside(source.clone(), 1)).await;
        assert_eq!((value, call.ending), (Ok(1), Ending::Stale(Stale::Revalidating)));
        assert_eq!(call.missed, Some(Miss::Expired));
    }
    assert_eq!(cache.stats().function("beside").stale, 100);
    source.row.has_loads(2).await;
    source.let_go();
    settled(&cache).await;
    assert_eq!(explained(beside(source.clone(), 1)).await.1.ending, Ending::Hit);
    assert_eq!((beside(source.clone(), 1).await, source.row.loads()), (Ok(2), 2));
}

async fn a_refresh_of_borrowed_things_is_done_before_its_caller_returns(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(inline(&source, 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    source.hold();
    clock.advance(10 * SECOND);
    let refresh = tokio::spawn({
        let source = source.clone();
        scope(cache.clone(), async move { inline(&source, 1).await })
    });
    source.row.has_loads(2).await;
    for _ in 0..10 {
        assert_eq!(inline(&source, 1).await, Ok(1), "the others wait for nobody");
    }
    source.let_go();
    assert_eq!(refresh.await.unwrap(), Ok(2));
    settled(&cache).await;
    assert_eq!((inline(&source, 1).await, source.row.loads()), (Ok(2), 2));
}

async fn past_the_window_every_caller_waits_for_the_load(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    clock.advance(30 * SECOND);
    assert_eq!(beside(source.clone(), 1).await, Ok(2));
}

async fn a_value_that_was_invalidated_is_not_served_while_it_is_refreshed(cache: Cache, clock: Clock) {
    for by_tag in [false, true] {
        let source = Source::new();
        let id = u64::from(by_tag);
        assert_eq!(beside(source.clone(), id).await, Ok(1));
        settled(&cache).await;
        clock.advance(10 * SECOND);
        if by_tag {
            source.row.write();
            assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
        } else {
            write(&source, id).await;
        }
        assert_eq!(beside(source.clone(), id).await, Ok(2));
    }
}

async fn a_refresh_that_a_mutation_overtakes_is_not_stored(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.hold();
    clock.advance(10 * SECOND);
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    source.row.has_loads(2).await;
    write(&source, 1).await;
    source.let_go();
    until("the refresh has ended", async || cache.stats().function("beside").refused == 1).await;
    assert_eq!(beside(source.clone(), 1).await, Ok(2));
}

async fn a_refresh_that_fails_leaves_the_value_for_its_window(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(inline(&source, 1).await, Ok(1));
    settled(&cache).await;
    source.fails(true);
    clock.advance(10 * SECOND);
    let (value, call) = explained(inline(&source, 1)).await;
    assert_eq!((value, call.ending), (Ok(1), Ending::Stale(Stale::Failed)));
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    clock.advance(20 * SECOND);
    assert_eq!(inline(&source, 1).await, Err("out of reach".to_owned()));
}

async fn what_is_made_of_an_old_value_is_not_stored(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(beside(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    clock.advance(10 * SECOND);
    assert_eq!(twice(source.clone(), 1).await, Ok(2));
    settled(&cache).await;
    assert_eq!(twice(source.clone(), 1).await, Ok(4));
}

async fn a_load_that_fails_gives_way_to_the_value_past_its_time(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(kept(&source, 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    source.fails(true);
    clock.advance(69 * SECOND);
    let (value, call) = explained(kept(&source, 1)).await;
    assert_eq!((value, call.ending, call.missed), (Ok(1), Ending::Stale(Stale::Failed), Some(Miss::Expired)));
    assert_eq!(cache.stats().function("kept").failures, 1);
    source.fails(false);
    assert_eq!(kept(&source, 1).await, Ok(2), "it is loaded as soon as it can be");
    settled(&cache).await;
    source.fails(true);
    clock.advance(70 * SECOND);
    assert_eq!(kept(&source, 1).await, Err("out of reach".to_owned()), "its window is over");
}

async fn who_waits_for_loads_that_fail_is_given_the_value_past_its_time(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(kept(&source, 1).await, Ok(1));
    settled(&cache).await;
    source.fails(true);
    source.hold();
    clock.advance(10 * SECOND);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(scope(cache.clone(), async move { kept(&source, 1).await }))
        })
        .collect();
    source.row.has_loads(2).await;
    source.let_go();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(1));
    }
}

async fn a_value_that_was_invalidated_is_served_on_failure_only_where_that_is_said(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!((kept(&source, 1).await, known_to_be_old(&source, 1).await), (Ok(1), Ok(1)));
    settled(&cache).await;
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    source.fails(true);
    assert_eq!(kept(&source, 1).await, Err("out of reach".to_owned()));
    assert_eq!(known_to_be_old(&source, 1).await, Ok(1));
    clock.advance(69 * SECOND);
    assert_eq!(known_to_be_old(&source, 1).await, Ok(1));
    source.fails(false);
    source.row.write();
    assert_eq!(known_to_be_old(&source, 1).await, Ok(2), "only where the load fails");
}

async fn a_load_that_takes_too_long_goes_on_without_its_caller(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(slow(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    source.hold();
    clock.advance(10 * SECOND);
    let (value, call) = explained(slow(source.clone(), 1)).await;
    assert_eq!((value, call.ending), (Ok(1), Ending::Stale(Stale::Slow)));
    source.let_go();
    settled(&cache).await;
    assert_eq!((slow(source.clone(), 1).await, source.row.loads()), (Ok(2), 2));
}

/// Loads for a second by the clock.
async fn loaded_for_a_second(cache: &Cache, clock: &Clock) -> Arc<Source> {
    let source = Source::new();
    source.hold();
    let loading = tokio::spawn(scope(cache.clone(), early(source.clone(), 1)));
    source.row.has_loads(1).await;
    clock.advance(SECOND);
    source.let_go();
    assert_eq!(loading.await.unwrap(), Ok(1));
    settled(cache).await;
    source
}

async fn an_early_refresh_is_one_callers_and_the_others_hit(cache: Cache, clock: Clock) {
    let source = loaded_for_a_second(&cache, &clock).await;
    source.row.write();
    source.hold();
    clock.advance(88 * SECOND);
    assert_eq!(early(source.clone(), 1).await, Ok(1));
    assert_eq!(source.row.loads(), 1, "before the last tenth of its time");
    clock.advance(SECOND);
    for _ in 0..10 {
        let (value, call) = explained(early(source.clone(), 1)).await;
        assert_eq!((value, call.ending), (Ok(1), Ending::Hit));
    }
    source.row.has_loads(2).await;
    source.let_go();
    settled(&cache).await;
    assert_eq!((early(source.clone(), 1).await, source.row.loads()), (Ok(2), 2));
}

async fn an_early_refresh_that_fails_costs_nobody_the_value(cache: Cache, clock: Clock) {
    let source = loaded_for_a_second(&cache, &clock).await;
    source.fails(true);
    clock.advance(95 * SECOND);
    let (value, call) = explained(early_inline(&source, 1)).await;
    assert_eq!((value, call.ending, call.missed), (Ok(1), Ending::Hit, Some(Miss::Early)));
    assert!(source.row.loads() > 1);
}

on_every_store! {
    past_its_time_a_value_is_served_while_one_caller_refreshes_it
    a_refresh_of_borrowed_things_is_done_before_its_caller_returns
    past_the_window_every_caller_waits_for_the_load
    a_value_that_was_invalidated_is_not_served_while_it_is_refreshed
    a_refresh_that_a_mutation_overtakes_is_not_stored
    a_refresh_that_fails_leaves_the_value_for_its_window
    what_is_made_of_an_old_value_is_not_stored
    a_load_that_fails_gives_way_to_the_value_past_its_time
    who_waits_for_loads_that_fail_is_given_the_value_past_its_time
    a_value_that_was_invalidated_is_served_on_failure_only_where_that_is_said
    a_load_that_takes_too_long_goes_on_without_its_caller
    an_early_refresh_is_one_callers_and_the_others_hit
    an_early_refresh_that_fails_costs_nobody_the_value
}

/// What expires by itself on a server does so by the server's clock, so these hold where the test holds that too.
mod idle_ones {
    use super::*;

    async fn dies_unread_and_lives_while_it_is_read(cache: Cache, clock: Clock) {
        let source = Source::new();
        assert_eq!(idle(&source, 1).await, Ok(1));
        settled(&cache).await;
        source.row.write();
        for _ in 0..9 {
            clock.advance(10 * SECOND);
            assert_eq!(idle(&source, 1).await, Ok(1));
            settled(&cache).await;
        }
        clock.advance(10 * SECOND);
        assert_eq!(idle(&source, 1).await, Ok(2), "it outlived its time-to-live");
        settled(&cache).await;
        source.row.write();
        clock.advance(16 * SECOND);
        assert_eq!(idle(&source, 1).await, Ok(3), "it outlived its time-to-idle");
    }

    #[tokio::test]
    async fn in_process() {
        held(Cache::builder(), dies_unread_and_lives_while_it_is_read).await;
    }

    #[tokio::test]
    async fn on_redis_it_is_the_server_that_counts() {
        #[cached(ttl = "1h", key = "short:{id}", skip(source), time_to_idle = "400ms")]
        async fn short(source: &Arc<Source>, id: u64) -> Result<u64, String> {
            let _ = id;
            source.read().await
        }
        let server = Server::start();
        let cache = common::connected(&server).await;
        scope(cache.clone(), async {
            let source = Source::new();
            short(&source, 1).await.unwrap();
            settled(&cache).await;
            let name = server.command(&["KEYS", "*e:{short:1}"]).unwrap();
            assert!(name.contains("short:1"), "{name}");
            // For longer than it would live unread.
            for _ in 0..16 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                short(&source, 1).await.unwrap();
            }
            assert_eq!(source.row.loads(), 1);
            until("it has died", async || server.command(&["EXISTS", "cache:e:{short:1}"]).unwrap().trim() == "0")
                .await;
            short(&source, 1).await.unwrap();
            assert_eq!(source.row.loads(), 2);
        })
        .await;
    }
}
