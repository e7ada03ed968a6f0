//! Mutators that name what they invalidate by what they return, and that say by it whether anything changed.

#[macro_use]
mod common;

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use tokio::sync::oneshot;

use crate::common::GUARD;
use crate::common::Row;
use crate::common::settled;
use crate::common::soon;
use crate::common::traced::Traced;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

/// What a mutation returns. It cannot be cloned.
#[derive(Debug)]
struct Order {
    id: u64,
    pair: (u64, String),
    changed: bool,
}

fn order(id: u64) -> Order {
    Order { id, pair: (id, "x".to_owned()), changed: true }
}

type Placed = io::Result<Order>;

#[invalidates(keys = ["row:{cart}", "row:{result.id}"])]
async fn place(row: &Row, cart: u64, placed: Placed) -> Placed {
    row.write();
    placed
}

#[invalidates(tags = ["row:{cart}", "row:{result.pair.0}"])]
async fn place_by_tag(row: &Row, cart: u64, placed: Placed) -> Placed {
    row.write();
    placed
}

#[invalidates(key = "row:{result}")]
async fn plain(row: &Row, id: u64) -> u64 {
    row.write();
    id
}

#[invalidates(key = "row:{result.0}")]
async fn optional(row: &Row, id: Option<(u64,)>) -> Option<(u64,)> {
    row.write();
    id
}

#[invalidates(key = "row:{result}", tags = ["row:{other}"])]
async fn fallible_optional(row: &Row, other: u64, id: io::Result<Option<u64>>) -> io::Result<Option<u64>> {
    row.write();
    id
}

#[invalidates(keys = ["row:{cart}", "row:{result.id}"], mode = linearizable)]
async fn place_and_then<F: Future<Output = Placed>>(row: &Row, cart: u64, then: F) -> Placed {
    row.write();
    then.await
}

#[invalidates(tags = ["row:{cart}", "row:{result}"])]
async fn place_by_tag_and_then<F: Future<Output = u64>>(row: &Row, cart: u64, then: F) -> u64 {
    row.write();
    then.await
}

#[invalidates(keys = ["row:{cart}", "row:{result.id}"], mode = after, when = |order| order.changed)]
async fn change(row: &Row, cart: u64, placed: Placed) -> Placed {
    row.write();
    placed
}

#[invalidates(key = "row:{cart}", mode = after, when = |changed: &bool| *changed)]
async fn change_and_then<F: Future<Output = bool>>(row: &Row, cart: u64, then: F) -> io::Result<bool> {
    row.write();
    Ok(then.await)
}

/// The rows 1 and 2, read and stored.
async fn stored(row: &Row) {
    assert_eq!((read(row, 1).await, read(row, 2).await), (1, 1));
    settled(1).await;
    settled(2).await;
}

async fn a_key_and_a_tag_are_read_from_the_result(_: Cache, other: Cache) {
    for by_tag in [false, true] {
        let row = Row::new();
        assert_eq!(cache_runtime::global().invalidate_tags(["rows"]).await, Delivery::Applied);
        stored(&row).await;
        let placed =
            if by_tag { place_by_tag(&row, 1, Ok(order(2))).await } else { place(&row, 1, Ok(order(2))).await };
        assert_eq!(placed.unwrap().id, 2);
        assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 2));
        assert_eq!((scope(other.clone(), read(&row, 1)).await, scope(other.clone(), read(&row, 2)).await), (2, 2));
    }
}

async fn without_a_value_what_needs_it_is_left_out(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    place(&row, 1, Err(io::Error::other("on purpose"))).await.unwrap_err();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 1));
    settled(1).await;
    fallible_optional(&row, 1, Ok(None)).await.unwrap();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 1));
    optional(&row, None).await;
    assert_eq!(read(&row, 2).await, 1);
}

async fn a_success_is_found_by_its_type(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    assert_eq!(plain(&row, 2).await, 2);
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 2));
    settled(2).await;
    optional(&row, Some((2,))).await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 3));
    settled(2).await;
    fallible_optional(&row, 3, Ok(Some(2))).await.unwrap();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 4));
}

/// A mutation that stands still in its body.
async fn half_way<F: Future + Send + 'static>(row: &Row, mutation: F) -> tokio::task::JoinHandle<F::Output>
where
    F::Output: Send,
{
    let running = tokio::spawn(scope::current().carry(mutation));
    until("the row is written", async || row.version.load(Ordering::SeqCst) > 1).await;
    running
}

async fn what_the_result_names_is_not_guarded_and_the_rest_is(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let mutated = row.clone();
    let running = half_way(&row, async move {
        let then = async {
            gone.await.unwrap();
            Ok(order(2))
        };
        place_and_then(&mutated, 1, then).await.unwrap().id
    })
    .await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 1));
    go.send(()).unwrap();
    assert_eq!(soon("the mutation has ended", running).await.unwrap(), 2);
    assert_eq!(read(&row, 2).await, 2);
}

