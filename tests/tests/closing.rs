//! `Cache::close`: a process that ends takes nothing along that others wait for.

#[macro_use]
mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Closed;
use cache_runtime::Delivery;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Fill;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Refusal;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;

use crate::common::Row;
use crate::common::SECRET;
use crate::common::connected;
use crate::common::guarding;
use crate::common::settled;
use crate::common::soon;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row), jitter = 0.0, handle = row_entry)]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}", tags = ["rows"])]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(30);
/// Long enough for nothing.
const SHORT: Duration = Duration::from_millis(20);

on_every_store! {
    what_was_stored_is_served_no_more
    loads_share_and_are_not_stored
    a_load_that_runs_on_is_not_stored
    mutators_still_tell_the_store
    it_can_be_called_by_several_and_again
}

async fn what_was_stored_is_served_no_more(cache: Cache, _: Cache) {
    let row = Row::new();
    read(&row, 7).await;
    settled(7).await;
    assert!(cache.close(LONG).await.is_complete());
    read(&row, 7).await;
    assert_eq!(row.loads(), 2);
    let (_, calls) = scope(cache.clone(), async {
        read(&row, 7).await;
        read(&row, 7).await;
        assert_eq!(row_entry(&7).get().await, None);
        assert!(!row_entry(&7).put(3).await);
        assert_eq!(row_entry(&7).refresh(async { 4 }).await, 4);
    })
    .explain()
    .await;
    assert_eq!(row.loads(), 4, "{calls}");
    for call in &calls[..2] {
        assert_eq!((call.ending, call.missed), (Ending::Bypassed(Bypass::Closed), Some(Miss::Closed)), "{calls}");
    }
    assert_eq!(calls[2].missed, Some(Miss::Closed), "{calls}");
    assert_eq!(calls[3].ending, Ending::Bypassed(Bypass::Closed), "{calls}");
}

async fn loads_share_and_are_not_stored(cache: Cache, _: Cache) {
    assert!(cache.close(LONG).await.is_complete());
    let row = Row::with_gate(0);
    let reads = async { tokio::join!(read(&row, 7), read(&row, 7), read(&row, 7)) };
    let open = async {
        row.has_loads(1).await;
        row.gate.add_permits(1000);
    };
    tokio::join!(reads, open);
    assert_eq!(row.most_loading(), 1);
}

async fn a_load_that_runs_on_is_not_stored(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let reading = scope(cache.clone(), read(&row, 7)).explain();
    let closing = async {
        row.has_loads(1).await;
        assert!(cache.close(LONG).await.is_complete(), "the load is not waited for");
        row.gate.add_permits(1000);
    };
    let ((_, calls), ()) = tokio::join!(reading, closing);
    assert_eq!(calls[0].fill, Some(Fill::Refused(Refusal::Closed)), "{calls}");
    read(&row, 7).await;
    assert_eq!(row.loads(), 2);
}

async fn mutators_still_tell_the_store(cache: Cache, other: Cache) {
    let row = Row::new();
    assert!(cache.close(LONG).await.is_complete());
    scope(other.clone(), read(&row, 7)).await;
    let written = write(&row, 7).await;
    assert_eq!(scope(other, read(&row, 7)).await, written);
    assert_eq!(cache.invalidate("row:7").await, Delivery::Applied);
    assert_eq!(cache.pending(), 0);
}

