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
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Explanation;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Stale;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;

use crate::common::Row;
use crate::common::SECRET;
use crate::common::filled;
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

/// The windows of which one is over while the other lasts.
#[cached(
    ttl = "10s", key = "windows:{id}", tags = ["rows"], skip(source), jitter = 0,
    stale_while_revalidate = "1m", stale_if_error = "20s", even_invalidated
)]
async fn two_windows(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(
    ttl = "10s", key = "slow_and_old:{id}", tags = ["rows"], skip(source), jitter = 0,
    stale_if_error = "1m", even_invalidated, soft_timeout = "20ms"
)]
async fn slow_and_old(source: Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(
    ttl = "10s",
    negative_ttl = "10s",
    key = "nothing:{id}",
    skip(source),
    jitter = 0,
    stale_while_revalidate = "20s",
    stale_if_error = "1m"
)]
async fn nothing(source: &Arc<Source>, id: u64) -> Result<Option<u64>, String> {
    let _ = id;
    source.read().await.map(|_| None)
}

#[cached(
    ttl = "10s", negative_ttl = "10s", negative = |error| error == "an answer", key = "answer:{id}", skip(source), jitter = 0,
    stale_while_revalidate = "20s", stale_if_error = "1m"
)]
async fn answer(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await.and_then(|_| Err("an answer".to_owned()))
}

/// Rests on something that is not stored by now, if that is said.
#[cached(ttl = "100s", key = "odd:{id}", skip(source, is_odd), jitter = 0, early_refresh = 1e9)]
async fn early_and_odd(source: Arc<Source>, is_odd: bool, id: u64) -> Result<u64, String> {
    if is_odd {
        let _ = global().no_fill(kept(&source, id)).await;
    }
    source.read().await
}

#[cached(ttl = "1h", key = "part:{id}", skip(source))]
async fn part(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    let _ = id;
    source.read().await
}

#[cached(ttl = "10s", key = "whole:{id}", skip(source), jitter = 0, stale_if_error = "1m")]
async fn whole(source: &Arc<Source>, id: u64) -> Result<u64, String> {
    part(source, id).await?;
    source.read().await
}

/// Of which the store knows nothing before it has ended.
#[invalidates(key = "part:{id}", mode = after)]
async fn write_part(source: &Arc<Source>, id: u64) -> u64 {
    let _ = id;
    source.row.write()
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

async fn held<F: Future<Output = ()>>(builder: cache_runtime::Builder, law: impl FnOnce(Cache, Clock) -> F) {
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

async fn a_slow_load_is_waited_for_where_all_there_is_was_invalidated(cache: Cache, _: Clock) {
    let source = Source::new();
    assert_eq!(slow_and_old(source.clone(), 1).await, Ok(1));
    settled(&cache).await;
    source.row.write();
    source.hold();
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    let waits = tokio::spawn(scope(cache.clone(), slow_and_old(source.clone(), 1)));
    source.row.has_loads(2).await;
    // For longer than it would wait for a load that is only late.
    tokio::time::sleep(Duration::from_millis(100)).await;
    source.let_go();
    assert_eq!(waits.await.unwrap(), Ok(2));
}

async fn what_was_invalidated_is_served_on_failure_for_the_window_of_failures_and_no_longer(
    cache: Cache,
    clock: Clock,
) {
    for (id, past, served) in [(1, 20 * SECOND - Duration::from_millis(1), true), (2, 20 * SECOND, false)] {
        let source = Source::new();
        assert_eq!(two_windows(&source, id).await, Ok(1));
        settled(&cache).await;
        clock.advance(10 * SECOND + past);
        assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
        source.fails(true);
        let expected = if served { Ok(1) } else { Err("out of reach".to_owned()) };
        assert_eq!(two_windows(&source, id).await, expected);
    }
}

async fn who_waits_for_loads_that_fail_loads_nothing_where_an_invalidated_value_will_do(cache: Cache, _: Clock) {
    let source = Source::new();
    assert_eq!(known_to_be_old(&source, 1).await, Ok(1));
    settled(&cache).await;
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    source.fails(true);
    source.hold();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(scope(cache.clone(), async move { known_to_be_old(&source, 1).await }))
        })
        .collect();
    until("all have missed", async || cache.stats().function("known_to_be_old").misses == 21).await;
    source.let_go();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(1));
    }
    assert_eq!(cache.stats().function("known_to_be_old").bypassed, 0, "some loaded for themselves");
}

async fn nothing_and_an_error_are_not_served_past_their_time(cache: Cache, clock: Clock) {
    let source = Source::new();
    let both = async || (nothing(&source, 1).await, answer(&source, 1).await);
    let answers = (Ok(None), Err("an answer".to_owned()));
    assert_eq!(both().await, answers);
    settled(&cache).await;
    assert_eq!((both().await, source.row.loads()), (answers, 2));
    source.fails(true);
    clock.advance(15 * SECOND);
    let failure = || "out of reach".to_owned();
    assert_eq!(both().await, (Err(failure()), Err(failure())));
}

