//! Transactions around mutators: what is invalidated at their end, and what is not; and records of it, for an outbox.

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
use cache_runtime::Delivery;
use cache_runtime::Record;
use cache_runtime::RecordError;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::GUARD;
use crate::common::Row;
use crate::common::connected;
use crate::common::filled;
use crate::common::soon;
use crate::common::traced::Traced;
use crate::common::until;

/// Longer than any test waits: what is marked stays so, unless somebody takes the mark off.
const FOR_EVER: Duration = Duration::from_secs(300);

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "mail:{mail:hash}", skip(row))]
async fn read_mail(row: &Row, mail: &str) -> u64 {
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

#[invalidates(key = "mail:{mail:hash}", in_transaction)]
async fn write_mail(row: &Row, mail: &str) -> u64 {
    let _ = mail;
    row.write()
}

#[invalidates(key = "row:{id}", grace = "5m", in_transaction)]
async fn write_with_grace(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
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

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::to_string).collect()
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
        assert_eq!(texts(&collected.records()), ["v1 cache key:row:2 ."]);
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
    assert_eq!(escaped.records(), []);
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
    let transaction = cache.transaction(async |collected| {
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
        assert_eq!(texts(&collected.records()), ["v1 cache key:row:1 ."]);
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
    let transaction = cache.transaction(async |collected| {
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
        let names: Vec<_> = texts(&collected.records());
        assert_eq!(names.iter().map(|text| text.split_whitespace().count() - 3).collect::<Vec<_>>(), [256, 44]);
    });
    transaction.await;
    stored(&row, &[7]).await;
    assert_eq!(cache.stats().total.applied, 1);
}

async fn records_hold_all_that_was_collected_and_not_rolled_back(cache: Cache, _: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |collected| {
        assert_eq!(collected.records(), []);
        write(&row, 1).await;
        write_after(&row, 2).await;
        write_after(&row, 2).await;
        place(&row, 3).await;
        write_rows(&row).await;
        let _ = cache.invalidate("by hand").await;
        let _ = cache.invalidate("x".repeat(201)).await;
        cache
            .transaction(async |inner| {
                write(&row, 4).await;
                assert_eq!(texts(&inner.records()), ["v1 cache key:row:4 ."], "of the savepoint alone");
                assert!(!texts(&collected.records())[0].contains("row:4"), "which has not ended yet");
            })
            .await;
        cache
            .transaction(async |inner| {
                write(&row, 5).await;
                inner.rolled_back().await;
                assert_eq!(inner.records(), []);
            })
            .await;
        texts(&collected.records())
    });
    let by_hand = "key:#08a8ab5ccc1a5c25f0f8c17f28d0e7ac6bd7b1d2";
    let long = "key:#";
    let texts = transaction.await;
    let words: Vec<_> = texts[0].split(' ').collect();
    assert_eq!(texts.len(), 1);
    assert_eq!(words[..2], ["v1", "cache"]);
    assert_eq!(words[2..4].iter().filter(|word| word.starts_with(long) && word.len() == by_hand.len()).count(), 2);
    assert_eq!(words[4..], ["key:row:1", "key:row:2", "key:row:3", "key:row:4", "tag:rows", "."]);
}

async fn records_take_the_grace_along(cache: Cache, other: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |collected| {
        cache
            .transaction(async |inner| {
                write_with_grace(&row, 1).await;
                undo(&row);
                inner.rolled_back().await;
            })
            .await;
        assert_eq!(collected.records(), []);
        write(&row, 1).await;
        assert_eq!(texts(&collected.records()), ["v1 cache key:row:1 ."]);
        cache.transaction(async |_| write_with_grace(&row, 2).await).await;
        undo(&row);
        let records = collected.records();
        collected.rolled_back().await;
        records
    });
    let records = transaction.await;
    assert_eq!(texts(&records), ["v1 cache grace:300000 key:row:1 key:row:2 ."]);
    stored(&row, &[1, 2]).await;
    assert_eq!(other.apply(&records).await, Ok(Delivery::Applied));
    // One of somebody else, which has none, does not end it.
    assert_eq!(cache.apply(["v1 cache key:row:1 .".parse::<Record>().unwrap()]).await, Ok(Delivery::Applied));
    let now = row.write();
    for id in [1, 2] {
        assert_eq!(read(&row, id).await, now);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(kept(id).await, None, "nothing is stored while the grace lasts");
    }
}

