//! Transactions around mutators: what is invalidated at their end, and what is not.

#[macro_use]
mod common;

use std::future::pending;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::GUARD;
use crate::common::Row;
use crate::common::soon;
use crate::common::until;

/// Longer than any test waits: what is marked stays so, unless somebody takes the mark off.
const FOR_EVER: Duration = Duration::from_secs(300);

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}", in_transaction)]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

#[invalidates(key = "row:{id}", mode = after, in_transaction)]
async fn write_after(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

#[invalidates(tags = ["rows"], in_transaction)]
async fn write_rows(row: &Row) -> u64 {
    row.write()
}

#[invalidates(tags = ["rows"], mode = linearizable, in_transaction)]
async fn write_strictly(row: &Row) -> u64 {
    row.write()
}

#[invalidates(key = "row:{result}", in_transaction)]
async fn place(row: &Row, id: u64) -> u64 {
    row.write();
    id
}

/// What is stored of a row.
async fn kept(id: u64) -> Option<u64> {
    static ROW: Site = Site::cached("transactions", "kept").key("row:{id}").tags(&["rows"]);
    let entry = global().entry(&ROW, returns::<u64>().kind()).key(&[&id]);
    entry.get().await
}

/// Reads each until it is stored.
async fn stored(row: &Row, ids: &[u64]) {
    let storing = async {
        for id in ids {
            read(row, *id).await;
            while kept(*id).await.is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                read(row, *id).await;
            }
        }
    };
    soon("they are stored", storing).await;
}

/// What is stored for whoever is in no transaction.
async fn kept_outside(cache: &Cache, id: u64) -> Option<u64> {
    outside(cache, async move { kept(id).await }).await
}

/// Runs `future` in a task that knows nothing of the transaction.
async fn outside<T: Send + 'static>(cache: &Cache, future: impl Future<Output = T> + Send + 'static) -> T {
    let cache = cache.clone();
    // In there, because a scope goes on with what the task carries that makes it.
    let others = tokio::spawn(async move { scope(cache, future).await });
    soon("others have read", others).await.unwrap()
}

/// The database forgets what was not committed.
fn undo(row: &Row) {
    row.version.store(1, Ordering::SeqCst);
}

/// Polls `future` until it waits for what never comes.
async fn half_way(mut future: Pin<&mut impl Future>, has_come: impl Fn() -> bool) {
    until("it is half-way", async || {
        poll_fn(|poller| {
            assert!(future.as_mut().poll(poller).is_pending());
            Poll::Ready(())
        })
        .await;
        has_come()
    })
    .await;
}

fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(scope::current().carry(future))
}

async fn what_was_only_collected_is_dropped_on_rollback(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    let transaction = cache.transaction(async |collected| {
        write_after(&row, 1).await;
        place(&row, 2).await;
        undo(&row);
        collected.rolled_back().await;
    });
    transaction.await;
    assert_eq!((kept(1).await, kept(2).await), (Some(1), Some(1)));
    assert_eq!((row.loads(), cache.stats().total.applied, cache.pending()), (2, 0, 0));
}

async fn marks_are_taken_off_on_rollback(cache: Cache, other: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    let transaction = cache.transaction(async |collected| {
        write(&row, 1).await;
        write_rows(&row).await;
        undo(&row);
        collected.rolled_back().await;
    });
    transaction.await;
    stored(&row, &[1, 2]).await;
    assert_eq!((scope(other, kept(1)).await, cache.stats().total.applied), (Some(1), 0));
}

async fn a_commit_invalidates(cache: Cache, other: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2, 3]).await;
    let transaction = cache.transaction(async |_| {
        write(&row, 1).await;
        write_after(&row, 2).await;
        place(&row, 3).await;
        assert_eq!(kept_outside(&cache, 2).await, Some(1), "it is not committed yet");
    });
    transaction.await;
    for id in 1..4 {
        assert_eq!(scope(other.clone(), read(&row, id)).await, 4);
    }
    stored(&row, &[1, 2, 3]).await;
}

async fn an_error_counts_as_a_commit(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1]).await;
    let transaction = cache.transaction(async |_| {
        write_after(&row, 1).await;
        Err::<(), _>("the connection was lost after the commit was sent")?;
        Ok::<_, &str>(())
    });
    transaction.await.unwrap_err();
    assert_eq!(read(&row, 1).await, 2);
}

async fn a_transaction_that_is_tried_again_invalidates_what_it_did_last(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    let transaction = cache.transaction(async |collected| {
        write_after(&row, 1).await;
        undo(&row);
        collected.rolled_back().await;
        write_after(&row, 2).await;
    });
    transaction.await;
    assert_eq!((kept(1).await, kept(2).await), (Some(1), None));
}

