//! How many loads run at once, whatever becomes of the cache.

#[allow(unused_macros, reason = "these laws have stores of their own")]
mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::Error;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Stale;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::common::Row;
use crate::common::soon;
use crate::common::until;

#[cached(ttl = "1h", key = "row:{id}", skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "few:{id}", skip(row), max_loads = 2)]
async fn few(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "outer:{id}", skip(row))]
async fn outer(row: &Row, id: u64) -> u64 {
    read(row, id).await
}

#[cached(ttl = "1h", key = "rejects:{id}", skip(row), overload = reject)]
async fn rejects(row: &Row, id: u64) -> Result<u64, Error> {
    let _ = id;
    Ok(row.read().await)
}

#[cached(ttl = "10s", key = "kept:{id}", skip(row), jitter = 0, stale_if_error = "1h")]
async fn kept(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

/// Calls `call` with each number, each in a task of its own.
fn all<T, F>(cache: &Cache, numbers: std::ops::Range<u64>, call: impl Fn(u64) -> F) -> Vec<JoinHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    numbers.map(|number| tokio::spawn(scope(cache.clone(), call(number)))).collect()
}

async fn ended<T>(calls: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut ended = Vec::new();
    for call in calls {
        ended.push(call.await.unwrap());
    }
    ended
}

fn patient(loads: usize) -> Builder {
    Cache::builder().max_loads(loads).load_queue(10_000, Duration::from_secs(60)).max_wait(Duration::from_secs(60))
}

/// Lets a hundred reads of different keys go on by and by, and says how many loads ran at once.
async fn most_at_once(cache: Cache) -> usize {
    let row = Row::with_gate(0);
    let calls = all(&cache, 0..100, |id| {
        let row = row.clone();
        async move { read(&row, id).await }
    });
    for done in 1..=100 {
        row.has_loads(done).await;
        row.gate.add_permits(1);
    }
    ended(calls).await;
    row.most_loading()
}

#[tokio::test]
async fn no_more_loads_run_than_there_are_places() {
    assert_eq!(most_at_once(patient(4).build().unwrap()).await, 4);
}

#[tokio::test]
async fn nor_do_they_while_the_store_is_away() {
    let faults = Faults::new();
    let cache = patient(4).faults(&faults).build().unwrap();
    faults.fail();
    assert_eq!(most_at_once(cache).await, 4);
}

#[tokio::test]
async fn a_function_has_no_more_places_than_it_says_and_leaves_the_others_theirs() {
    let cache = patient(4).build().unwrap();
    let row = Row::with_gate(0);
    let calls = all(&cache, 0..20, |id| {
        let row = row.clone();
        async move { few(&row, id).await }
    });
    row.has_loads(2).await;
    // Those that wait for the function's places hold none of the cache's.
    let other = Row::new();
    scope(cache.clone(), read(&other, 1)).await;
    for done in 2..=20 {
        row.has_loads(done).await;
        row.gate.add_permits(1);
    }
    row.gate.add_permits(1);
    ended(calls).await;
    assert_eq!(row.most_loading(), 2);
}

#[tokio::test]
async fn a_load_inside_of_a_load_takes_no_second_place() {
    let cache = patient(2).build().unwrap();
    let row = Row::new();
    let calls = all(&cache, 0..10, |id| {
        let row = row.clone();
        async move { outer(&row, id).await }
    });
    soon("none waits for a second place", ended(calls)).await;
    assert_eq!(cache.stats().total.overloaded, 0);
}

#[tokio::test]
async fn nor_does_it_where_there_is_one() {
    let cache = patient(2).build().unwrap();
    let row = Row::with_gate(0);
    let calls = all(&cache, 0..2, |id| {
        let row = row.clone();
        async move { outer(&row, id).await }
    });
    // Each within the load around it.
    row.has_loads(2).await;
    row.gate.add_permits(2);
    ended(calls).await;
}

#[cached(ttl = "1h", key = "after:{id}", skip(row, gate))]
async fn after(gate: &Semaphore, row: &Row, id: u64) -> u64 {
    gate.acquire().await.unwrap().forget();
    read(row, id).await
}