async fn dropped_or_panicking_it_invalidates_the_rest(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    let mutated = row.clone();
    let running = half_way(&row, async move { place_and_then(&mutated, 1, pending()).await.map(drop) }).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 1));
    let mutated = row.clone();
    let panics = async move { place_and_then(&mutated, 1, async { panic!("on purpose") }).await.map(drop) };
    assert!(tokio::spawn(scope::current().carry(panics)).await.unwrap_err().is_panic());
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 1));
}

async fn a_success_that_changed_nothing_invalidates_nothing(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    change(&row, 1, Ok(Order { changed: false, ..order(2) })).await.unwrap();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 1));
    assert_eq!(cache.stats().function("change").applied, 0);
    change(&row, 1, Ok(order(2))).await.unwrap();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 3));
}

async fn an_error_invalidates_whatever_a_success_would_say(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    change(&row, 1, Err(io::Error::other("the commit timed out, and happened"))).await.unwrap_err();
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 1));
}

async fn a_panic_and_a_drop_invalidate_whatever_a_success_would_say(_: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    let mutated = row.clone();
    let running = half_way(&row, async move { change_and_then(&mutated, 1, pending()).await.map(drop) }).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    until("it is invalidated", async || read(&row, 1).await == 2).await;
    let mutated = row.clone();
    let panics = async move { change_and_then(&mutated, 1, async { panic!("on purpose") }).await.map(drop) };
    assert!(tokio::spawn(scope::current().carry(panics)).await.unwrap_err().is_panic());
    until("it is invalidated again", async || read(&row, 1).await == 3).await;
}

async fn in_a_transaction_the_result_is_asked_too(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    let unchanged = async {
        change(&row, 1, Ok(Order { changed: false, ..order(2) })).await.unwrap();
        assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 1));
    };
    cache.defer_invalidations(unchanged).await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (1, 1));
    let changed = async {
        change(&row, 1, Ok(order(2))).await.unwrap();
        assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 3), "it sees its own writes");
        let (cache, row) = (cache.clone(), row.clone());
        let others = tokio::spawn(async move { scope(cache, reads(row)).await });
        assert_eq!(soon("others have read", others).await.unwrap(), (1, 1), "it is not committed yet");
    };
    cache.defer_invalidations(changed).await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 3));
}

async fn reads(row: Arc<Row>) -> (u64, u64) {
    (read(&row, 1).await, read(&row, 2).await)
}

async fn in_a_savepoint_the_result_is_asked_too(cache: Cache, _: Cache) {
    for (changed, seen) in [(false, (1, 1)), (true, (3, 3))] {
        let row = Row::new();
        assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
        stored(&row).await;
        cache
            .transaction(async |_| {
                cache.transaction(async |_| change(&row, 1, Ok(Order { changed, ..order(2) })).await.unwrap()).await;
                row.write();
            })
            .await;
        assert_eq!((read(&row, 1).await, read(&row, 2).await), seen, "changed: {changed}");
    }
}

/// Ends a transaction around `mutation` while that runs; then `change`s the row and lets it end with `result`.
async fn outlived<T: Send + 'static, F>(
    cache: &Cache,
    row: &Arc<Row>,
    mutation: impl FnOnce(Arc<Row>, oneshot::Receiver<T>) -> F,
    result: T,
) where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
    let (tell, told) = oneshot::channel();
    let mut running = None;
    let transaction = async {
        running = Some(tokio::spawn(scope::current().carry(mutation(row.clone(), told))));
        until("it runs", async || row.version.load(Ordering::SeqCst) > 1).await;
    };
    cache.defer_invalidations(transaction).await;
    stored_as(row, 2).await;
    row.write();
    assert!(tell.send(result).is_ok());
    soon("it has ended", running.unwrap()).await.unwrap();
}

/// The rows 1 and 2, read at that version and stored.
async fn stored_as(row: &Row, version: u64) {
    until("it is stored", async || {
        let before = row.loads();
        let read = (read(row, 1).await, read(row, 2).await);
        row.loads() == before && read == (version, version)
    })
    .await;
}

async fn a_result_that_comes_after_the_transaction_is_told_of(cache: Cache, _: Cache) {
    let by_key = |row: Arc<Row>, told: oneshot::Receiver<u64>| async move {
        place_and_then(&row, 1, async { Ok(order(told.await.unwrap())) }).await.map(drop)
    };
    let by_tag = |row: Arc<Row>, told: oneshot::Receiver<u64>| async move {
        place_by_tag_and_then(&row, 1, async { told.await.unwrap() }).await
    };
    for tags in [false, true] {
        let row = Row::new();
        if tags {
            outlived(&cache, &row, by_tag, 2).await;
        } else {
            outlived(&cache, &row, by_key, 2).await;
        }
        until("its own row is invalidated", async || read(&row, 1).await == 3).await;
        until("the row that the result names is invalidated", async || read(&row, 2).await == 3).await;
    }
}

