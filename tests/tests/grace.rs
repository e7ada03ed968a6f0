//! `grace`: what is loaded for a while after a mutation is not stored, because it may come from a replica that lags behind.

#[macro_use]
mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;

use crate::common::Row;
use crate::common::SECRET;
use crate::common::connected;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row), jitter = 0.0)]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

/// Made of another entry, by key.
#[cached(ttl = "5m", key = "sum:{id}", skip(row), jitter = 0.0)]
async fn sum(row: &Row, id: u64) -> u64 {
    read(row, id).await
}

#[invalidates(key = "row:{id}", grace = "1h")]
async fn write_key(row: &Row, id: u64) -> Result<u64, ()> {
    let _ = id;
    Ok(row.write())
}

#[invalidates(tags = ["rows"], grace = Duration::from_secs(3600), mode = linearizable)]
async fn write_tag(row: &Row, id: u64) -> Result<u64, ()> {
    let _ = id;
    row.write();
    Err(())
}

#[invalidates(keys = ["row:{id}"], grace = "60m", mode = after)]
async fn write_after(row: &Row, id: u64) -> Result<u64, ()> {
    let _ = id;
    Ok(row.write())
}

#[invalidates(key = "row:{result}", grace = "1h")]
async fn write_result(row: &Row, id: u64) -> Result<u64, ()> {
    row.write();
    Ok(id)
}

#[invalidates(key = "row:{id}", tags = ["rows"])]
async fn write_without(row: &Row, id: u64) {
    let _ = id;
    row.write();
}

/// Every way to write with a grace of an hour.
async fn each_way(mut law: impl AsyncFnMut(&Row, u64)) {
    let rows: [std::sync::Arc<Row>; 4] = std::array::from_fn(|_| Row::new());
    let _ = write_key(&rows[0], 7).await;
    law(&rows[0], 7).await;
    let _ = write_after(&rows[1], 8).await;
    law(&rows[1], 8).await;
    let _ = write_result(&rows[2], 9).await;
    law(&rows[2], 9).await;
    let _ = write_tag(&rows[3], 10).await;
    law(&rows[3], 10).await;
}

/// Whether the row is loaded by each of several calls, and what was loaded is never served.
async fn is_not_stored(row: &Row, id: u64) {
    for _ in 0..3 {
        let before = row.loads();
        assert_eq!(read(row, id).await, row.version.load(Ordering::SeqCst));
        sum(row, id).await;
        assert!(row.loads() >= before + 2, "row {id} was stored");
    }
}

on_every_store! {
    nothing_is_stored_while_the_grace_lasts
    the_end_of_another_mutation_does_not_end_it
    a_body_that_was_dropped_has_it_too
    an_invalidation_without_a_body_has_it_if_it_says_so
    a_transaction_has_the_longest_of_its_mutators
}

async fn nothing_is_stored_while_the_grace_lasts(_: Cache, other: Cache) {
    each_way(async |row, id| {
        is_not_stored(row, id).await;
        scope(other.clone(), is_not_stored(row, id)).await;
    })
    .await;
    assert_eq!(global().stats().total.fills, 0);
}

async fn the_end_of_another_mutation_does_not_end_it(_: Cache, other: Cache) {
    each_way(async |row, id| {
        write_without(row, id).await;
        scope(other.clone(), write_without(row, id)).await;
        assert_eq!(other.invalidate(format!("row:{id}")).await, Delivery::Applied);
        assert_eq!(other.invalidate_tags(["rows"]).await, Delivery::Applied);
        is_not_stored(row, id).await;
    })
    .await;
}

async fn a_body_that_was_dropped_has_it_too(cache: Cache, _: Cache) {
    static WRITE: Site = Site::invalidates("grace", "write_dropped").keys(&["row:{id}"]);
    for (id, mode) in [(7_u64, Mode::Guarded), (8, Mode::Linearizable), (9, Mode::After)] {
        let row = Row::new();
        let before = cache.stats().function("write_dropped").applied;
        let writing = cache.invalidation(&WRITE).keys(&[&id]).mode(mode).grace(Duration::from_secs(3600));
        let mut writing = Box::pin(writing.run(async {
            row.write();
            std::future::pending::<()>().await;
        }));
        until("it has written", async || {
            let written = std::future::poll_fn(|context| std::task::Poll::Ready(writing.as_mut().poll(context))).await;
            assert!(written.is_pending());
            row.version.load(Ordering::SeqCst) == 2
        })
        .await;
        drop(writing);
        if mode == Mode::After {
            until("the store is told", async || cache.stats().function("write_dropped").applied > before).await;
        }
        // Longer than marks live that nobody renews.
        tokio::time::sleep(2 * common::GUARD).await;
        is_not_stored(&row, id).await;
    }
}

