//! `Cache::clear`, and what the journal does that cannot hold more: a namespace is emptied at once.

#[macro_use]
mod common;

use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::Error;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Told;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled as delivered;

use crate::common::Row;
use crate::common::SECRET;
use crate::common::connected;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row), jitter = 0.0, stale_if_error = "1h", even_invalidated)]
async fn read(row: &Row, id: u64) -> Result<u64, Error> {
    Ok(row.read().await)
}

/// Made of another entry, and without a tag of its own.
#[cached(ttl = "5m", key = "sum:{id}", skip(row), jitter = 0.0)]
async fn sum(row: &Row, id: u64) -> Result<u64, Error> {
    read(row, id).await
}

/// With nothing but its key to be known by.
#[cached(ttl = "5m", key = "bare:{id}", skip(row), jitter = 0.0)]
async fn bare(row: &Row, id: u64) -> Result<u64, Error> {
    Ok(row.read().await)
}

async fn is_stored(row: &Row, id: u64) {
    until("it is stored", async || {
        let before = row.loads();
        sum(row, id).await.unwrap();
        row.loads() == before
    })
    .await;
}

on_every_store! {
    nothing_from_before_is_served_after_it
    what_is_being_loaded_is_neither_stored_nor_shared
    a_transaction_does_not_put_it_off
    what_is_stored_after_it_is_served
}

async fn nothing_from_before_is_served_after_it(cache: Cache, other: Cache) {
    let row = Row::new();
    is_stored(&row, 7).await;
    scope(other.clone(), is_stored(&row, 7)).await;
    let bare_fills = cache.stats().function("bare").fills;
    assert_eq!(bare(&row, 8).await, Ok(1));
    until("it is stored", async || cache.stats().function("bare").fills > bare_fills).await;
    let written = row.write();
    assert_eq!(cache.clear().await, Delivery::Applied);
    assert_eq!(cache.stats().function("clear").applied, 1);
    assert_eq!((read(&row, 7).await, sum(&row, 7).await, bare(&row, 8).await), (Ok(written), Ok(written), Ok(written)));
    until("the other has heard of it", async || scope(other.clone(), sum(&row, 7)).await == Ok(written)).await;
    assert_eq!(scope(other, read(&row, 7)).await, Ok(written));
}

async fn what_is_being_loaded_is_neither_stored_nor_shared(cache: Cache, _: Cache) {
    is_neither_stored_nor_shared(&cache, read).await;
    is_neither_stored_nor_shared(&cache, bare).await;
}

async fn is_neither_stored_nor_shared(cache: &Cache, read: impl AsyncFn(&Row, u64) -> Result<u64, Error>) {
    let row = Row::with_gate(0);
    let first = async { read(&row, 7).await };
    let rest = async {
        row.has_loads(1).await;
        let written = row.write();
        assert_eq!(cache.clear().await, Delivery::Applied);
        let second = read(&row, 7);
        let open = async {
            row.has_loads(2).await;
            row.gate.add_permits(1000);
        };
        assert_eq!(tokio::join!(second, open).0, Ok(written), "it did not join the load from before");
        written
    };
    let (old, written) = tokio::join!(first, rest);
    assert_eq!(old, Ok(1));
    until("it is stored", async || {
        let before = row.loads();
        assert_eq!(read(&row, 7).await, Ok(written));
        row.loads() == before
    })
    .await;
}

async fn a_transaction_does_not_put_it_off(cache: Cache, _: Cache) {
    let row = Row::new();
    is_stored(&row, 7).await;
    let written = cache
        .defer_invalidations(async {
            let written = row.write();
            assert_eq!(cache.clear().await, Delivery::Applied);
            written
        })
        .await;
    assert_eq!(sum(&row, 7).await, Ok(written));
    let (_, calls) = scope(cache.clone(), cache.clear()).explain().await;
    assert!(matches!(calls[0].ending, Ending::Mutated { told: Told::Applied, .. }), "{calls}");
}