async fn one_who_changed_nothing_after_the_transaction_invalidates_nothing(cache: Cache, _: Cache) {
    let row = Row::new();
    let change = |row: Arc<Row>, told: oneshot::Receiver<bool>| async move {
        change_and_then(&row, 1, async { told.await.unwrap() }).await.map(drop)
    };
    outlived(&cache, &row, change, false).await;
    tokio::time::sleep(GUARD).await;
    assert_eq!(read(&row, 1).await, 2);
}

async fn in_a_transaction_that_nobody_told_of_the_result_is_read_too(_: Cache, _: Cache) {
    #[invalidates(key = "row:{result}", mode = after, in_transaction)]
    async fn uncommitted(row: &Row, id: u64) -> u64 {
        row.write();
        id
    }
    let row = Row::new();
    stored(&row).await;
    uncommitted(&row, 2).await;
    until("it is invalidated", async || read(&row, 2).await == 2).await;
    assert_eq!(read(&row, 1).await, 1);
}

#[tokio::test]
async fn a_result_that_cannot_be_written_is_told_of() {
    #[derive(Clone, serde::Serialize)]
    struct Found {
        share: f64,
    }
    #[invalidates(key = "share:{share:json}")]
    async fn of_argument(share: f64) {
        let _ = share;
    }
    #[invalidates(key = "share:{result:json}")]
    async fn of_result(share: f64) -> Result<Found, ()> {
        Ok(Found { share })
    }
    let cache = Cache::memory();
    scope(cache.clone(), async {
        for (at, share) in [1.5, f64::NAN].into_iter().enumerate() {
            let traced = Traced::default();
            let _heard = traced.hear();
            of_argument(share).await;
            assert_eq!(traced.said("as `json` could not be serialized"), at, "{:#?}", traced.events());
            of_result(share).await.map(drop).unwrap();
            assert_eq!(traced.said("as `json` could not be serialized"), 2 * at, "{:#?}", traced.events());
        }
    })
    .await;
    assert_eq!(["of_argument", "of_result"].map(|name| cache.stats().function(name).unnamed), [1, 1]);
}

async fn in_a_transaction_one_who_changed_nothing_takes_back_only_his_own(cache: Cache, _: Cache) {
    let row = Row::new();
    stored(&row).await;
    cache
        .defer_invalidations(async {
            change(&row, 1, Ok(order(2))).await.unwrap();
            change(&row, 1, Ok(Order { changed: false, ..order(2) })).await.unwrap();
        })
        .await;
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (3, 3));
}

async fn by_hand_it_reads_the_same(cache: Cache, _: Cache) {
    static PLACE: Site =
        Site::invalidates("results", "by_hand").keys(&["row:{cart}", "row:{result.id}"]).tags(&["none:{result}"]);
    let row = Row::new();
    stored(&row).await;
    let placed = cache
        .invalidation(&PLACE)
        .keys(&[&1])
        .mode(Mode::After)
        .returning(returns::<Placed>().kind())
        .result(|order, names| names.keys(&[&order.id]).tags(&[&"x"]))
        .when(|order| order.changed)
        .run(async {
            row.write();
            Ok(order(2))
        })
        .await;
    assert_eq!(placed.unwrap().id, 2);
    assert_eq!((read(&row, 1).await, read(&row, 2).await), (2, 2));
}

on_every_store! {
    a_key_and_a_tag_are_read_from_the_result
    without_a_value_what_needs_it_is_left_out
    a_success_is_found_by_its_type
    what_the_result_names_is_not_guarded_and_the_rest_is
    dropped_or_panicking_it_invalidates_the_rest
    a_success_that_changed_nothing_invalidates_nothing
    an_error_invalidates_whatever_a_success_would_say
    a_panic_and_a_drop_invalidate_whatever_a_success_would_say
    in_a_transaction_the_result_is_asked_too
    in_a_savepoint_the_result_is_asked_too
    a_result_that_comes_after_the_transaction_is_told_of
    one_who_changed_nothing_after_the_transaction_invalidates_nothing
    in_a_transaction_that_nobody_told_of_the_result_is_read_too
    in_a_transaction_one_who_changed_nothing_takes_back_only_his_own
    by_hand_it_reads_the_same
}

#[tokio::test]
async fn a_sentence_that_cannot_be_kept_panics() {
    static PLACE: Site = Site::invalidates("results", "panics").keys(&["row:{result.id}"]);
    let cache = Cache::memory();
    let panics = async |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::spawn(future).await.unwrap_err().is_panic()
    };
    let (first, second, third) = (cache.clone(), cache.clone(), cache.clone());
    assert!(panics(Box::pin(async move { first.invalidation(&PLACE).run(async {}).await })).await);
    assert!(
        panics(Box::pin(async move { assert_eq!(second.invalidation(&PLACE).apply().await, Delivery::Applied) })).await
    );
    let asks = async move {
        let asks = third.invalidation(&PLACE).returning(returns::<u64>().kind()).when(|_| true);
        asks.run(async { 7 }).await;
    };
    assert!(panics(Box::pin(asks)).await);
}
