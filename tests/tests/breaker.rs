//! A store that does not answer is not asked for a while.

#[allow(unused_macros, reason = "these laws have stores of their own")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::explain::Miss;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::testing::Faults;
use cache_runtime::testing::Watch;
use cache_runtime::testing::settled;

use crate::common::Row;
use crate::common::traced::Traced;
use crate::common::until;

#[cached(ttl = "1h", key = "row:{id}", skip(row), jitter = 0.0)]
async fn read(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

struct Rig {
    cache: Cache,
    clock: Clock,
    faults: Faults,
}

async fn rig() -> Rig {
    let (clock, faults) = (Clock::held(), Faults::new());
    let builder = Cache::builder().clock(clock.clone()).faults(&faults);
    let cache = builder.op_timeout(Duration::from_millis(20)).connect().await.unwrap();
    Rig { cache, clock, faults }
}

/// How a read of `id` missed, or `None` if it hit.
async fn missed(row: &Row, id: u64) -> Option<Miss> {
    let (_, calls) = scope(global(), read(row, id)).explain().await;
    calls[0].missed
}

/// A row that is stored, and not looked for because reads have failed.
async fn shed(cache: &Cache, faults: &Faults) -> Arc<Row> {
    let row = Row::new();
    read(&row, 1).await;
    settled(cache).await;
    faults.fail_reads();
    for _ in 0..5 {
        read(&row, 1).await;
    }
    assert_eq!(missed(&row, 1).await, Some(Miss::Shed));
    row
}

#[tokio::test]
async fn after_a_missed_deadline_calls_load_at_once() {
    let Rig { cache, clock, faults } = rig().await;
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 1).await;
        settled(&cache).await;
        faults.hang();
        assert_eq!(missed(&row, 1).await, Some(Miss::StoreAway));
        let watch = Watch::new(&cache);
        for id in 1..=100 {
            assert_eq!(missed(&row, id).await, Some(Miss::Shed));
        }
        assert_eq!(watch.total().counts().store_failures, 0, "the store was asked");
        watch.total().assert_loads(100);
        // Nothing closes it but an answer.
        clock.advance(Duration::from_secs(2));
        assert_eq!(missed(&row, 1).await, Some(Miss::StoreAway));
        assert_eq!(missed(&row, 1).await, Some(Miss::Shed));
    })
    .await;
}

#[tokio::test]
async fn five_failures_in_a_row_open_it_and_one_answer_closes_it() {
    let Rig { cache, clock, faults } = rig().await;
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 1).await;
        settled(&cache).await;
        faults.fail_reads();
        for _ in 0..5 {
            assert_eq!(missed(&row, 1).await, Some(Miss::StoreAway));
        }
        assert_eq!(missed(&row, 1).await, Some(Miss::Shed));
        faults.heal();
        clock.advance(Duration::from_secs(1));
        assert_eq!(missed(&row, 1).await, None, "what is stored is not served again");
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_healed_is_asked_at_once() {
    let Rig { cache, faults, .. } = rig().await;
    scope(cache.clone(), async {
        let row = shed(&cache, &faults).await;
        faults.heal();
        assert_eq!(missed(&row, 1).await, None, "the test has to wait for it");
    })
    .await;
}

#[tokio::test]
async fn it_is_said_once_that_the_store_is_not_asked_and_once_that_it_is_again() {
    let traced = Traced::default();
    let _heard = traced.hear();
    let events = ["the store is not asked for a while", "the store answers again"];
    let said = || events.map(|event| traced.said(event));
    let Rig { cache, clock, faults } = rig().await;
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 1).await;
        settled(&cache).await;
        for outage in 1..=2 {
            faults.fail_reads();
            for _ in 0..10 {
                read(&row, 1).await;
                clock.advance(Duration::from_secs(2));
            }
            assert_eq!(said(), [outage, outage - 1], "{:#?}", traced.events());
            faults.heal();
            assert_eq!(missed(&row, 1).await, None);
            assert_eq!(said(), [outage, outage], "{:#?}", traced.events());
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_invalidated_meanwhile_is_delivered_before_anything_is_read() {
    let Rig { cache, clock, faults } = rig().await;
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 1).await;
        read(&row, 2).await;
        settled(&cache).await;
        faults.hang();
        assert_eq!(missed(&row, 2).await, Some(Miss::StoreAway));
        write(&row, 1).await;
        assert_eq!(cache.pending(), 1);
        clock.advance(Duration::from_secs(60));
        // The other key is nobody's business, and still the store is told first.
        assert_eq!(missed(&row, 2).await, Some(Miss::Shed));
        faults.heal();
        until("it is delivered", async || cache.pending() == 0).await;
        assert_eq!(missed(&row, 1).await, Some(Miss::Absent));
        assert_eq!(missed(&row, 2).await, None);
    })
    .await;
}

#[tokio::test]
async fn what_holds_fills_back_is_delivered_before_anything_is_read_too() {
    #[invalidates(key = "row:{id}", grace = "1h")]
    async fn write_for_replicas(row: &Row, id: u64) -> u64 {
        let _ = id;
        row.write()
    }
    let Rig { cache, clock, faults } = rig().await;
    scope(cache.clone(), async {
        let row = Row::new();
        read(&row, 1).await;
        read(&row, 2).await;
        settled(&cache).await;
        faults.hang();
        assert_eq!(missed(&row, 2).await, Some(Miss::StoreAway));
        write_for_replicas(&row, 1).await;
        assert_eq!(cache.pending(), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(missed(&row, 2).await, Some(Miss::Shed));
        faults.heal();
        until("it is delivered", async || cache.pending() == 0).await;
        assert_eq!(missed(&row, 2).await, None);
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_is_tried_while_reads_are_shed() {
    let Rig { cache, faults, .. } = rig().await;
    scope(cache.clone(), async {
        shed(&cache, &faults).await;
        assert_eq!(cache.invalidate("row:1").await, Delivery::Applied);
    })
    .await;
}

#[tokio::test]
async fn with_the_store_shed_a_thousand_callers_of_one_key_cause_one_load() {
    let Rig { cache, faults, .. } = rig().await;
    scope(cache.clone(), async {
        let row = Row::with_gate(0);
        faults.hang();
        // This opens it. What it leaves to be delivered keeps it open.
        assert_eq!(cache.invalidate("other").await, Delivery::Deferred);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let row = row.clone();
                tokio::spawn(scope(cache.clone(), async move { read(&row, 1).await }))
            })
            .collect();
        row.has_loads(1).await;
        row.gate.add_permits(1000);
        for caller in callers {
            caller.await.unwrap();
        }
        assert!(row.most_loading() == 1, "{} loads at once", row.most_loading());
        assert!(row.loads() <= 3, "{} loads", row.loads());
    })
    .await;
}
