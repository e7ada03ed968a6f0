//! Two processes that read and write through a failover, as their sentinels order it and as a crash does.

#[allow(unused_macros, reason = "all of it is about Redis")]
mod common;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::scope;
use cache_runtime::sim::SentinelSet;
use tokio::task::JoinSet;
use tokio::task::block_in_place;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::common::Row;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row))]
async fn read(row: &Row, id: usize) -> u64 {
    row.read().await
}

/// How long after the sentinels agree a process may still read what the old master holds.
const BOUND: Duration = Duration::from_millis(1500);
const ROWS: usize = 4;

/// What both processes do, and what they saw.
#[derive(Default)]
struct World {
    rows: Vec<Arc<Row>>,
    /// Of each row, the newest version that was written and invalidated.
    told: [AtomicU64; ROWS],
    /// When a read began that returned less than that.
    wrong: Mutex<Vec<Instant>>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { rows: (0..ROWS).map(|_| Row::new()).collect(), ..Self::default() })
    }

    async fn read_for_ever(self: Arc<Self>, cache: Cache) {
        for id in (0..ROWS).cycle() {
            let (began, told) = (Instant::now(), self.told[id].load(Ordering::SeqCst));
            let value = scope(cache.clone(), read(&self.rows[id], id)).await;
            if value < told {
                self.wrong.lock().unwrap().push(began);
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn write_for_ever(self: Arc<Self>, cache: Cache) {
        for id in (0..ROWS).cycle() {
            sleep(Duration::from_millis(20)).await;
            let version = self.rows[id].write();
            if cache.invalidate(&format!("row:{id}")).await == Delivery::Applied {
                self.told[id].fetch_max(version, Ordering::SeqCst);
            }
        }
    }

    /// Waits until a process finds again what it has stored.
    async fn is_served(&self, cache: &Cache) {
        until("something is found again", async || {
            let loads = self.rows[0].loads();
            let _ = scope(cache.clone(), read(&self.rows[0], 0)).await;
            let hits = cache.stats().total.hits;
            let _ = scope(cache.clone(), read(&self.rows[0], 0)).await;
            self.rows[0].loads() == loads && cache.stats().total.hits > hits && cache.pending() == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_an_old_value_once_the_master_has_changed() {
    let set = SentinelSet::start();
    let (one, other) = (Cache::connect(&set.url()).await.unwrap(), Cache::connect(&set.url()).await.unwrap());
    let world = World::new();
    let mut running = JoinSet::new();
    for cache in [&one, &other] {
        running.spawn(Arc::clone(&world).read_for_ever(cache.clone()));
        running.spawn(Arc::clone(&world).write_for_ever(cache.clone()));
    }
    world.is_served(&one).await;
    world.is_served(&other).await;
    let mut changes = Vec::new();
    for is_crash in [false, true, false] {
        let ordered = Instant::now();
        if is_crash {
            let before = block_in_place(|| set.kill_master());
            let _ = block_in_place(|| set.master_after(before));
            changes.push((ordered, Instant::now() + BOUND));
            set.servers()[before].restart();
        } else {
            let _ = block_in_place(|| set.failover());
            changes.push((ordered, Instant::now() + BOUND));
        }
        let agreed = Instant::now();
        world.is_served(&one).await;
        world.is_served(&other).await;
        assert!(agreed.elapsed() < Duration::from_secs(4), "served again only after {:?}", agreed.elapsed());
        block_in_place(|| set.until_whole());
    }
    running.shutdown().await;
    let wrong = world.wrong.lock().unwrap();
    let outside = |at: &&Instant| changes.iter().all(|(from, to)| *at < from || *at > to);
    assert_eq!(wrong.iter().filter(outside).count(), 0, "of {} reads", wrong.len());
}
