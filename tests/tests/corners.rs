//! Where two rules meet of which each holds alone.

#[allow(unused_macros, reason = "these laws have stores of their own")]
mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;
use tokio::sync::Semaphore;

use crate::common::Row;
use crate::common::until;

static FAILS: AtomicBool = AtomicBool::new(false);

#[cached(ttl = "10s", key = "both:{id}", skip(row), jitter = 0, stale_if_error = "1m", time_to_idle = "2m")]
async fn both(row: &Row, id: u64) -> Result<u64, String> {
    let _ = id;
    let value = row.read().await;
    if FAILS.load(Ordering::SeqCst) { Err("away".to_owned()) } else { Ok(value) }
}

async fn idle_keeps_the_window(cache: Cache, clock: Clock, hit: bool) {
    let row = Row::new();
    scope(cache.clone(), async {
        FAILS.store(false, Ordering::SeqCst);
        assert_eq!(both(&row, 1).await, Ok(1));
        settled(&cache).await;
        if hit {
            clock.advance(Duration::from_secs(5));
            assert_eq!(both(&row, 1).await, Ok(1));
            settled(&cache).await;
            clock.advance(Duration::from_secs(10));
        } else {
            clock.advance(Duration::from_secs(15));
        }
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!(both(&row, 1).await, Ok(1));
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_dies_unread_keeps_its_window_past_its_time() {
    let clock = Clock::held();
    for hit in [false, true] {
        let cache = Cache::builder().clock(clock.clone()).faults(&Faults::new()).build().unwrap();
        idle_keeps_the_window(cache, clock.clone(), hit).await;
        let cache = Cache::builder().clock(clock.clone()).build().unwrap();
        idle_keeps_the_window(cache, clock.clone(), hit).await;
    }
}

#[cached(ttl = "1h", key = "row:{id}", skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "after:{id}", skip(row, gate))]
async fn after(gate: &Semaphore, row: &Row, id: u64) -> u64 {
    gate.acquire().await.unwrap().forget();
    read(row, id).await
}

#[tokio::test]
async fn a_place_that_was_lent_is_given_back_by_who_is_dropped() {
    let cache = Cache::builder()
        .max_loads(2)
        .load_queue(100, Duration::from_secs(60))
        .max_wait(Duration::from_secs(60))
        .build()
        .unwrap();
    let (row, other, gate) = (Row::with_gate(0), Row::new(), Arc::new(Semaphore::new(1)));
    let inner = tokio::spawn(scope(cache.clone(), {
        let row = row.clone();
        async move { read(&row, 1).await }
    }));
    row.has_loads(1).await;
    let outer = tokio::spawn(scope(cache.clone(), {
        let (row, gate) = (row.clone(), gate.clone());
        async move { after(&gate, &row, 1).await }
    }));
    until("it waits for the other", async || cache.stats().function("read").misses == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    outer.abort();
    assert!(outer.await.unwrap_err().is_cancelled());
    // One load runs. There are two places.
    let third = scope(cache.clone(), read(&other, 2));
    let third = tokio::time::timeout(Duration::from_secs(5), third).await;
    row.gate.add_permits(10);
    inner.await.unwrap();
    assert_eq!(third.ok(), Some(1), "the place of a call that was dropped is not given back");
}

#[cached(ttl = "10s", key = "soft:{id}", skip(row), jitter = 0, stale_if_error = "1h", soft_timeout = "20ms")]
async fn soft(row: Arc<Row>, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[tokio::test]
async fn a_soft_timeout_counts_in_the_queue_for_a_place_too() {
    let clock = Clock::held();
    let cache =
        Cache::builder().clock(clock.clone()).max_loads(1).load_queue(10, Duration::from_secs(5)).build().unwrap();
    let old = Row::new();
    scope(cache.clone(), soft(old.clone(), 1)).await;
    settled(&cache).await;
    clock.advance(Duration::from_secs(20));
    let row = Row::with_gate(0);
    let held = tokio::spawn(scope(cache.clone(), {
        let row = row.clone();
        async move { read(&row, 9).await }
    }));
    row.has_loads(1).await;
    let began = Instant::now();
    let (value, calls) = scope(cache.clone(), soft(old.clone(), 1)).explain().await;
    assert_eq!(
        (value, calls[0].ending),
        (1, cache_runtime::explain::Ending::Stale(cache_runtime::explain::Stale::Slow))
    );
    let took = began.elapsed();
    row.gate.add_permits(1);
    held.await.unwrap();
    assert!(took < Duration::from_secs(3), "waited {took:?}, and not 20 ms");
}

#[cached(ttl = "10s", key = "known:{id}", tags = ["rows"], skip(row), jitter = 0, stale_if_error = "1m", even_invalidated, soft_timeout = "20ms")]
async fn known_slow(row: Arc<Row>, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[tokio::test]
async fn what_was_invalidated_is_not_served_where_nothing_fails() {
    let cache = Cache::builder().build().unwrap();
    let row = Row::new();
    scope(cache.clone(), known_slow(row.clone(), 1)).await;
    settled(&cache).await;
    row.write();
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    row.gate.forget_permits(usize::MAX);
    let call = tokio::spawn(scope(cache.clone(), known_slow(row.clone(), 1)));
    row.has_loads(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    row.gate.add_permits(10);
    assert_eq!(call.await.unwrap(), 2, "nothing failed, and a value from before the mutation was served");
}

#[cached(ttl = "10s", key = "beside:{id}", skip(row), jitter = 0, stale_while_revalidate = "1h")]
async fn beside(row: Arc<Row>, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "page:{id}", skip(row))]
async fn page(row: Arc<Row>, id: u64) -> u64 {
    let mut sum = id;
    for id in 0..20 {
        sum += beside(row.clone(), id).await;
    }
    sum
}

#[tokio::test]
async fn refreshes_beside_a_load_have_places_of_their_own() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).max_loads(2).build().unwrap();
    let row = Row::new();
    scope(cache.clone(), page(row.clone(), 0)).await;
    settled(&cache).await;
    clock.advance(Duration::from_secs(20));
    row.gate.forget_permits(usize::MAX);
    scope(cache.clone(), page(row.clone(), 1)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let most = row.most_loading();
    row.gate.add_permits(100);
    settled(&cache).await;
    assert!(most <= 2, "{most} loads ran at once, of 2 that may");
}

#[cached(ttl = "1h", key = "name:{id}", tags = ["names"], skip(row))]
async fn name(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "100s", key = "greeting:{id}", skip(row, clock), jitter = 0, early_refresh = 100000)]
async fn greeting(row: Arc<Row>, clock: Clock, id: u64) -> u64 {
    let value = name(&row, id).await;
    clock.advance(Duration::from_secs(1));
    value
}

#[invalidates(tags = ["names"], mode = after)]
async fn rename(row: &Row) -> u64 {
    row.write()
}

#[tokio::test]
async fn an_early_refresh_sees_its_own_transaction() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        assert_eq!(greeting(row.clone(), clock.clone(), 1).await, 1);
        settled(&cache).await;
        clock.advance(Duration::from_secs(50));
        let (c, r, k) = (cache.clone(), row.clone(), clock.clone());
        let seen = cache
            .defer_invalidations(async move {
                let _ = &c;
                rename(&r).await;
                greeting(r.clone(), k.clone(), 1).await
            })
            .await;
        assert_eq!(seen, 2, "before the last tenth");
        assert_eq!(greeting(row.clone(), clock.clone(), 1).await, 2);
        settled(&cache).await;
        clock.advance(Duration::from_secs(95));
        let (r, k) = (row.clone(), clock.clone());
        let seen = cache
            .defer_invalidations(async move {
                rename(&r).await;
                greeting(r.clone(), k.clone(), 1).await
            })
            .await;
        assert_eq!(seen, 3, "in the last tenth it does not see its own write");
    })
    .await;
}

#[cached(ttl = "1h", key = "keep:{id}", skip(row))]
async fn keep(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

/// How many of the reads in a few seconds after a short outage are hits.
async fn hits_after_an_outage(refused: bool) -> usize {
    let server = cache_runtime::sim::Server::start();
    let acl = ["ACL", "SETUSER", "app", "on", ">hunter2", "+@all", "%R~*", "~cache:t:*", "~cache:?:{keep:*"];
    server.command(&acl).unwrap();
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let cache = Cache::builder().url(&url).connect().await.unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        until("it is stored", async || {
            keep(&row, 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            cache.stats().total.hits > 0
        })
        .await;
        if refused {
            assert_eq!(cache.invalidate("lost:1").await, Delivery::Deferred);
            // With the breaker closed all else goes on.
            let hits = cache.stats().total.hits;
            keep(&row, 1).await;
            assert_eq!(cache.stats().total.hits, hits + 1);
        }
        server.command(&["CLIENT", "PAUSE", "400", "ALL"]).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1500) {
            keep(&row, 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let hits = cache.stats().total.hits;
        while began.elapsed() < Duration::from_secs(8) {
            keep(&row, 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let counts = cache.stats().total;
        (counts.hits - hits) as usize
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_closes_after_an_outage() {
    assert!(hits_after_an_outage(false).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_closes_although_one_invalidation_is_refused_for_good() {
    assert!(hits_after_an_outage(true).await > 0, "no hit in seconds after the store was back");
}

#[cached(ttl = "1h", key = "spawns:{id}")]
async fn spawns(id: u64) -> u64 {
    tokio::spawn(cache_runtime::scope::current().carry(std::future::pending::<()>()));
    id
}

#[tokio::test]
async fn a_place_is_given_back_when_its_load_ends_whatever_that_left_behind() {
    let cache =
        Cache::builder().max_loads(1).load_queue(100, Duration::from_secs(60)).max_wait(Duration::from_secs(60));
    let cache = cache.build().unwrap();
    scope(cache.clone(), spawns(1)).await;
    settled(&cache).await;
    let next = tokio::time::timeout(Duration::from_secs(3), scope(cache.clone(), spawns(2))).await;
    assert_eq!(next.ok(), Some(2), "no load runs, and there is no place for one");
}

#[tokio::test]
async fn no_setting_however_odd_panics() {
    use cache_runtime::Site;
    use cache_runtime::returns;
    static SITE: Site = Site::cached("reader", "extreme").key("extreme:{id}").tags(&["extremes"]);
    let server = cache_runtime::sim::Server::start();
    let max = Duration::MAX;
    for kind in 0..3 {
        let clock = Clock::held();
        let builder = Cache::builder().clock(clock.clone()).load_queue(0, Duration::ZERO).max_loads(1);
        let cache = match kind {
            0 => builder.build().unwrap(),
            1 => builder.faults(&Faults::new()).build().unwrap(),
            _ => builder.url(&server.url()).connect().await.unwrap(),
        };
        let mut id = 0_u64;
        for ttl in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), max] {
            for window in [Duration::ZERO, Duration::from_nanos(1), max] {
                for idle in [None, Some(Duration::ZERO), Some(Duration::from_nanos(1)), Some(max)] {
                    for beta in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, f64::MAX, f64::MIN_POSITIVE] {
                        id += 1;
                        if kind == 2 && !id.is_multiple_of(7) {
                            continue;
                        }
                        for advance in [Duration::ZERO, Duration::from_secs(2)] {
                            clock.advance(advance);
                            let mut entry = cache
                                .entry(&SITE, returns::<Result<u64, u32>>().kind())
                                .key(&[&id])
                                .ttl(ttl)
                                .jitter(f64::INFINITY)
                                .stale_while_revalidate(window)
                                .stale_if_error(window)
                                .soft_timeout(window)
                                .even_invalidated()
                                .early_refresh(beta)
                                .max_loads(0);
                            if let Some(idle) = idle {
                                entry = entry.time_to_idle(idle);
                            }
                            let entry = entry.negative(|_| true, window);
                            let load = async move { if advance.is_zero() { Ok(1) } else { Err(2) } };
                            let got = entry.get_or_load_owned(load).await;
                            assert!(got == Ok(1) || got == Err(2));
                        }
                    }
                }
            }
        }
    }
}

#[invalidates(key = "keep:{id}", on_unreachable = reject)]
async fn strict_write(row: &Row, id: u64) -> Result<u64, cache_runtime::Error> {
    let _ = id;
    Ok(row.write())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_are_not_rejected_for_ever_because_one_was_refused() {
    let server = cache_runtime::sim::Server::start();
    let acl = ["ACL", "SETUSER", "app", "on", ">hunter2", "+@all", "%R~*", "~cache:t:*", "~cache:?:{keep:*"];
    server.command(&acl).unwrap();
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let cache = Cache::builder().url(&url).connect().await.unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        strict_write(&row, 1).await.unwrap();
        assert_eq!(cache.invalidate("lost:1").await, Delivery::Deferred);
        strict_write(&row, 1).await.unwrap();
        server.command(&["CLIENT", "PAUSE", "400", "ALL"]).unwrap();
        keep(&row, 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut refused = 0;
        for _ in 0..50 {
            refused += usize::from(strict_write(&row, 1).await.is_err());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(refused < 50, "{refused} of 50 mutations were rejected, with the store there for {} s", 5);
    })
    .await;
}

#[cached(ttl = "1h", key = "inner:{id}", skip(row), handle = inner_entry)]
async fn inner(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "calls_inner:{id}", skip(row, gate))]
async fn calls_inner(gate: &Semaphore, row: &Row, id: u64) -> u64 {
    gate.acquire().await.unwrap().forget();
    inner(row, id).await
}

#[tokio::test]
async fn a_refresh_holds_no_lease_while_it_waits_for_a_place() {
    let cache =
        Cache::builder().max_loads(1).load_queue(100, Duration::from_secs(20)).max_wait(Duration::from_secs(20));
    let cache = cache.build().unwrap();
    let (row, gate) = (Row::new(), Arc::new(Semaphore::new(0)));
    let outer = tokio::spawn(scope(cache.clone(), {
        let (row, gate) = (row.clone(), gate.clone());
        async move { calls_inner(&gate, &row, 1).await }
    }));
    until("it has the place", async || cache.stats().function("calls_inner").loads == 1).await;
    let refresh = tokio::spawn(scope(cache.clone(), async { inner_entry(&1).refresh(async { 7 }).await }));
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.add_permits(1);
    let began = Instant::now();
    outer.await.unwrap();
    let took = began.elapsed();
    refresh.await.unwrap();
    assert!(took < Duration::from_secs(5), "a load with a place waited {took:?} for a refresh without one");
}

/// What the journal cannot deliver of one key keeps it from taking off the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_delivered_is_not_held_up_by_what_is_refused() {
    let server = cache_runtime::sim::Server::start();
    let acl = ["ACL", "SETUSER", "app", "on", ">hunter2", "+@all", "%R~*", "~cache:t:*", "~cache:?:{keep:*"];
    server.command(&acl).unwrap();
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let cache = Cache::builder().url(&url).connect().await.unwrap();
    server.command(&["CLIENT", "PAUSE", "600", "ALL"]).unwrap();
    for key in ["keep:1", "lost:1"] {
        assert_eq!(cache.invalidate(key).await, Delivery::Deferred);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(cache.pending(), 1, "keep:1 can be delivered");
}

/// Nor from being told of the others at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_batch_with_one_refusal_holds_up_nothing_behind_it() {
    for refused in [false, true] {
        let server = cache_runtime::sim::Server::start();
        let acl = [
            "ACL",
            "SETUSER",
            "app",
            "on",
            ">hunter2",
            "+@all",
            "%R~*",
            "~cache:t:{t*",
            "~cache:t:{#*",
            "~cache:?:{keep:*",
        ];
        server.command(&acl).unwrap();
        let url = server.url().replace("redis://", "redis://app:hunter2@");
        let cache = Cache::builder().url(&url).connect().await.unwrap();
        server.command(&["SET", "cache:t:{t299}", "an old token"]).unwrap();
        server.command(&["CLIENT", "PAUSE", "600", "ALL"]).unwrap();
        let first = if refused { "lost" } else { "t300" };
        let tags = [first.to_owned()].into_iter().chain((0..300).map(|tag| format!("t{tag:03}")));
        assert_eq!(cache.invalidate_tags(tags).await, Delivery::Deferred);
        until("the last is told", async || server.command(&["EXISTS", "cache:t:{t299}"]).unwrap().trim() == "0").await;
    }
}