/// A load that has the only place, and another call that leads the load of what it will ask for, and waits for that place. The first one goes on when the gate is opened.
async fn a_leader_that_waits<F>(cache: &Cache, row: &Arc<Row>, outer: F) -> (JoinHandle<u64>, Vec<JoinHandle<u64>>)
where
    F: Future<Output = u64> + Send + 'static,
{
    let outer = tokio::spawn(scope(cache.clone(), outer));
    until("it has the place", async || cache.stats().total.loads == 1).await;
    let leads = all(cache, 1..2, |id| {
        let row = row.clone();
        async move { read(&row, id).await }
    });
    until("it has missed", async || cache.stats().function("read").misses == 1).await;
    (outer, leads)
}

#[tokio::test]
async fn a_load_is_not_held_up_by_who_waits_for_its_place() {
    let cache = patient(1).build().unwrap();
    let (row, gate) = (Row::new(), Arc::new(Semaphore::new(0)));
    let (outer, leads) = a_leader_that_waits(&cache, &row, {
        let (row, gate) = (row.clone(), gate.clone());
        async move { after(&gate, &row, 1).await }
    })
    .await;
    gate.add_permits(1);
    assert_eq!(soon("the inner load has ended", outer).await.unwrap(), 1);
    ended(leads).await;
    assert_eq!(row.loads(), 1);
}

#[tokio::test]
async fn a_place_that_is_lent_is_not_used_twice_by_who_tires_of_waiting() {
    let builder = Cache::builder().max_loads(1).max_wait(Duration::from_millis(300));
    let cache = builder.load_queue(100, Duration::from_secs(600)).build().unwrap();
    let (row, gate) = (Row::with_gate(0), Arc::new(Semaphore::new(0)));
    let (outer, leads) = a_leader_that_waits(&cache, &row, {
        let (row, gate) = (row.clone(), gate.clone());
        async move { after(&gate, &row, 1).await }
    })
    .await;
    gate.add_permits(1);
    // It loads with the place of the outer one, for longer than that one waits. Who goes on all the same says so.
    until("the outer one has tired", async || row.loads() == 2).await;
    assert_eq!(cache.stats().function("read").overloaded, 1, "two loads ran with one place");
    row.gate.add_permits(2);
    assert_eq!(soon("the outer load has ended", outer).await.unwrap(), 1);
    ended(leads).await;
}

/// Reads one row, and brings the entry of another up to date while that is loaded.
#[cached(ttl = "1h", key = "both:{id}", skip(row, other, gate))]
async fn both(gate: &Semaphore, row: &Row, other: &Row, id: u64) -> u64 {
    static OTHER: Site = Site::cached("bulkhead", "other").key("other");
    gate.acquire().await.unwrap().forget();
    let entry = cache_runtime::global().entry(&OTHER, returns::<u64>().kind()).ttl(Duration::from_secs(60)).handle();
    let refreshed = async {
        while row.loads() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        entry.refresh(other.read()).await
    };
    let (read, refreshed) = tokio::join!(read(row, id), refreshed);
    read + refreshed
}