async fn an_invalidation_without_a_body_has_it_if_it_says_so(cache: Cache, _: Cache) {
    static FORGET: Site = Site::invalidates("grace", "forget").keys(&["row:{id}"]);
    let row = Row::new();
    let forget = cache.invalidation(&FORGET).keys(&[&7]).grace(Duration::from_secs(3600));
    assert_eq!(forget.apply().await, Delivery::Applied);
    is_not_stored(&row, 7).await;
    let forget = cache.invalidation(&FORGET).keys(&[&9]).grace(Duration::from_secs(3600));
    assert_eq!(cache.defer_invalidations(forget.apply()).await, Delivery::Deferred);
    is_not_stored(&Row::new(), 9).await;
    assert_eq!(cache.invalidation(&FORGET).keys(&[&8]).apply().await, Delivery::Applied);
    let other = Row::new();
    until("it is stored", async || {
        let before = other.loads();
        read(&other, 8).await;
        other.loads() == before
    })
    .await;
}

async fn a_transaction_has_the_longest_of_its_mutators(cache: Cache, other: Cache) {
    let row = Row::new();
    cache
        .defer_invalidations(async {
            write_without(&row, 7).await;
            let _ = write_key(&row, 7).await;
        })
        .await;
    is_not_stored(&row, 7).await;
    scope(other, is_not_stored(&row, 7)).await;
}

#[tokio::test]
async fn it_lasts_as_long_as_it_says_and_no_longer() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    scope(cache, async {
        let row = Row::new();
        read(&row, 7).await;
        write_key(&row, 7).await.unwrap();
        clock.advance(Duration::from_secs(3600));
        is_not_stored(&row, 7).await;
        clock.advance(Duration::from_millis(1));
        let before = row.loads();
        for _ in 0..3 {
            sum(&row, 7).await;
        }
        assert_eq!(row.loads(), before + 1);
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_mutation_ends_its_own_mark() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).hold_off(Duration::from_secs(7200)).build().unwrap();
    scope(cache, async {
        let row = Row::new();
        write_key(&row, 7).await.unwrap();
        clock.advance(Duration::from_millis(3_600_001));
        read(&row, 7).await;
        let before = row.loads();
        read(&row, 7).await;
        assert_eq!(row.loads(), before, "what was loaded after the grace is stored");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_on_redis_as_well() {
    let server = Server::start();
    let cache = connected(&server).await;
    static WRITE: Site = Site::invalidates("grace", "write_for_a_moment").keys(&["row:7"]).tags(&["rows"]);
    scope(cache.clone(), async {
        let row = Row::new();
        cache.invalidation(&WRITE).grace(Duration::from_millis(200)).run(async { row.write() }).await;
        until("it is stored", async || {
            let before = row.loads();
            read(&row, 7).await;
            row.loads() == before
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_late_has_what_is_left_of_it() {
    let server = Server::start();
    for url in ["memory:", &server.url()] {
        let faults = Faults::new();
        let cache = Cache::builder().url(url).faults(&faults).secret(SECRET).op_timeout(Duration::from_secs(5));
        let cache = cache.connect().await.unwrap();
        scope(cache.clone(), async {
            let row = Row::new();
            faults.fail_invalidations();
            write_key(&row, 7).await.unwrap();
            cache.invalidation(&FORGET).apply().await
        })
        .await
        .eq(&Delivery::Deferred)
        .then_some(())
        .expect("the store could not be told");
        faults.heal();
        settled(&cache).await;
        scope(cache.clone(), async {
            is_not_stored(&Row::new(), 7).await;
            let row = Row::new();
            until("what has no grace is stored", async || {
                let before = row.loads();
                read(&row, 8).await;
                row.loads() == before
            })
            .await;
        })
        .await;
    }
}

static FORGET: Site = Site::invalidates("grace", "forget_without").keys(&["row:8"]);
