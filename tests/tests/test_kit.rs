//! The test kit itself: what it makes fail fails, what it counts was counted, and it says so.

#[allow(unused_macros, reason = "these laws have stores of their own")]
mod common;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Capacity;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::Watch;
use cache_runtime::testing::settled;
use tokio::runtime::Handle;

use crate::common::Row;
use crate::common::soon;
use crate::common::traced::Traced;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row), jitter = 0.0)]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

/// Holds each law with faults over the in-process store, and over a Redis.
macro_rules! with_faults {
    ($($law:ident)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    super::with_faults(super::Cache::builder(), super::$law).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = super::Server::start();
                    super::with_faults(super::Cache::builder().url(&server.url()), super::$law).await;
                }
            )*
        }
        mod memcached {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = cache_runtime::sim::Memcached::start();
                    super::with_faults(super::Cache::builder().url(&server.url()), super::$law).await;
                }
            )*
        }
    };
}

async fn with_faults<F: Future<Output = ()>>(builder: Builder, law: fn(Cache, Faults) -> F) {
    let faults = Faults::new();
    let cache = builder.op_timeout(Duration::from_secs(5)).faults(&faults).connect().await.unwrap();
    scope(cache.clone(), law(cache, faults)).await;
}

/// Reads row 7 until it is stored, and says whether the next read is a hit.
async fn hits(cache: &Cache, row: &Row) -> bool {
    read(row, 7).await;
    settled(cache).await;
    let watch = Watch::new(cache);
    read(row, 7).await;
    watch.function("read").counts().hits == 1
}

async fn nothing_is_wrong_at_first(cache: Cache, _: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    let written = write(&row, 7).await;
    assert_eq!(read(&row, 7).await, written);
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    assert_eq!(cache.stats().total.store_failures, 0);
}

async fn a_store_that_fails_is_done_without_until_it_is_healed(cache: Cache, faults: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    faults.fail();
    let watch = Watch::new(&cache);
    for _ in 0..3 {
        read(&row, 7).await;
    }
    watch.function("read").assert_loads(3).assert_hits(0);
    assert!(watch.stats().total.store_failures >= 3);
    let written = write(&row, 7).await;
    assert_eq!(read(&row, 7).await, written);
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Deferred);
    assert_eq!(cache.pending(), 2);
    faults.heal();
    settled(&cache).await;
    assert_eq!(cache.pending(), 0);
    assert_eq!(read(&row, 7).await, written);
    assert!(hits(&cache, &row).await);
}

async fn reads_that_fail_store_nothing_and_mutations_go_on(cache: Cache, faults: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    faults.fail_reads();
    let watch = Watch::new(&cache);
    read(&row, 7).await;
    settled(&cache).await;
    watch.function("read").assert_loads(1).assert_fills(0);
    assert_eq!(cache.invalidate("row:7").await, Delivery::Applied);
    faults.heal();
    let watch = Watch::new(&cache);
    read(&row, 7).await;
    watch.function("read").assert_hits(0).assert_loads(1);
}

async fn fills_that_fail_leave_reads_and_mutations_alone(cache: Cache, faults: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    faults.fail_fills();
    assert!(hits(&cache, &row).await);
    let written = write(&row, 7).await;
    assert_eq!((read(&row, 7).await, cache.pending()), (written, 0));
    assert!(!hits(&cache, &row).await);
    faults.heal();
    assert!(hits(&cache, &row).await);
}

async fn invalidations_that_fail_are_pending_and_nothing_stale_is_read(cache: Cache, faults: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    faults.fail_invalidations();
    let written = write(&row, 7).await;
    assert_eq!((read(&row, 7).await, cache.pending()), (written, 1));
    assert_eq!(read(&row, 8).await, written);
    faults.heal();
    settled(&cache).await;
    assert_eq!(read(&row, 7).await, written);
    assert!(hits(&cache, &row).await);
}

async fn a_store_that_hangs_goes_on_when_it_is_healed(cache: Cache, faults: Faults) {
    let row = Row::new();
    assert!(hits(&cache, &row).await);
    faults.hang();
    let watch = Watch::new(&cache);
    let mut call = Box::pin(read(&row, 7));
    // Long enough for an answer.
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut call).await.is_err());
    faults.heal();
    assert_eq!(soon("the store answers", call).await, 1);
    watch.function("read").assert_hits(1).assert_loads(0);
}

