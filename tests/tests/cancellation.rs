//! Futures dropped after any number of polls: nobody is stranded, and nothing stale stays.

#[macro_use]
mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Waker;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::scope;
use tokio::task::JoinSet;
use tokio::task::yield_now;

use crate::common::Row;
use crate::common::soon;

/// Marks outlive whatever a busy machine does between a drop and the commit after it.
const GUARD: Duration = Duration::from_secs(2);
/// No future here takes that many polls.
const MOST_POLLS: usize = 40;

#[cached(ttl = "5m", key = "row:{id}", tags = ["row:{id}"], skip(row))]
async fn read(row: &Row, id: usize) -> u64 {
    yield_now().await;
    let value = row.read().await;
    yield_now().await;
    value
}

#[cached(ttl = "5m", key = "outer:{id}", skip(row))]
async fn outer(row: &Row, id: usize) -> u64 {
    read(row, id).await
}

/// A mutation, and whether it was begun.
struct Mutation {
    row: Arc<Row>,
    begun: AtomicBool,
}

impl Mutation {
    async fn run(&self) {
        self.begun.store(true, Ordering::SeqCst);
        yield_now().await;
        self.row.write();
        yield_now().await;
    }
}

#[invalidates(key = "row:{id}")]
async fn write(mutation: &Mutation, id: usize) {
    let _ = id;
    mutation.run().await;
}

#[invalidates(tags = ["row:{id}"], mode = linearizable)]
async fn write_strictly(mutation: &Mutation, id: usize) {
    let _ = id;
    mutation.run().await;
}

#[invalidates(key = "row:{id}", mode = after)]
async fn write_after(mutation: &Mutation, id: usize) {
    let _ = id;
    mutation.run().await;
}

#[derive(Clone, Copy, Debug)]
enum Writer {
    Guarded,
    Linearizable,
    After,
}

/// Polls `future` up to so many times, with time for the rest of the world in between, and drops it; says whether it had ended.
async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

async fn a_reader_dropped_at_any_await_strands_nobody(cache: Cache, other: Cache) {
    let mut cases = JoinSet::new();
    for polls in 0..MOST_POLLS {
        cases.spawn(scope(cache.clone(), reader_dropped(polls, other.clone())));
    }
    let ended = cases.join_all().await;
    assert!(ended.contains(&true) && ended.contains(&false), "some were dropped half-way and some were not");
}

async fn reader_dropped(polls: usize, other: Cache) -> bool {
    let case = Case { row: Row::new(), id: polls, other };
    let mut waiters = JoinSet::new();
    for cache in [global(), case.other.clone()] {
        let row = case.row.clone();
        waiters.spawn(scope(cache, async move {
            // The one that is dropped goes first, where it goes at all.
            tokio::time::sleep(Duration::from_millis(3)).await;
            outer(&row, polls).await
        }));
    }
    let ended = dropped_after(polls, outer(&case.row, polls)).await;
    for value in soon("those who waited are served", waiters.join_all()).await {
        assert_eq!(value, 1, "after {polls} polls");
    }
    soon("it is stored for everybody", case.stored()).await;
    ended
}

async fn a_mutator_dropped_at_any_await_leaves_nothing_stale(cache: Cache, other: Cache) {
    let mut cases = JoinSet::new();
    for (number, writer) in [Writer::Guarded, Writer::Linearizable, Writer::After].into_iter().enumerate() {
        for polls in 0..MOST_POLLS {
            let id = number * MOST_POLLS + polls;
            cases.spawn(scope(cache.clone(), mutator_dropped(writer, polls, id, other.clone())));
        }
    }
    let ended = cases.join_all().await;
    assert!(ended.contains(&true) && ended.contains(&false), "some were dropped half-way and some were not");
}

async fn mutator_dropped(writer: Writer, polls: usize, id: usize, other: Cache) -> bool {
    let case = Case { row: Row::new(), id, other };
    let mutation = Mutation { row: case.row.clone(), begun: AtomicBool::new(false) };
    assert_eq!(soon("it is read", case.read()).await, (1, 1));
    let ended = match writer {
        Writer::Guarded => dropped_after(polls, write(&mutation, id)).await,
        Writer::Linearizable => dropped_after(polls, write_strictly(&mutation, id)).await,
        Writer::After => dropped_after(polls, write_after(&mutation, id)).await,
    };
    soon("it is read", case.read()).await;
    if !ended && mutation.begun.load(Ordering::SeqCst) {
        // What was dropped half-way commits a moment later.
        case.row.write();
    }
    tokio::time::sleep(GUARD + Duration::from_millis(500)).await;
    let now = case.row.version.load(Ordering::SeqCst);
    assert_eq!(soon("it is read", case.read()).await, (now, now), "{writer:?}, after {polls} polls");
    soon("it is stored again", case.stored()).await;
    ended
}

/// A row of its own, read through two caches.
struct Case {
    row: Arc<Row>,
    id: usize,
    other: Cache,
}

impl Case {
    async fn read(&self) -> (u64, u64) {
        (outer(&self.row, self.id).await, scope(self.other.clone(), outer(&self.row, self.id)).await)
    }

    /// Ends when reading it is no load any more.
    async fn stored(&self) {
        loop {
            let before = self.row.loads();
            self.read().await;
            if self.row.loads() == before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

on_every_store! {
    guard = super::GUARD;
    a_reader_dropped_at_any_await_strands_nobody
    a_mutator_dropped_at_any_await_leaves_nothing_stale
}