async fn what_was_recorded_is_invalidated_at_the_end_too(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row, &[1]).await;
    let records = cache.transaction(async |collected| {
        write_after(&row, 1).await;
        collected.records()
    });
    assert_eq!(records.await.len(), 1);
    assert_eq!(kept(1).await, None);
}

async fn records_are_applied_at_once_also_inside_of_a_transaction(cache: Cache, other: Cache) {
    let row = Row::new();
    stored(&row, &[1]).await;
    let record: Record = "v1 cache key:row:1 .".parse().unwrap();
    let transaction = cache.transaction(async |collected| {
        assert_eq!(cache.apply([&record]).await, Ok(Delivery::Applied));
        assert_eq!(collected.records(), []);
        assert_eq!(kept_outside(&cache, 1).await, None);
    });
    transaction.await;
    stored(&row, &[1]).await;
    assert_eq!(other.apply(&[record]).await, Ok(Delivery::Applied));
    assert_eq!(kept(1).await, None);
}

async fn records_of_a_process_that_died_are_delivered_by_another(_: Cache, other: Cache) {
    let row = Row::new();
    stored(&row, &[1, 2]).await;
    // Nothing that this one says reaches the store.
    let dying = Cache::memory();
    let rows = scope(dying.clone(), async {
        let transaction = dying.transaction(async |collected| {
            write(&row, 1).await;
            place(&row, 2).await;
            texts(&collected.records())
        });
        transaction.await
    });
    let rows = rows.await;
    assert_eq!((kept(1).await, kept(2).await), (Some(1), Some(1)));
    let records: Vec<Record> = rows.iter().map(|row| row.parse().unwrap()).collect();
    assert_eq!(other.apply(records).await, Ok(Delivery::Applied));
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 3));
}

/// Rows 0 to 7 are stored; then records of some of them are applied, in any order and each as often as it likes.
async fn records_are_applied_in_any_order_and_any_number_of_times(cache: Cache, other: Cache) {
    let row = Row::new();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    for _ in 0..32 {
        let Deliveries { ids, all, texts, at_once } = deliveries().new_tree(&mut runner).unwrap().current();
        stored(&row, &(0..ROWS).collect::<Vec<_>>()).await;
        let records: Vec<Record> = texts.iter().map(|text| text.parse().unwrap()).collect();
        for (turn, records) in records.chunks(at_once).enumerate() {
            let by = if turn % 2 == 0 { &cache } else { &other };
            assert_eq!(by.apply(records).await, Ok(Delivery::Applied));
        }
        for id in 0..ROWS {
            assert_eq!(kept(id).await.is_none(), all || ids.contains(&id), "row {id} after {texts:?}");
        }
        // One that comes once more, when all is stored anew, is no more than a miss.
        let now = row.write();
        assert_eq!(cache.apply(["v1 cache tag:rows .".parse::<Record>().unwrap()]).await, Ok(Delivery::Applied));
        stored(&row, &(0..ROWS).collect::<Vec<_>>()).await;
        assert_eq!(other.apply(&records).await, Ok(Delivery::Applied));
        for id in 0..ROWS {
            assert_eq!(read(&row, id).await, now);
        }
    }
}

const ROWS: u64 = 8;

/// Records of some rows, or of all.
#[derive(Clone, Debug)]
struct Deliveries {
    ids: Vec<u64>,
    all: bool,
    /// Each at least once, in any order.
    texts: Vec<String>,
    at_once: usize,
}