#[tokio::test]
async fn a_place_that_is_lent_is_not_used_to_refresh_meanwhile() {
    let cache = patient(1).build().unwrap();
    let (row, other, gate) = (Row::with_gate(0), Row::new(), Arc::new(Semaphore::new(0)));
    let (outer, leads) = a_leader_that_waits(&cache, &row, {
        let (row, other, gate) = (row.clone(), other.clone(), gate.clone());
        async move { both(&gate, &row, &other, 1).await }
    })
    .await;
    gate.add_permits(1);
    until("it loads with the place of the outer one", async || row.loads() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(other.loads(), 0, "two loads ran with one place");
    row.gate.add_permits(1);
    assert_eq!(soon("the outer load has ended", outer).await.unwrap(), 2);
    ended(leads).await;
}

#[tokio::test]
async fn who_finds_no_place_in_time_loads_all_the_same_and_is_counted() {
    let cache = Cache::builder().max_loads(1).load_queue(10, Duration::from_millis(10)).build().unwrap();
    let row = Row::with_gate(0);
    let calls = all(&cache, 0..3, |id| {
        let row = row.clone();
        async move { read(&row, id).await }
    });
    row.has_loads(3).await;
    row.gate.add_permits(3);
    ended(calls).await;
    assert_eq!(cache.stats().function("read").overloaded, 2);
}

#[tokio::test]
async fn a_queue_that_is_full_turns_away_at_once() {
    let cache = Cache::builder().max_loads(1).load_queue(1, Duration::from_secs(60)).build().unwrap();
    let row = Row::with_gate(0);
    let calls = all(&cache, 0..3, |id| {
        let row = row.clone();
        async move { rejects(&row, id).await }
    });
    until("one is rejected", async || cache.stats().function("rejects").overloaded == 1).await;
    row.gate.add_permits(2);
    let ended = ended(calls).await;
    let rejected: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    assert!(matches!(rejected[..], [error] if error.is_overload()), "{ended:?}");
    assert_eq!(row.loads(), 2);
}

#[tokio::test]
async fn who_has_left_a_queue_leaves_room_in_it() {
    let cache = Cache::builder().max_loads(1).load_queue(1, Duration::from_secs(60)).build().unwrap();
    let row = Row::with_gate(0);
    let first = all(&cache, 0..1, |id| {
        let row = row.clone();
        async move { rejects(&row, id).await }
    });
    row.has_loads(1).await;
    let waits = |id| tokio::time::timeout(Duration::from_millis(10), scope(cache.clone(), rejects(&row, id)));
    for id in 1..=3 {
        assert!(waits(id).await.is_err(), "it is turned away");
    }
    // Those who get a place leave it too.
    let mut next = tokio::spawn(scope(cache.clone(), {
        let row = row.clone();
        async move { rejects(&row, 4).await }
    }));
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut next).await.is_err());
    row.gate.add_permits(1);
    assert!(ended(first).await[0].is_ok());
    row.has_loads(2).await;
    assert!(waits(5).await.is_err(), "it is turned away");
    row.gate.add_permits(1);
    assert!(next.await.unwrap().is_ok());
    assert_eq!(cache.stats().total.overloaded, 0);
}

#[tokio::test]
async fn who_says_so_fails_rather_than_load() {
    let cache = Cache::builder().max_loads(1).load_queue(10, Duration::from_millis(10)).build().unwrap();
    let row = Row::with_gate(0);
    let held = all(&cache, 0..1, |id| {
        let row = row.clone();
        async move { rejects(&row, id).await }
    });
    row.has_loads(1).await;
    let (rejected, calls) = scope(cache.clone(), rejects(&row, 7)).explain().await;
    assert!(rejected.unwrap_err().is_overload());
    assert_eq!(calls[0].ending, Ending::Rejected);
    row.gate.add_permits(1);
    ended(held).await;
    assert_eq!(row.loads(), 1);
}

#[tokio::test]
async fn who_may_is_given_an_old_value_rather_than_load() {
    let clock = Clock::held();
    let cache =
        Cache::builder().clock(clock.clone()).max_loads(1).load_queue(10, Duration::from_millis(10)).build().unwrap();
    let old = Row::new();
    scope(cache.clone(), kept(&old, 1)).await;
    settled(&cache).await;
    clock.advance(Duration::from_secs(20));
    let row = Row::with_gate(0);
    let held = all(&cache, 0..1, |id| {
        let row: Arc<Row> = row.clone();
        async move { read(&row, id).await }
    });
    row.has_loads(1).await;
    let (value, calls) = scope(cache.clone(), kept(&old, 1)).explain().await;
    assert_eq!((value, calls[0].ending), (1, Ending::Stale(Stale::Overloaded)));
    row.gate.add_permits(1);
    ended(held).await;
}

#[cached(ttl = "1h", key = "known:{id}", tags = ["known"], skip(row), stale_if_error = "1h", even_invalidated)]
async fn known(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "1h", key = "rather:{id}", tags = ["known"], skip(row), stale_if_error = "1h", even_invalidated, overload = reject)]
async fn known_rather_than_fail(row: &Row, id: u64) -> Result<u64, Error> {
    let _ = id;
    Ok(row.read().await)
}