async fn what_is_stored_after_it_is_served(cache: Cache, other: Cache) {
    let row = Row::new();
    for _ in 0..3 {
        assert_eq!(cache.clear().await, Delivery::Applied);
        is_stored(&row, 7).await;
    }
    until("the other is served it", async || {
        let before = row.loads();
        scope(other.clone(), sum(&row, 7)).await.unwrap();
        row.loads() == before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_follows_within_two_seconds() {
    let server = Server::start();
    let (cache, clock) = (connected(&server).await, Clock::held());
    let other =
        Cache::builder().url(&server.url()).clock(clock.clone()).secret(SECRET).op_timeout(Duration::from_secs(5));
    let other = other.connect().await.unwrap();
    let row = Row::new();
    scope(other.clone(), is_stored(&row, 7)).await;
    let loads = row.loads();
    assert_eq!(cache.clear().await, Delivery::Applied);
    scope(other.clone(), read(&row, 7)).await.unwrap();
    assert_eq!(row.loads(), loads, "it has read the epoch just now");
    clock.advance(Duration::from_secs(2));
    let (_, calls) = scope(other, read(&row, 7)).explain().await;
    assert_eq!(calls[0].missed, Some(Miss::OtherEpoch), "{calls}");
    assert_eq!(row.loads(), loads + 1);
}

/// Holds `law` on the in-process store and on a Redis, each with faults in front of it, with a journal that holds two.
async fn on_both<L: Future<Output = ()>>(law: impl Fn(Cache, Faults) -> L) {
    let server = Server::start();
    for url in ["memory:", &server.url()] {
        let faults = Faults::new();
        let builder = Cache::builder().url(url).faults(&faults).secret(SECRET).journal_capacity(2);
        let cache = builder.op_timeout(Duration::from_secs(5)).connect().await.unwrap();
        scope(cache.clone(), law(cache, faults)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_emptied_is_not_used_until_it_is() {
    on_both(async |cache, faults| {
        let row = Row::new();
        is_stored(&row, 7).await;
        let written = row.write();
        faults.fail_invalidations();
        assert_eq!(cache.clear().await, Delivery::Deferred);
        assert_eq!(cache.pending(), 1);
        let (_, calls) = scope(cache.clone(), sum(&row, 7)).explain().await;
        assert_eq!(calls[0].ending, Ending::Bypassed(Bypass::Undelivered), "{calls}");
        faults.heal();
        delivered(&cache).await;
        assert_eq!(sum(&row, 7).await, Ok(written));
        is_stored(&row, 7).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_full_empties_the_namespace() {
    on_both(async |cache, faults| {
        let row = Row::new();
        for id in [7, 8] {
            is_stored(&row, id).await;
        }
        faults.fail_invalidations();
        for (id, pending) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
            assert_eq!(cache.invalidate(format!("row:{id}")).await, Delivery::Deferred);
            assert_eq!(cache.pending(), pending);
        }
        let loads = row.loads();
        let written = row.write();
        assert_eq!(read(&row, 7).await, Ok(written), "nothing of the namespace is used");
        assert_eq!(row.loads(), loads + 1);
        let (_, calls) = scope(cache.clone(), read(&row, 99)).explain().await;
        assert_eq!(calls[0].ending, Ending::Bypassed(Bypass::Undelivered), "{calls}");
        faults.heal();
        delivered(&cache).await;
        let (_, calls) = scope(cache.clone(), read(&row, 8)).explain().await;
        assert_eq!(calls[0].missed, Some(Miss::OtherEpoch), "{calls}");
        is_stored(&row, 7).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_keeps_the_grace_of_what_it_gave_up() {
    static WRITE: Site = Site::invalidates("clearing", "write").keys(&["row:{id}"]);
    on_both(async |cache, faults| {
        faults.fail_invalidations();
        for (id, grace) in [(1_u64, 3600), (2, 0), (3, 0)] {
            let write = cache.invalidation(&WRITE).keys(&[&id]).grace(Duration::from_secs(grace));
            assert_eq!(write.apply().await, Delivery::Deferred);
        }
        faults.heal();
        delivered(&cache).await;
        let row = Row::new();
        let (_, calls) = scope(cache.clone(), read(&row, 1)).explain().await;
        assert_eq!(calls[0].ending, Ending::Bypassed(Bypass::Mutating), "{calls}");
        read(&row, 1).await.unwrap();
        assert_eq!(row.loads(), 2);
    })
    .await;
}