async fn a_savepoint_ends_with_its_transaction(cache: Cache, _: Cache) {
    let row = Row::new();
    for commits in [false, true] {
        undo(&row);
        stored(&row, &[1, 2]).await;
        let transaction = cache.transaction(async |collected| {
            write_after(&row, 1).await;
            cache.transaction(async |_| write_after(&row, 2).await).await;
            assert_eq!((kept_outside(&cache, 1).await, kept_outside(&cache, 2).await), (Some(1), Some(1)));
            assert_eq!(read(&row, 2).await, 3, "the transaction sees what its savepoint wrote");
            if !commits {
                undo(&row);
                collected.rolled_back().await;
            }
        });
        transaction.await;
        let expected = if commits { None } else { Some(1) };
        assert_eq!((kept(1).await, kept(2).await), (expected, expected));
    }
}

async fn a_savepoint_is_rolled_back_alone(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2, 3, 4]).await;
    let transaction = cache.transaction(async |_| {
        write_after(&row, 1).await;
        let savepoint = cache.transaction(async |inner| {
            write_after(&row, 2).await;
            cache.transaction(async |_| write_after(&row, 3).await).await;
            inner.rolled_back().await;
            write_after(&row, 4).await;
        });
        savepoint.await;
    });
    transaction.await;
    assert_eq!([kept(1).await, kept(2).await, kept(3).await, kept(4).await], [None, Some(1), Some(1), None]);
}

async fn what_a_savepoint_has_in_common_with_its_transaction_stays_marked(cache: Cache, _: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |_| {
        write(&row, 1).await;
        let savepoint = cache.transaction(async |inner| {
            write(&row, 1).await;
            write(&row, 2).await;
            inner.rolled_back().await;
        });
        savepoint.await;
        let others = row.clone();
        outside(&cache, async move {
            stored(&others, &[2]).await;
            read(&others, 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(kept(1).await, None, "it is marked");
        })
        .await;
    });
    transaction.await;
    assert!(kept(2).await.is_some(), "it is not invalidated any more");
    stored(&row, &[1]).await;
}

async fn what_a_transaction_marks_strictly_a_savepoint_marks_strictly(cache: Cache, _: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |_| {
        write_strictly(&row).await;
        cache.transaction(async |_| write_rows(&row).await).await;
        let others = row.clone();
        outside(&cache, async move {
            read(&others, 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(kept(1).await, None, "nothing is stored meanwhile");
        })
        .await;
    });
    transaction.await;
    stored(&row, &[1]).await;
}

async fn reads_inside_pass_by_what_was_collected(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    let transaction = cache.transaction(async |_| {
        assert_eq!(read(&row, 1).await, 1);
        write_after(&row, 1).await;
        assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 1));
        let savepoint = cache.transaction(async |inner| {
            assert_eq!(read(&row, 1).await, 2);
            write_after(&row, 1).await;
            write_after(&row, 2).await;
            assert_eq!((read(&row, 1).await, read(&row, 2).await), (4, 4));
            row.version.store(2, Ordering::SeqCst);
            inner.rolled_back().await;
            assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 2));
        });
        savepoint.await;
        let loads = row.loads();
        assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 2), "also what was rolled back");
        assert_eq!(row.loads(), loads + 2);
    });
    transaction.await;
    assert_eq!((kept(1).await, kept(2).await), (None, Some(1)));
}

async fn nothing_that_is_loaded_inside_is_stored(cache: Cache, _: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |collected| {
        // What it changes it says only when it is done.
        row.write();
        assert_eq!(read(&row, 1).await, 2);
        write_after(&row, 1).await;
        undo(&row);
        collected.rolled_back().await;
    });
    transaction.await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(read(&row, 1).await, 1, "what was read was never committed");
    stored(&row, &[1]).await;
}

async fn what_goes_on_after_a_transaction_is_stored_again(cache: Cache, _: Cache) {
    let row = Row::new();
    let carried = cache.transaction(async |_| scope::current()).await;
    carried.carry(stored(&row, &[1])).await;
}

async fn a_transaction_dropped_half_way_may_yet_commit(cache: Cache, other: Cache) {
    let row = Row::new();
    let invalidated = async |id: u64| {
        until("it is invalidated", async || read(&row, id).await == 2).await;
        until("for others too", async || scope(other.clone(), read(&row, id)).await == 2).await;
    };
    stored(&row, &[1, 2]).await;
    let escaped = Mutex::new(None);
    let mut transaction = Box::pin(cache.transaction(async |collected| {
        write(&row, 1).await;
        write_after(&row, 2).await;
        undo(&row);
        *escaped.lock().unwrap() = Some(collected);
        pending::<()>().await;
    }));
    half_way(transaction.as_mut(), || escaped.lock().unwrap().is_some()).await;
    drop(transaction);
    // It commits a moment later, and meanwhile others have read.
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 1));
    row.write();
    invalidated(1).await;
    invalidated(2).await;
    stored(&row, &[1, 2]).await;
    let escaped = escaped.into_inner().unwrap().unwrap();
    escaped.rolled_back().await;
}