async fn what_a_refresh_beside_its_caller_comes_to_is_not_the_callers(cache: Cache, clock: Clock) {
    static OUTER: Site = Site::cached("stale", "around_early").key("around_early");
    let source = loaded_for_a_second(&cache, &clock, |source| early_and_odd(source, false, 1)).await;
    source.row.write();
    clock.advance(95 * SECOND);
    let outer = async {
        let value = early_and_odd(source.clone(), true, 1).await;
        until("the refresh has ended", async || cache.stats().function("early_and_odd").refused == 1).await;
        value
    };
    let entry = cache.entry(&OUTER, returns::<Result<u64, String>>().kind()).ttl(Duration::from_secs(60));
    assert_eq!(entry.get_or_load(outer).await, Ok(1));
    filled(&cache, "around_early", 1).await;
}

async fn a_load_that_fails_in_a_transaction_gives_way_to_nothing_that_this_has_changed(cache: Cache, clock: Clock) {
    let source = Source::new();
    assert_eq!(whole(&source, 1).await, Ok(1));
    settled(&cache).await;
    clock.advance(10 * SECOND);
    source.fails(true);
    let transaction = async {
        assert_eq!(whole(&source, 1).await, Ok(1));
        write_part(&source, 1).await;
        assert_eq!(whole(&source, 1).await, Err("out of reach".to_owned()));
    };
    cache.defer_invalidations(transaction).await;
}

/// Loads for a second by the clock.
async fn loaded_for_a_second<F>(cache: &Cache, clock: &Clock, load: impl FnOnce(Arc<Source>) -> F) -> Arc<Source>
where
    F: Future<Output = Result<u64, String>> + Send + 'static,
{
    let source = Source::new();
    source.hold();
    let loading = tokio::spawn(scope(cache.clone(), load(source.clone())));
    source.row.has_loads(1).await;
    clock.advance(SECOND);
    source.let_go();
    assert_eq!(loading.await.unwrap(), Ok(1));
    settled(cache).await;
    source
}