async fn it_can_be_called_by_several_and_again(cache: Cache, _: Cache) {
    let row = Row::new();
    read(&row, 7).await;
    let (one, other, short) = tokio::join!(cache.close(LONG), cache.close(LONG), cache.close(SHORT));
    assert!(one.is_complete() && other.is_complete());
    let _ = short;
    drop(cache.close(LONG));
    assert!(cache.close(Duration::ZERO).await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_after_its_first_load_leaves_the_value_and_no_lease() {
    let server = Server::start();
    for id in 0..20 {
        let (cache, other, row) = (connected(&server).await, connected(&server).await, Row::new());
        scope(cache.clone(), read(&row, id)).await;
        assert!(cache.close(LONG).await.is_complete());
        drop(cache);
        scope(other, read(&row, id)).await;
        assert_eq!(row.loads(), 1, "it was stored when `close` returned");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_lease_of_a_load_that_will_not_be_stored() {
    let server = Server::start();
    // Its leases outlive the test.
    let (cache, other) = (connected(&server).await, connected(&server).await);
    let (row, others) = (Row::with_gate(0), Row::new());
    let reading = scope(cache.clone(), read(&row, 7));
    let closing = async {
        row.has_loads(1).await;
        assert!(cache.close(LONG).await.is_complete());
        soon("the other has loaded", scope(other.clone(), read(&others, 7))).await;
        until("and stored", async || other.stats().total.fills == 1).await;
        row.gate.add_permits(1000);
    };
    tokio::join!(reading, closing);
    assert_eq!(scope(other, read(&others, 7)).await, 1);
    assert_eq!(others.loads(), 1, "what the closed one loaded is not in its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_dropped_is_not_waited_for() {
    static WRITE: Site = Site::invalidates("closing", "write").keys(&["row:{id}"]).mode(Mode::After);
    let server = Server::start();
    let (cache, other, row) = (guarding(&server, LONG).await, guarding(&server, LONG).await, Row::new());
    let mut writing = Box::pin(cache.invalidation(&WRITE).keys(&[&7]).run(std::future::pending::<()>()));
    until("it runs", async || {
        std::future::poll_fn(|context| std::task::Poll::Ready(writing.as_mut().poll(context))).await.is_pending()
    })
    .await;
    drop(writing);
    assert!(soon("it is marked", cache.close(LONG)).await.is_complete());
    scope(other.clone(), read(&row, 7)).await;
    scope(other.clone(), read(&row, 7)).await;
    assert_eq!((row.loads(), other.stats().total.fills), (2, 0), "it may yet commit");
}

/// Holds `law` on the in-process store and on a Redis, each with faults in front of it.
async fn on_both<L: Future<Output = ()>>(law: impl Fn(Cache, Faults) -> L) {
    let server = Server::start();
    for url in ["memory:", &server.url()] {
        let faults = Faults::new();
        let builder = Cache::builder().url(url).faults(&faults).secret(SECRET).lease(LONG).op_timeout(LONG);
        let cache = builder.connect().await.unwrap();
        scope(cache.clone(), law(cache, faults)).await;
    }
}

fn left(undelivered: usize, leases: usize, fills: usize) -> impl Fn(Closed) -> bool {
    move |closed| (closed.undelivered, closed.leases, closed.fills) == (undelivered, leases, fills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_undelivered_is_waited_for_and_told() {
    on_both(async |cache, faults| {
        faults.fail_invalidations();
        assert_eq!(cache.invalidate_tags(["rows", "more"]).await, Delivery::Deferred);
        let closed = cache.close(SHORT).await;
        assert!(left(2, 0, 0)(closed) && !closed.is_complete(), "{closed:?}");
        let (closed, ()) = tokio::join!(cache.close(LONG), async { faults.heal() });
        assert!(closed.is_complete(), "{closed:?}");
        assert_eq!(cache.pending(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_body_that_was_dropped_may_have_changed_is_waited_for_and_told() {
    static WRITE: Site = Site::invalidates("closing", "write").keys(&["row:{id}"]).tags(&["rows"]).mode(Mode::After);
    on_both(async |cache, faults| {
        let writing = cache.invalidation(&WRITE).keys(&[&7]).run(std::future::pending::<()>());
        assert!(tokio::time::timeout(SHORT, writing).await.is_err());
        faults.hang();
        let writing = cache.invalidation(&WRITE).keys(&[&8]).run(std::future::pending::<()>());
        assert!(tokio::time::timeout(SHORT, writing).await.is_err());
        let closed = cache.close(SHORT).await;
        assert_eq!(closed.undelivered, 4, "{closed:?}");
        let (closed, ()) = tokio::join!(cache.close(LONG), async { faults.heal() });
        assert!(closed.is_complete(), "{closed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidation_after_it_is_tried_once() {
    on_both(async |cache, faults| {
        assert!(cache.close(LONG).await.is_complete());
        faults.fail_invalidations();
        let row = Row::new();
        write(&row, 7).await;
        assert_eq!(cache.invalidate("row:7").await, Delivery::Deferred);
        faults.heal();
        tokio::time::sleep(10 * SHORT).await;
        assert_eq!(cache.pending(), 2, "nobody tries again");
        assert!(cache.close(LONG).await.is_complete(), "but who closes it again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_cannot_be_given_up_is_told() {
    on_both(async |cache, faults| {
        let row = Row::with_gate(0);
        let reading = scope(cache.clone(), read(&row, 7));
        let closing = async {
            row.has_loads(1).await;
            faults.fail_fills();
            let closed = cache.close(SHORT).await;
            assert!(left(0, 1, 0)(closed), "{closed:?}");
            faults.heal();
            assert!(cache.close(LONG).await.is_complete());
            row.gate.add_permits(1000);
        };
        tokio::join!(reading, closing);
        assert_eq!(row.version.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_on_its_way_is_waited_for_and_told() {
    on_both(async |cache, faults| {
        let row = Row::with_gate(0);
        let reading = scope(cache.clone(), read(&row, 7));
        let hanging = async {
            row.has_loads(1).await;
            faults.hang();
            row.gate.add_permits(1000);
        };
        tokio::join!(reading, hanging);
        let closed = cache.close(SHORT).await;
        assert!(left(0, 1, 1)(closed), "{closed:?}");
        let (closed, ()) = tokio::join!(cache.close(LONG), async { faults.heal() });
        assert!(closed.is_complete(), "{closed:?}");
        assert_eq!(cache.stats().total.fills, 1);
    })
    .await;
}
