//! Mutations that run for long: what they have marked stays marked as long as they may commit, and no longer.

#[macro_use]
mod common;

use std::future::pending;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Fill;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::testing::Faults;

use crate::common::Row;
use crate::common::traced::Traced;
use crate::common::until;

/// Renewed three times as often, which leaves time on a busy machine.
const GUARD: Duration = Duration::from_secs(1);
/// After which a mark that nobody renews is gone.
const LATER: Duration = Duration::from_millis(1500);

#[cached(ttl = "5m", key = "row:{id}", skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}", mode = linearizable)]
async fn write<F: Future>(row: &Row, id: u64, then: F) -> F::Output {
    let _ = id;
    row.write();
    then.await
}

/// How a call of another task goes, and whether what it loads is stored.
async fn seen_from(cache: &Cache, row: &Arc<Row>, id: u64) -> (Ending, Option<Fill>) {
    let (cache, row) = (cache.clone(), row.clone());
    let task = tokio::spawn(async move { scope(cache, read(&row, id)).explain().await });
    let (_, calls) = task.await.unwrap();
    (calls[0].ending, calls[0].fill)
}

const MARKED: (Ending, Option<Fill>) = (Ending::Bypassed(Bypass::Mutating), None);
const STORED: (Ending, Option<Fill>) = (Ending::Loaded, Some(Fill::Stored));

on_every_store! {
    guard = crate::GUARD;
    marks_stand_as_long_as_the_mutation_runs
    marks_of_a_savepoint_stand_as_long_as_its_transaction_runs
    marks_of_what_was_rolled_back_do_not_come_back
}

async fn marks_stand_as_long_as_the_mutation_runs(cache: Cache, other: Cache) {
    let row = Row::new();
    let long = async {
        tokio::time::sleep(LATER).await;
        (seen_from(&cache, &row, 7).await, seen_from(&other, &row, 7).await)
    };
    assert_eq!(write(&row, 7, long).await, (MARKED, MARKED));
    assert_eq!(seen_from(&other, &row, 7).await, STORED);
}

async fn marks_of_a_savepoint_stand_as_long_as_its_transaction_runs(cache: Cache, other: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |_| {
        cache.transaction(async |_| write(&row, 7, ready(())).await).await;
        tokio::time::sleep(LATER).await;
        seen_from(&other, &row, 7).await
    });
    assert_eq!(transaction.await, MARKED);
    assert_eq!(seen_from(&other, &row, 7).await, STORED);
}

async fn marks_of_what_was_rolled_back_do_not_come_back(cache: Cache, other: Cache) {
    let row = Row::new();
    let transaction = cache.transaction(async |_| {
        let savepoint = cache.transaction(async |inner| {
            write(&row, 7, ready(())).await;
            inner.rolled_back().await;
        });
        savepoint.await;
        tokio::time::sleep(LATER).await;
        seen_from(&other, &row, 7).await
    });
    assert_eq!(transaction.await, STORED);
}

#[tokio::test]
async fn a_mutation_that_outlives_its_hold_off_is_told_of() {
    static WRITE: Site = Site::invalidates("hold_off", "outlives").keys(&["row:7"]);
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).hold_off(Duration::from_secs(60)).build().unwrap();
    let row = Row::new();
    for (own, long, told) in [
        (None, Duration::from_secs(60), 0),
        (None, Duration::from_millis(60_001), 1),
        (Some(Duration::from_secs(5)), Duration::from_secs(5), 0),
        (Some(Duration::from_secs(5)), Duration::from_millis(5_001), 1),
        (Some(Duration::from_secs(90)), Duration::from_secs(61), 0),
    ] {
        let traced = Traced::default();
        let _heard = traced.hear();
        let mutation = cache.invalidation(&WRITE).mode(Mode::Guarded);
        let mutation = if let Some(own) = own { mutation.hold_off(own) } else { mutation };
        let body = async {
            clock.advance(long);
            row.write();
        };
        mutation.run(body).await;
        assert_eq!(traced.said("ran longer than its hold-off"), told, "{own:?} {long:?} {:#?}", traced.events());
    }
}

#[tokio::test]
async fn a_mutation_that_is_dropped_while_the_store_is_away_is_delivered_later() {
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).build().unwrap();
    let row = Row::new();
    let runs = async || {
        let runs = row.version.load(Ordering::SeqCst) > 1;
        if runs {
            faults.fail_invalidations();
        }
        runs
    };
    let dropped = scope(cache.clone(), async {
        tokio::select! {
            biased;
            () = write(&row, 7, pending()) => {}
            () = until("it runs", runs) => {}
        }
    });
    dropped.await;
    until("the journal has it", async || cache.pending() == 1).await;
    faults.heal();
    until("it is delivered", async || cache.pending() == 0).await;
}