async fn an_early_refresh_is_one_callers_and_the_others_hit(cache: Cache, clock: Clock) {
    let source = loaded_for_a_second(&cache, &clock, |source| early(source, 1)).await;
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

async fn an_early_refresh_needs_nobody_to_ask_how_the_call_went(cache: Cache, clock: Clock) {
    let source = loaded_for_a_second(&cache, &clock, |source| early(source, 1)).await;
    source.row.write();
    clock.advance(89 * SECOND);
    assert_eq!(early(source.clone(), 1).await, Ok(1));
    source.row.has_loads(2).await;
    settled(&cache).await;
    assert_eq!((early(source.clone(), 1).await, source.row.loads()), (Ok(2), 2));
}

async fn an_early_refresh_that_fails_costs_nobody_the_value(cache: Cache, clock: Clock) {
    let source = loaded_for_a_second(&cache, &clock, |source| early(source, 1)).await;
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
    an_early_refresh_needs_nobody_to_ask_how_the_call_went
    an_early_refresh_that_fails_costs_nobody_the_value
    a_slow_load_is_waited_for_where_all_there_is_was_invalidated
    what_was_invalidated_is_served_on_failure_for_the_window_of_failures_and_no_longer
    who_waits_for_loads_that_fail_loads_nothing_where_an_invalidated_value_will_do
    nothing_and_an_error_are_not_served_past_their_time
    what_a_refresh_beside_its_caller_comes_to_is_not_the_callers
    a_load_that_fails_in_a_transaction_gives_way_to_nothing_that_this_has_changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_fails_gives_way_to_nothing_that_rests_on_what_the_store_was_not_told_of() {
    let server = Server::start();
    for url in ["memory:", &server.url()] {
        let faults = Faults::new();
        held(Cache::builder().url(url).faults(&faults).secret(SECRET), async |cache, clock| {
            let source = Source::new();
            assert_eq!(whole(&source, 1).await, Ok(1));
            settled(&cache).await;
            clock.advance(10 * SECOND);
            source.fails(true);
            assert_eq!(whole(&source, 1).await, Ok(1));
            settled(&cache).await;
            source.row.write();
            faults.fail_invalidations();
            assert_eq!(cache.invalidate("part:1").await, Delivery::Deferred);
            assert_eq!(whole(&source, 1).await, Err("out of reach".to_owned()));
            source.fails(false);
            assert_eq!(whole(&source, 1).await, Ok(2));
            faults.heal();
            settled(&cache).await;
        })
        .await;
    }
}

/// What waits for another process waits by the time that passes for both, so no test can hold it.
mod elsewhere {
    use super::*;

    #[cached(ttl = |version| shorter_at_first(*version), key = "hurried:{id}",
        skip(source),
        jitter = 0,
        stale_if_error = "1h",
        soft_timeout = "20ms"
    )]
    async fn hurried(source: Arc<Source>, id: u64) -> Result<u64, String> {
        let _ = id;
        source.read().await
    }

    #[cached(ttl = |version| shorter_at_first(*version), key = "patient:{id}", skip(source), jitter = 0, stale_if_error = "1h", soft_timeout = "1h")]
    async fn patient(source: Arc<Source>, id: u64) -> Result<u64, String> {
        let _ = id;
        source.read().await
    }

    fn shorter_at_first(version: u64) -> Duration {
        if version == 1 { Duration::from_millis(50) } else { Duration::from_secs(60) }
    }

    /// A value past its time that another process has begun to load anew, and is held up; how a call here goes meanwhile.
    async fn while_another_loads<F>(call: impl Fn(Arc<Source>) -> F) -> ((Result<u64, String>, Explanation), usize)
    where
        F: Future<Output = Result<u64, String>> + Send + 'static,
    {
        let server = Server::start();
        let (cache, other) = (common::connected(&server).await, common::connected(&server).await);
        let source = Source::new();
        scope(cache.clone(), call(source.clone())).await.unwrap();
        settled(&cache).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        source.row.write();
        source.hold();
        let loading = tokio::spawn(scope(other.clone(), call(source.clone())));
        source.row.has_loads(2).await;
        let here = scope(cache.clone(), explained(call(source.clone())));
        let ended = Arc::new(AtomicBool::new(false));
        let let_go = async {
            // Until it has given up waiting, or so long that it has looked at least once.
            let patience = async {
                while !ended.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), patience).await;
            let loads = source.row.loads();
            source.let_go();
            loads
        };
        let here = async {
            let value = here.await;
            ended.store(true, Ordering::SeqCst);
            value
        };
        let went = tokio::join!(here, let_go);
        loading.await.unwrap().unwrap();
        went
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_for_another_process_for_too_long_is_given_the_value_past_its_time() {
        let ((value, call), loads) = while_another_loads(|source| hurried(source, 1)).await;
        assert_eq!((value, call.ending, loads), (Ok(1), Ending::Stale(Stale::Slow), 2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_has_time_waits_for_another_process() {
        let ((value, call), loads) = while_another_loads(|source| patient(source, 1)).await;
        assert_eq!((value, call.ending, loads), (Ok(2), Ending::Waited, 2));
    }
}

/// How long something at the server lives on, of which the name contains `part`.
fn left(server: &Server, part: &str) -> Duration {
    let names = server.command(&["KEYS", &format!("*{part}*")]).unwrap();
    let left = names.lines().map(|name| server.command(&["PTTL", name.trim()]).unwrap().trim().parse::<u64>().unwrap());
    Duration::from_millis(left.min().expect("it is there"))
}

#[tokio::test]
async fn on_redis_nothing_and_an_error_are_kept_for_their_time_and_tokens_for_longer_than_what_rests_on_them() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[cached(ttl = |_: &u64| 10 * DAY, key = "long:{id}", tags = ["long"], skip(source), jitter = 0)]
    async fn long(source: &Arc<Source>, id: u64) -> Result<u64, String> {
        let _ = id;
        source.read().await
    }

    let server = Server::start();
    let cache = common::connected(&server).await;
    scope(cache.clone(), async {
        let source = Source::new();
        let _ = (nothing(&source, 1).await, answer(&source, 1).await, long(&source, 1).await);
        settled(&cache).await;
        assert!(left(&server, "e:{nothing:1}") <= 10 * SECOND && left(&server, "e:{answer:1}") <= 10 * SECOND);
        let entry = left(&server, "e:{long:1}");
        assert!(entry > 9 * DAY && left(&server, "t:{long}") > entry);
    })
    .await;
}

/// What expires by itself on a server does so by the server's clock, so these hold where the test holds that too.
mod idle_ones {
    use super::*;

    #[cached(ttl = "100s", key = "looked:{id}", skip(source), jitter = 0, time_to_idle = "16s", handle = looked_entry)]
    async fn looked(source: &Arc<Source>, id: u64) -> Result<u64, String> {
        let _ = id;
        source.read().await
    }

    async fn looking_by_hand_is_reading(cache: Cache, clock: Clock) {
        let source = Source::new();
        assert_eq!(looked(&source, 1).await, Ok(1));
        settled(&cache).await;
        for _ in 0..5 {
            clock.advance(10 * SECOND);
            assert_eq!(looked_entry(&1).get().await, Some(Ok(1)));
            settled(&cache).await;
        }
        clock.advance(16 * SECOND);
        assert_eq!(looked_entry(&1).get().await, None);
    }

    /// Outside of the process that is told at most eight times in the time to idle.
    async fn in_process_it_lives_on_from_its_last_read(cache: Cache, clock: Clock) {
        let source = Source::new();
        assert_eq!(idle(&source, 1).await, Ok(1));
        settled(&cache).await;
        for _ in 0..3 {
            clock.advance(SECOND);
            // What is explained goes the long way.
            assert_eq!(explained(idle(&source, 1)).await.1.ending, Ending::Hit);
            settled(&cache).await;
        }
        clock.advance(16 * SECOND - Duration::from_millis(1));
        assert_eq!(explained(idle(&source, 1)).await.1.ending, Ending::Hit);
    }

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
        held(Cache::builder(), looking_by_hand_is_reading).await;
        held(Cache::builder(), in_process_it_lives_on_from_its_last_read).await;
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