fn deliveries() -> impl Strategy<Value = Deliveries> {
    let rows = subsequence((0..ROWS).collect::<Vec<_>>(), 0..6);
    (rows, prop::bool::weighted(0.1), 1..4_usize).prop_flat_map(|(ids, all, at_once)| {
        let of_rows = ids.iter().map(|id| format!("v1 cache key:row:{id} key:row:none ."));
        let once: Vec<_> = of_rows.chain(all.then(|| "v1 cache tag:rows .".to_owned())).collect();
        let twice = [once.clone(), once.clone()].concat();
        let again = subsequence(twice.clone(), 0..=twice.len());
        let shuffled = again.prop_flat_map(move |again| Just([once.clone(), again].concat()).prop_shuffle());
        shuffled.prop_map(move |texts| Deliveries { ids: ids.clone(), all, texts, at_once })
    })
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
    records_hold_all_that_was_collected_and_not_rolled_back
    records_take_the_grace_along
    what_was_recorded_is_invalidated_at_the_end_too
    records_are_applied_at_once_also_inside_of_a_transaction
    records_of_a_process_that_died_are_delivered_by_another
    records_are_applied_in_any_order_and_any_number_of_times
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

#[tokio::test]
async fn records_that_cannot_be_delivered_stay_where_they_are() {
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).build().unwrap();
    let record: Record = "v1 cache key:row:1 .".parse().unwrap();
    faults.fail();
    for _ in 0..3 {
        assert_eq!(cache.apply([&record]).await, Ok(Delivery::Deferred));
    }
    assert_eq!((cache.pending(), cache.stats().total.deferred), (0, 3), "nothing but the row keeps it");
    faults.heal();
    assert_eq!(cache.apply([&record]).await, Ok(Delivery::Applied));
}

#[tokio::test]
async fn records_outlive_an_outage_of_redis_and_their_writer() {
    let (server, row, mail) = (Server::start(), Row::new(), "ada@example.org");
    let reader = connected(&server).await;
    scope(reader.clone(), async {
        stored(&row, &[1]).await;
        read_mail(&row, mail).await;
        filled(&reader, "read_mail", 1).await;
    })
    .await;
    let writer = Cache::builder().url("redis://127.0.0.1:1").secret(common::SECRET).build().unwrap();
    let transaction = writer.transaction(async |collected| {
        write(&row, 1).await;
        write_mail(&row, mail).await;
        collected.records()
    });
    let records = scope(writer.clone(), transaction).await;
    drop(writer);
    // It needs no secret.
    let worker = Cache::connect(&server.url()).await.unwrap();
    server.stop();
    assert_eq!(worker.apply(&records).await, Ok(Delivery::Deferred));
    server.cont();
    until("the store is told", async || worker.apply(&records).await == Ok(Delivery::Applied)).await;
    assert_eq!((worker.pending(), row.loads()), (0, 2));
    scope(reader, async { assert_eq!((read(&row, 1).await, read_mail(&row, mail).await), (3, 3)) }).await;
}

#[tokio::test]
async fn records_of_several_namespaces_are_apart() {
    let named = |name: &str| Cache::builder().namespace(name).build().unwrap();
    let (shop, house) = (named("shop"), named("house"));
    let transaction = shop.transaction(async |collected| {
        let _ = (house.invalidate("a").await, shop.invalidate("a").await, house.invalidate_tags(["b"]).await);
        collected.records()
    });
    let records = transaction.await;
    assert_eq!(texts(&records), ["v1 house key:a tag:b .", "v1 shop key:a ."]);
    let refused = RecordError::Namespace { record: "shop".to_owned(), cache: "house".to_owned() };
    assert_eq!(house.apply(&records).await, Err(refused));
    assert_eq!(house.apply(records.iter().filter(|record| record.namespace() == "house")).await, Ok(Delivery::Applied));
}

#[tokio::test]
async fn what_is_collected_after_the_records_were_taken_is_told() {
    let cache = Cache::memory();
    for (more, told) in [("key", 0), ("another", 1)] {
        let traced = Traced::default();
        let _heard = traced.hear();
        let transaction = cache.transaction(async |collected| {
            let _ = cache.invalidate("key").await;
            drop(collected.records());
            let _ = cache.invalidate(more).await;
        });
        transaction.await;
        assert_eq!(traced.said("after its records were taken"), told, "{more}");
    }
}