async fn a_savepoint_dropped_half_way_ends_with_its_transaction(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    let transaction = cache.transaction(async |_| {
        write_after(&row, 2).await;
        let begun = std::cell::Cell::new(false);
        let mut savepoint = Box::pin(cache.transaction(async |_| {
            write_after(&row, 1).await;
            begun.set(true);
            pending::<()>().await;
        }));
        half_way(savepoint.as_mut(), || begun.get()).await;
        drop(savepoint);
        undo(&row);
        // Nobody knows how long it takes to commit.
        tokio::time::sleep(GUARD * 2).await;
        let others = row.clone();
        outside(&cache, async move { stored(&others, &[1]).await }).await;
        row.write();
    });
    transaction.await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 2));
}

async fn a_mutation_that_outlives_its_savepoint_is_a_part_of_the_transaction(cache: Cache, _: Cache) {
    static PLACE: Site = Site::invalidates("transactions", "place").keys(&["row:{result}"]);
    let row = Row::new();
    stored(&row, &[1]).await;
    let transaction = cache.transaction(async |_| {
        let (tell, told) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel::<()>();
        let running = std::cell::Cell::new(None);
        cache
            .transaction(async |_| {
                let mutation = global().invalidation(&PLACE).returning(returns::<u64>().kind());
                let mutation = mutation.result(|id, names| names.keys(&[id])).run(async {
                    begun.send(()).unwrap();
                    told.await.unwrap();
                    1_u64
                });
                running.set(Some(spawn(mutation)));
                has_begun.await.unwrap();
            })
            .await;
        tell.send(()).unwrap();
        running.take().unwrap().await.unwrap();
        tokio::time::sleep(GUARD * 2).await;
        assert_eq!(kept_outside(&cache, 1).await, Some(1), "it is not committed yet");
        row.write();
    });
    transaction.await;
    assert_eq!(read(&row, 1).await, 2);
}

async fn a_savepoint_that_outlives_its_transaction_invalidates(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1]).await;
    let (tell, told) = oneshot::channel::<()>();
    let (begun, has_begun) = oneshot::channel::<()>();
    let running = std::cell::Cell::new(None);
    cache
        .transaction(async |_| {
            let (cache, row) = (cache.clone(), row.clone());
            let savepoint = spawn(async move {
                cache
                    .transaction(async |_| {
                        write_after(&row, 1).await;
                        begun.send(()).unwrap();
                        told.await.unwrap();
                    })
                    .await
            });
            running.set(Some(savepoint));
            has_begun.await.unwrap();
        })
        .await;
    assert_eq!(kept(1).await, Some(1));
    tell.send(()).unwrap();
    running.take().unwrap().await.unwrap();
    assert_eq!(kept(1).await, None);
}

async fn many_savepoints_are_marked_until_the_transaction_ends(cache: Cache, _: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |_| {
        for id in 0..300 {
            cache.transaction(async |_| write(&row, id).await).await;
        }
        tokio::time::sleep(GUARD * 3).await;
        let others = row.clone();
        outside(&cache, async move {
            read(&others, 7).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(kept(7).await, None, "it is marked still");
        })
        .await;
    });
    transaction.await;
    stored(&row, &[7]).await;
    assert_eq!(cache.stats().total.applied, 1);
}

on_every_store! {
    what_was_only_collected_is_dropped_on_rollback
    a_commit_invalidates
    an_error_counts_as_a_commit
    a_transaction_that_is_tried_again_invalidates_what_it_did_last
    a_savepoint_ends_with_its_transaction
    a_savepoint_is_rolled_back_alone
    what_a_transaction_marks_strictly_a_savepoint_marks_strictly
    reads_inside_pass_by_what_was_collected
    nothing_that_is_loaded_inside_is_stored
    what_goes_on_after_a_transaction_is_stored_again
    a_transaction_dropped_half_way_may_yet_commit
    a_savepoint_dropped_half_way_ends_with_its_transaction
    a_mutation_that_outlives_its_savepoint_is_a_part_of_the_transaction
    a_savepoint_that_outlives_its_transaction_invalidates
    many_savepoints_are_marked_until_the_transaction_ends
}

mod marked_for_ever {
    use super::marks_are_taken_off_on_rollback;
    use super::what_a_savepoint_has_in_common_with_its_transaction_stays_marked;

    on_every_store! {
        guard = super::super::FOR_EVER;
        marks_are_taken_off_on_rollback
        what_a_savepoint_has_in_common_with_its_transaction_stays_marked
    }
}