#[tokio::test]
async fn who_may_is_given_an_invalidated_value_rather_than_fail_and_never_rather_than_load() {
    let cache = Cache::builder().max_loads(1).load_queue(10, Duration::from_millis(10)).build().unwrap();
    let old = Row::new();
    scope(cache.clone(), async { (known(&old, 1).await, known_rather_than_fail(&old, 1).await) }).await.1.unwrap();
    settled(&cache).await;
    old.write();
    assert_eq!(cache.invalidate_tags(["known"]).await, Delivery::Applied);
    let row = Row::with_gate(0);
    let held = all(&cache, 0..1, |id| {
        let row: Arc<Row> = row.clone();
        async move { read(&row, id).await }
    });
    row.has_loads(1).await;
    let (value, calls) = scope(cache.clone(), known_rather_than_fail(&old, 1)).explain().await;
    assert_eq!((value.unwrap(), calls[0].ending), (1, Ending::Stale(Stale::Overloaded)));
    assert_eq!(scope(cache.clone(), known(&old, 1)).await, 2);
    row.gate.add_permits(1);
    ended(held).await;
}

#[tokio::test]
async fn a_place_is_given_back_by_whoever_is_dropped() {
    let cache = patient(1).build().unwrap();
    let row = Row::with_gate(0);
    for id in 0..20 {
        let calls = all(&cache, 10 * id..10 * id + 2, |id| {
            let row = row.clone();
            async move { read(&row, id).await }
        });
        row.has_loads(usize::try_from(id).unwrap() + 1).await;
        // One has the place, and one waits for it.
        calls.iter().for_each(JoinHandle::abort);
        for call in calls {
            assert!(call.await.unwrap_err().is_cancelled());
        }
    }
    row.gate.add_permits(1);
    scope(cache, read(&row, 1000)).await;
}

/// A source that fails once.
#[derive(Default)]
struct Flaky {
    asked: AtomicUsize,
    /// How many loads of the outer function have begun.
    begun: AtomicUsize,
}

#[cached(ttl = "1h", key = "flaky:{id}", skip(flaky, go))]
async fn flaky(flaky: &Flaky, go: &Semaphore, id: u64) -> Result<u64, String> {
    let _ = (id, go);
    match flaky.asked.fetch_add(1, Ordering::SeqCst) {
        0 => Err("the first time".to_owned()),
        _ => Ok(1),
    }
}

#[cached(ttl = "1h", key = "around:{id}", skip(source, go))]
async fn around(source: &Flaky, go: &Semaphore, id: u64) -> Result<u64, String> {
    source.begun.fetch_add(1, Ordering::SeqCst);
    go.acquire().await.unwrap().forget();
    flaky(source, go, id).await
}

#[tokio::test]
async fn who_leads_after_a_failure_is_lent_the_place_that_waits_for_it() {
    // Longer than anybody here is patient.
    let long = Duration::from_secs(600);
    let cache = Cache::builder().max_loads(1).max_wait(long).load_queue(100, long).build().unwrap();
    let (source, go) = (Arc::new(Flaky::default()), Arc::new(Semaphore::new(0)));
    let spawn = |is_outer: bool| {
        let (source, go) = (source.clone(), go.clone());
        tokio::spawn(scope(cache.clone(), async move {
            if is_outer { around(&source, &go, 1).await } else { flaky(&source, &go, 1).await }
        }))
    };
    let outer = spawn(true);
    until("it has the only place", async || source.begun.load(Ordering::SeqCst) == 1).await;
    let callers = [spawn(false), spawn(false), spawn(false)];
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // From here on it waits for one who waits for its place.
    go.add_permits(1);
    assert_eq!(soon("it is served", outer).await.unwrap(), Ok(1));
    let failed = {
        let mut failed = 0;
        for caller in callers {
            failed += usize::from(soon("they are served", caller).await.unwrap().is_err());
        }
        failed
    };
    assert_eq!((failed, source.asked.load(Ordering::SeqCst)), (1, 2));
}