with_faults! {
    nothing_is_wrong_at_first
    a_store_that_fails_is_done_without_until_it_is_healed
    reads_that_fail_store_nothing_and_mutations_go_on
    fills_that_fail_leave_reads_and_mutations_alone
    invalidations_that_fail_are_pending_and_nothing_stale_is_read
    a_store_that_hangs_goes_on_when_it_is_healed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_never_answers_costs_its_deadline_and_no_more() {
    let faults = Faults::new();
    let cache = Cache::builder().op_timeout(Duration::from_millis(20)).faults(&faults).build().unwrap();
    faults.hang();
    scope(cache.clone(), async {
        let row = Row::new();
        assert_eq!(soon("the deadline has passed", read(&row, 7)).await, 1);
        let written = soon("the deadlines have passed", write(&row, 7)).await;
        assert_eq!(soon("the deadline has passed", read(&row, 7)).await, written);
        Watch::new(&cache).total().assert_hits(0);
        assert_eq!(cache.pending(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_takes_its_time_by_the_clock_of_the_cache() {
    let (clock, faults) = (Clock::held(), Faults::new());
    let builder = Cache::builder().clock(clock.clone()).op_timeout(Duration::from_secs(60));
    let cache = builder.faults(&faults).build().unwrap();
    scope(cache.clone(), async {
        let row = Row::new();
        assert!(hits(&cache, &row).await);
        faults.slow(Duration::from_millis(40));
        let watch = Watch::new(&cache);
        let mut call = Box::pin(read(&row, 7));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut call).await.is_err());
        clock.advance(Duration::from_millis(39));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut call).await.is_err());
        clock.advance(Duration::from_millis(1));
        soon("its time has passed", call).await;
        watch.function("read").assert_hits(1);
    })
    .await;
}

#[tokio::test]
async fn entries_expire_by_the_held_clock_also_with_faults() {
    let (clock, faults) = (Clock::held(), Faults::new());
    let cache = Cache::builder().clock(clock.clone()).faults(&faults).build().unwrap();
    scope(cache.clone(), async {
        let row = Row::new();
        assert!(hits(&cache, &row).await);
        clock.advance(Duration::from_secs(299));
        let watch = Watch::new(&cache);
        read(&row, 7).await;
        watch.function("read").assert_hits(1);
        clock.advance(Duration::from_secs(1));
        read(&row, 7).await;
        watch.function("read").assert_loads(1);
    })
    .await;
}

/// What `assertion` panics with.
fn failure(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("the assertion holds");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn an_assertion_that_fails_says_what_was_counted() {
    let cache = Cache::memory();
    scope(cache.clone(), async {
        let row = Row::new();
        let mut watch = Watch::new(&cache);
        read(&row, 7).await;
        read(&row, 7).await;
        watch.function("read").assert_loads(1).assert_hits(1).assert_misses(1).assert_fills(1);
        watch.total().assert_joined(0).assert_failures(0).assert_loads(1);
        let said = failure(|| drop(watch.function("test_kit::read").assert_loads(2).clone()));
        assert_eq!(said, "`test_kit::read` has loads: 1, not 2; counted hits: 1, misses: 1, loads: 1, fills: 1");
        watch.restart();
        let said = failure(|| drop(watch.total().assert_hits(1).clone()));
        assert_eq!(said, "the cache has hits: 0, not 1; counted nothing");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_no_zero() {
    let watch = Watch::new(&Cache::memory());
    for wrong in ["raed", "ead", "other::read", ""] {
        let said = failure(|| drop(watch.function(wrong)));
        let named = said.contains(&format!("no annotated function is called `{wrong}`"));
        assert!(named && said.contains("`test_kit::read`") && said.contains("`test_kit::write`"), "{said}");
    }
}

#[test]
fn a_function_that_was_not_called_is_zero() {
    let watch = Watch::new(&Cache::memory());
    watch.function("read").assert_loads(0).assert_hits(0);
    watch.function("test_kit::write").assert_loads(0);
    let said = failure(|| drop(watch.function("read").assert_loads(1).clone()));
    assert_eq!(said, "`read` has loads: 0, not 1; counted nothing");
}

#[cached(ttl = "5m", key = "slow:{id}")]
async fn slow(id: u64) -> u64 {
    tokio::task::yield_now().await;
    id
}

#[tokio::test]
async fn hits_that_were_joined_ask_for_patience() {
    let cache = Cache::memory();
    scope(cache.clone(), async {
        let watch = Watch::new(&cache);
        let _ = tokio::join!(slow(7), slow(7));
        watch.function("slow").assert_joined(1);
        let said = failure(|| drop(watch.function("slow").assert_hits(1).clone()));
        assert!(said.ends_with("await `settled(&cache)` first"), "{said}");
        let said = failure(|| drop(watch.function("slow").assert_loads(2).clone()));
        assert!(!said.contains("settled"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn the_end_of_an_outage_is_reported() {
    let traced = Traced::default();
    let _heard = traced.hear();
    let delivered = || traced.said("deferred invalidations were delivered") > 0;
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).runtime(Handle::current()).build().unwrap();
    faults.fail();
    assert_eq!(cache.invalidate_tags(["rows", "sums"]).await, Delivery::Deferred);
    assert_eq!(cache.invalidate("row:7").await, Delivery::Deferred);
    assert!(!delivered());
    faults.heal();
    until("the event", async || delivered()).await;
    assert_eq!(cache.pending(), 0);
    assert_eq!(traced.said("delivered=3"), 1, "{:#?}", traced.events());
}

#[tokio::test]
async fn what_was_counted_before_is_not_counted_since() {
    let cache = Cache::memory();
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 7).await;
        let before = cache.stats();
        write(&row, 7).await;
        read(&row, 7).await;
        let since = cache.stats().since(&before);
        assert_eq!((since.function("read").loads, since.function("write").applied), (1, 1));
        assert_eq!((since.total.loads, since.total.applied, since.total.hits), (1, 1, 0));
        let nothing = cache.stats().since(&cache.stats());
        assert_eq!(nothing.total, cache_runtime::Counts::default());
        assert_eq!(nothing.functions.len(), cache.stats().functions.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_waits_for_loads_and_their_fills() {
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).build().unwrap();
    scope(cache.clone(), async {
        let row = Row::with_gate(0);
        let loading = tokio::spawn({
            let row = row.clone();
            scope::current().carry(async move { read(&row, 7).await })
        });
        row.has_loads(1).await;
        let mut waiting = Box::pin(settled(&cache));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        row.gate.add_permits(1);
        soon("the load is stored", waiting).await;
        assert_eq!((loading.await.unwrap(), cache.stats().total.fills), (1, 1));
    })
    .await;
}

/// A value of so many bytes, when encoded as JSON.
#[cached(ttl = "5m", key = "text:{length}")]
async fn text(length: usize) -> String {
    "x".repeat(length - 2)
}

#[tokio::test]
async fn a_value_that_is_too_large_for_the_store_is_counted_as_unstorable() {
    const PART: usize = 1 << 19;
    const STEP: usize = 17_001;
    for faulty in [false, true] {
        let faults = Faults::new();
        let builder = Cache::builder().capacity(Capacity::Bytes(PART as u64));
        let builder = if faulty { builder.faults(&faults) } else { builder };
        let cache = builder.build().unwrap();
        scope(cache.clone(), async {
            let mut most = 0;
            for length in (PART / 2..PART).step_by(STEP).chain([PART, PART + 1]) {
                let before = cache.stats();
                text(length).await;
                settled(&cache).await;
                text(length).await;
                settled(&cache).await;
                let counts = cache.stats().since(&before).total;
                let kept = (counts.hits, counts.fills, counts.unstorable) == (1, 1, 0);
                let refused = (counts.hits, counts.fills, counts.unstorable) == (0, 0, 2);
                assert!(kept || refused, "{length}: {counts:?}");
                if kept {
                    assert!(most + STEP >= length || most == 0, "what is smaller is kept too");
                    most = length;
                }
            }
            assert!((PART * 9 / 10..PART).contains(&most), "{most} of {PART}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_largest_entry_fits_into_a_store_of_some_megabytes() {
    for megabytes in [2, 8, 64] {
        let cache = Cache::builder().capacity(Capacity::Bytes(megabytes << 20)).build().unwrap();
        scope(cache.clone(), async {
            text(1 << 20).await;
            text(1 << 20).await;
            text((1 << 20) + 1).await;
            let counts = cache.stats().total;
            assert_eq!((counts.hits, counts.unstorable), (1, 1), "{megabytes} MiB");
        })
        .await;
    }
}

#[tokio::test]
async fn values_are_encoded_where_the_store_may_fail() {
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).build().unwrap();
    #[cached(ttl = "5m", key = "pairs")]
    async fn pairs() -> std::collections::HashMap<(u8, u8), u8> {
        std::collections::HashMap::from([((1, 2), 3)])
    }
    scope(cache.clone(), pairs()).await;
    until("it was seen", async || cache.stats().total.unstorable == 1).await;
}
