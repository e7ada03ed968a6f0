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
use cache_runtime::testing::settled;
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

/// Past its time whenever it is read, and refreshed beside its callers.
#[cached(ttl = "1ms", jitter = 0.0, key = "beside:{id}", skip(row), stale_while_revalidate = "1h")]
async fn beside(row: Arc<Row>, id: usize) -> u64 {
    read_slowly(&row, id).await
}

/// The same, refreshed by one of its callers.
#[cached(ttl = "1ms", jitter = 0.0, key = "inline:{id}", skip(row), stale_while_revalidate = "1h")]
async fn inline(row: &Row, id: usize) -> u64 {
    read_slowly(row, id).await
}

async fn read_slowly(row: &Row, id: usize) -> u64 {
    let _ = id;
    yield_now().await;
    let value = row.read().await;
    yield_now().await;
    value
}

/// Nothing but errors, which are answers.
#[cached(ttl = "5m", key = "none:{id}", skip(row), negative = |_| true, negative_ttl = "5m")]
async fn none(row: &Row, id: usize) -> Result<(), u64> {
    Err(read_slowly(row, id).await)
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

#[invalidates(key = "row:{id}", grace = "100ms")]
async fn write_for_replicas(mutation: &Mutation, id: usize) {
    let _ = id;
    mutation.run().await;
}

#[derive(Clone, Copy, Debug)]
enum Writer {
    Guarded,
    Linearizable,
    After,
    Grace,
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
    for (number, writer) in
        [Writer::Guarded, Writer::Linearizable, Writer::After, Writer::Grace].into_iter().enumerate()
    {
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
        Writer::Grace => dropped_after(polls, write_for_replicas(&mutation, id)).await,
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

#[derive(Clone, Copy, Debug)]
enum Reader {
    Beside,
    Inline,
    Negative,
}

impl Reader {
    async fn read(self, row: &Arc<Row>, id: usize) -> u64 {
        match self {
            Self::Beside => beside(row.clone(), id).await,
            Self::Inline => inline(row, id).await,
            Self::Negative => none(row, id).await.unwrap_err(),
        }
    }
}

async fn a_refresh_dropped_at_any_await_keeps_nobody_from_the_next(cache: Cache, other: Cache) {
    let mut cases = JoinSet::new();
    for (number, reader) in [Reader::Beside, Reader::Inline].into_iter().enumerate() {
        for polls in 0..MOST_POLLS {
            let id = number * MOST_POLLS + polls;
            cases.spawn(scope(cache.clone(), refresh_dropped(reader, polls, id, other.clone())));
        }
    }
    let ended = cases.join_all().await;
    assert!(ended.contains(&true), "some were not dropped");
    soon("all that was begun has ended", settled(&cache)).await;
    assert_eq!(cache.pending(), 0);
}

async fn refresh_dropped(reader: Reader, polls: usize, id: usize, other: Cache) -> bool {
    let row = Row::new();
    for version in 1..=3 {
        let ended = dropped_after(polls, reader.read(&row, id)).await;
        // Nobody is told of it: only a refresh brings it.
        row.write();
        for cache in [global(), other.clone()] {
            let fresh = async {
                while scope(cache.clone(), reader.read(&row, id)).await <= version {
                    yield_now().await
                }
            };
            soon("it is refreshed", fresh).await;
        }
        if version == 3 {
            return ended;
        }
    }
    unreachable!("three versions")
}

async fn an_answer_that_is_an_error_is_stored_whoever_was_dropped(cache: Cache, other: Cache) {
    let mut cases = JoinSet::new();
    for polls in 0..MOST_POLLS {
        let other = other.clone();
        cases.spawn(scope(cache.clone(), async move {
            let (row, reader) = (Row::new(), Reader::Negative);
            let ended = dropped_after(polls, reader.read(&row, polls)).await;
            let stored = async {
                loop {
                    let before = row.loads();
                    reader.read(&row, polls).await;
                    scope(other.clone(), reader.read(&row, polls)).await;
                    if row.loads() == before {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            soon("it is stored for everybody", stored).await;
            ended
        }));
    }
    let ended = cases.join_all().await;
    assert!(ended.contains(&true) && ended.contains(&false), "some were dropped half-way and some were not");
}

/// One place, and callers that wait for it: with as many drops as there are polls, a place or a lease that was kept would be found out by the next caller.
async fn places_come_free(cache: Cache) {
    let busy = Row::with_gate(0);
    let (mut ended, mut queued) = (0, 0);
    for polls in 0..MOST_POLLS {
        let row = Row::new();
        // Somebody has the only place, and is dropped himself or comes to an end.
        let holder = tokio::spawn(scope(cache.clone(), {
            let busy = busy.clone();
            async move { read_busy(&busy, 1000 + polls).await }
        }));
        busy.has_loads(polls + 1).await;
        let waiting = scope(cache.clone(), async { dropped_after(polls, read_busy(&row, polls)).await });
        queued += usize::from(!waiting.await && row.loads() == 0);
        if polls % 2 == 0 {
            holder.abort();
            let _ = holder.await;
        } else {
            busy.gate.add_permits(1);
            holder.await.unwrap();
        }
        // Dropped while it has the place, or just before.
        ended += usize::from(scope(cache.clone(), dropped_after(polls, read_busy(&row, polls))).await);
        soon("there is a place", scope(cache.clone(), read_busy(&row, polls))).await;
        assert_eq!(row.most_loading().max(busy.most_loading()), 1);
    }
    assert!(ended > 0 && queued > 10, "{ended} came to an end, {queued} never got a place");
    assert_eq!(cache.stats().total.overloaded, 0);
    soon("all that was begun has ended", settled(&cache)).await;
}

#[cached(ttl = "5m", key = "busy:{id}", skip(row))]
async fn read_busy(row: &Row, id: usize) -> u64 {
    read_slowly(row, id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_are_dropped_in_the_queue_or_with_a_place_take_none_with_them() {
    let patience = Duration::from_secs(60);
    let settings = || Cache::builder().max_loads(1).load_queue(10_000, patience).max_wait(patience);
    places_come_free(settings().build().unwrap()).await;
    let server = cache_runtime::sim::Server::start();
    let builder = settings().url(&server.url()).op_timeout(Duration::from_secs(5));
    places_come_free(builder.connect().await.unwrap()).await;
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
    a_refresh_dropped_at_any_await_keeps_nobody_from_the_next
    an_answer_that_is_an_error_is_stored_whoever_was_dropped
}
