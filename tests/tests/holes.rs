//! Interleavings that once led to something stale, stranded or slow, on every store.

#[macro_use]
mod common;

use std::env;
use std::future::Future;
use std::io::BufRead;
use std::io::BufReader;
use std::pin::Pin;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

use crate::common::Row;
use crate::common::connected;
use crate::common::filled;
use crate::common::settled;
use crate::common::soon;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "outer:{id}", skip(row))]
async fn outer(row: &Row, id: u64) -> u64 {
    read(row, id).await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

/// Reads through the cache, and then goes on for as long as the gate of `rest` says.
#[cached(ttl = "5m", key = "around:{id}", skip(row, rest))]
async fn around(row: &Row, rest: &Row, id: u64) -> u64 {
    let value = read(row, id).await;
    rest.read().await;
    value
}

async fn an_outer_load_is_not_joined_once_an_inner_entry_was_invalidated(cache: Cache, other: Cache) {
    for (id, by_tag) in [(1, false), (2, true)] {
        let (row, rest) = (Row::new(), Row::with_gate(0));
        let call = || {
            let (row, rest) = (row.clone(), rest.clone());
            async move { around(&row, &rest, id).await }
        };
        let before = spawn(call());
        rest.has_loads(1).await;
        row.write();
        let delivery = if by_tag { cache.invalidate_tags(["rows"]).await } else { cache.invalidate("row:1").await };
        assert_eq!(delivery, Delivery::Applied);
        let (here, there) = (spawn(call()), tokio::spawn(scope(other.clone(), call())));
        tokio::time::sleep(Duration::from_millis(50)).await;
        rest.gate.add_permits(1000);
        let values = (before.await.unwrap(), here.await.unwrap(), there.await.unwrap());
        assert_eq!(values, (1, 2, 2), "by tag: {by_tag}");
        assert_eq!(call().await, 2, "and it is not stored");
    }
}

#[cached(ttl = "5m", key = "warm", tags = ["one"])]
async fn warm() {}

#[cached(ttl = "5m", key = "mixed:{id}", tags = ["one"], skip(row))]
async fn as_text(row: &Row, id: u64) -> String {
    let _ = id;
    row.read().await.to_string()
}

#[cached(ttl = "5m", key = "mixed:{id}", tags = ["one"], skip(row))]
async fn under_one_tag(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "5m", key = "mixed:{id}", tags = ["one", "two"], skip(row))]
async fn under_two_tags(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

async fn a_right_that_is_handed_over_serves_the_tags_it_was_captured_for(cache: Cache, _: Cache) {
    // The tag has a token before anything else begins.
    warm().await;
    for id in 0..8 {
        let (held, endless, row) = (Row::with_gate(0), Row::with_gate(0), Row::new());
        let holder = spawn({
            let held = held.clone();
            async move { as_text(&held, id).await }
        });
        held.has_loads(1).await;
        let leader = spawn({
            let endless = endless.clone();
            async move { under_one_tag(&endless, id).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let heir = spawn({
            let row = row.clone();
            async move { under_two_tags(&row, id).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        held.gate.add_permits(1);
        assert_eq!(holder.await.unwrap(), "1");
        // Both have waited for the holder, and nothing says who is first.
        until("one of them loads", async || endless.loads() + row.loads() > 0).await;
        leader.abort();
        assert_eq!(soon("the lead is handed over", heir).await.unwrap(), 1);
        row.write();
        assert_eq!(cache.invalidate_tags(["two"]).await, Delivery::Applied);
        assert_eq!(under_two_tags(&row, id).await, 2);
    }
}

#[cached(ttl = "5m", key = "hot:{id}", tags = ["hots"], skip(takes))]
async fn hot(id: u64, takes: Duration) -> u64 {
    tokio::time::sleep(takes).await;
    id
}

/// Far less than the ten seconds after which a call gives up waiting, and far more than any load here takes.
const STALL: Duration = Duration::from_secs(4);

async fn callers_of_a_key_that_is_invalidated_all_the_time_all_return(cache: Cache, _: Cache) {
    let (over, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let (over, longest) = (over.clone(), longest.clone());
        callers.spawn(scope::current().carry(async move {
            while !over.load(Ordering::SeqCst) {
                let began = Instant::now();
                hot(1, Duration::from_millis(20)).await;
                longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }));
    }
    for round in 0..100 {
        let _ = cache.invalidate("hot:1").await;
        tokio::time::sleep(Duration::from_millis(5 + round % 17)).await;
    }
    over.store(true, Ordering::SeqCst);
    callers.join_all().await;
    assert!(longest.load(Ordering::SeqCst) < STALL.as_millis() as u64, "somebody waited {longest:?} ms");
}

async fn callers_that_come_after_an_invalidation_do_not_wait_for_their_own_lease(cache: Cache, _: Cache) {
    for id in 0..8 {
        let loads = cache.stats().function("hot").loads;
        let mut callers = JoinSet::new();
        callers.spawn(scope::current().carry(hot(id, Duration::from_millis(150))));
        until("it is being loaded", async || cache.stats().function("hot").loads > loads).await;
        let _ = cache.invalidate(format!("hot:{id}")).await;
        let began = Instant::now();
        for _ in 0..64 {
            callers.spawn(scope::current().carry(hot(id, Duration::from_millis(20))));
        }
        callers.join_all().await;
        assert!(began.elapsed() < STALL, "somebody waited {:?}", began.elapsed());
    }
}

#[cached(ttl = "5m", key = "{name}", tags = ["{name}"], skip(row))]
async fn bare(row: &Row, name: &str) -> u64 {
    let _ = name;
    row.read().await
}

#[invalidates(key = "{name}")]
async fn write_bare(row: &Row, name: &str) {
    let _ = name;
    row.write();
}

#[invalidates(tags = ["{tag}"])]
async fn write_bare_tag(row: &Row, tag: &str) {
    let _ = tag;
    row.write();
}

async fn empty_parts_are_names_like_any_other(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(bare(&row, "").await, 1);
    filled(&cache, "bare", 1).await;
    assert_eq!(bare(&row, "").await, 1);
    assert_eq!(row.loads(), 1, "it is stored");
    write_bare(&row, "").await;
    assert_eq!(bare(&row, "").await, 2);
    filled(&cache, "bare", 2).await;
    write_bare_tag(&row, "").await;
    assert_eq!(bare(&row, "").await, 3);
}

#[invalidates(key = "row:{id}", mode = after)]
async fn write_after(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

async fn a_transaction_does_not_see_outer_entries_that_inherited_what_it_changed(cache: Cache, _: Cache) {
    let row = Row::new();
    for (round, mode) in [(0, Mode::After), (1, Mode::Guarded)] {
        assert_eq!(outer(&row, 7).await, 1 + round);
        filled(&cache, "outer", 1 + round).await;
        let seen = cache.defer_invalidations(async {
            let written = if mode == Mode::After { write_after(&row, 7).await } else { write(&row, 7).await };
            (written, outer(&row, 7).await)
        });
        let (written, seen) = seen.await;
        assert_eq!(seen, written, "{mode:?}");
    }
}

/// What a caller of this version of the database sees.
#[cached(ttl = "5m", key = "seen:{id}", tags = ["seen"], skip(version))]
async fn seen(version: u64, id: u64) -> u64 {
    version
}

#[cached(ttl = "5m", key = "seen_outer:{id}", skip(version))]
async fn seen_outer(version: u64, id: u64) -> u64 {
    seen(version, id).await
}

#[invalidates(tags = ["seen"])]
async fn write_seen() {}

async fn a_transaction_does_not_see_what_others_store_of_its_changes_meanwhile(cache: Cache, other: Cache) {
    let seen = cache.defer_invalidations(async {
        write_seen().await;
        for outside in [cache.clone(), other.clone()] {
            let others = tokio::spawn(async move { scope(outside, seen_outer(1, 7)).await });
            assert_eq!(others.await.unwrap(), 1);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen_outer(2, 7).await
    });
    assert_eq!(seen.await, 2);
    assert_eq!(seen_outer(2, 7).await, 2);
}

#[cached(ttl = "5m", key = "ping", tags = ["pings"], skip(row, depth))]
async fn ping(row: &Row, depth: u32) -> u64 {
    if depth == 0 { row.read().await } else { pong(row, depth - 1).await }
}

#[cached(ttl = "5m", key = "pong", skip(row, depth))]
async fn pong(row: &Row, depth: u32) -> u64 {
    ping_again(row, depth).await
}

fn ping_again(row: &Row, depth: u32) -> Pin<Box<dyn Future<Output = u64> + Send + '_>> {
    Box::pin(ping(row, depth))
}

async fn what_is_loaded_on_behalf_of_a_load_further_out_is_not_stored_in_between(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(soon("it calls itself", ping(&row, 1)).await, 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(cache.stats().function("pong").fills, 0, "what it rests on was read before its own load began");
    row.write();
    assert_eq!(cache.invalidate_tags(["pings"]).await, Delivery::Applied);
    assert_eq!(pong(&row, 0).await, 2);
}

#[cached(ttl = "5m", key = "leaf:{id}")]
async fn leaf(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "forest:{leaves}")]
async fn forest(leaves: u64) -> u64 {
    let mut sum = 0;
    for id in 0..leaves {
        sum += leaf(id).await;
    }
    sum
}

#[tokio::test]
async fn any_number_of_inner_calls_is_survived_and_not_stored() {
    let cache = Cache::memory();
    // Were each of them compared with all before it, this would not end.
    assert_eq!(soon("it has read them", scope(cache.clone(), forest(50_000))).await, 1_249_975_000);
    let counts = cache.stats().function("forest");
    assert_eq!((counts.loads, counts.fills, counts.refused), (1, 0, 1));
}

#[test]
fn a_wait_without_end_is_an_error() {
    let settings: [fn(Builder, Duration) -> Builder; 7] = [
        Builder::op_timeout,
        Builder::connect_timeout,
        Builder::lease,
        Builder::max_load,
        Builder::max_wait,
        Builder::guard,
        Builder::hold_off,
    ];
    for (number, set) in settings.into_iter().enumerate() {
        for url in ["memory:", "redis://127.0.0.1:1"] {
            let error = set(Cache::builder().url(url), Duration::MAX).build().unwrap_err();
            assert!(error.to_string().contains("more than ten years"), "setting {number}: {error}");
        }
    }
}

/// Two functions of one name, as in two test functions of one module.
async fn one_of_that_name(row: &Row) -> u64 {
    #[cached(ttl = "5m", tags = ["named"], skip(row))]
    async fn of_that_name(row: &Row) -> u64 {
        row.read().await
    }
    of_that_name(row).await
}

async fn the_other_of_that_name(row: &Row) -> u64 {
    #[cached(ttl = "5m", tags = ["named"], skip(row))]
    async fn of_that_name(row: &Row) -> u64 {
        1000 + row.read().await
    }
    of_that_name(row).await
}

#[cached(ttl = "5m", key = "around_that_name", skip(row))]
async fn around_that_name(row: &Row) -> u64 {
    one_of_that_name(row).await
}

async fn functions_of_one_name_are_not_stored_nor_what_calls_them(cache: Cache, _: Cache) {
    let row = Row::new();
    for round in 0..3 {
        assert_eq!(one_of_that_name(&row).await, 1 + round);
        assert_eq!(the_other_of_that_name(&row).await, 1001 + round);
        // Only from here on it is known that there are two.
        if round > 0 {
            assert_eq!(around_that_name(&row).await, 1 + round);
        }
        row.write();
        if round == 0 {
            assert_eq!(cache.invalidate_tags(["named"]).await, Delivery::Applied);
        }
    }
    assert_eq!(cache.stats().function("around_that_name").fills, 0);
}

async fn put_stores_nothing_in_a_transaction_or_without_fills(cache: Cache, other: Cache) {
    static PUT: Site = Site::cached("holes", "put").key("put").tags(&["puts"]);
    let entry = |cache: &Cache| cache.entry(&PUT, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    assert!(!entry(&cache).in_transaction().put(1).await);
    assert!(!cache.no_fill(entry(&cache).put(2)).await);
    assert!(!cache.defer_invalidations(entry(&cache).put(3)).await);
    assert_eq!((entry(&cache).get().await, entry(&other).get().await), (None, None));
    assert!(entry(&cache).put(4).await);
    assert_eq!((entry(&cache).get().await, entry(&other).get().await), (Some(4), Some(4)));
}

#[invalidates(key = "row:{id}")]
async fn write_when_told(row: &Row, id: u64, told: oneshot::Receiver<()>) {
    let _ = id;
    told.await.unwrap();
    row.write();
}

async fn a_mutation_that_outlives_its_transaction_invalidates(cache: Cache, _: Cache) {
    let row = Row::new();
    let (tell, told) = oneshot::channel();
    let mut mutation = None;
    let transaction = cache.defer_invalidations(async {
        let row = row.clone();
        mutation = Some(spawn(async move { write_when_told(&row, 7, told).await }));
        // It has become a part of the transaction.
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    transaction.await;
    assert_eq!(read(&row, 7).await, 1);
    settled(7).await;
    tell.send(()).unwrap();
    mutation.unwrap().await.unwrap();
    // Nobody waits for that invalidation any more.
    until("what it changed is read", async || read(&row, 7).await == 2).await;
}

#[tokio::test]
async fn callers_of_an_undelivered_key_share_loads() {
    for undelivered in [false, true] {
        let cache = Cache::connect("redis://127.0.0.1:1").await.unwrap();
        if undelivered {
            assert_eq!(cache.invalidate("row:7").await, Delivery::Deferred);
        }
        let row = Row::with_gate(0);
        let mut callers = JoinSet::new();
        for _ in 0..200 {
            let row = row.clone();
            callers.spawn(scope(cache.clone(), async move { read(&row, 7).await }));
        }
        row.has_loads(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        row.gate.add_permits(1000);
        assert!(callers.join_all().await.into_iter().all(|value| value == 1));
        assert!(row.loads() <= 3, "{} loads, undelivered: {undelivered}", row.loads());
    }
}

#[tokio::test]
async fn a_foreign_entry_that_looks_like_ours_is_a_miss_and_no_storm() {
    for foreign in ["00112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF"] {
        let server = Server::start();
        let cache = connected(&server).await;
        server.command(&["SET", "cache:e:{row:7}", foreign]).unwrap();
        let row = Row::new();
        assert_eq!(scope(cache.clone(), read(&row, 7)).await, 1);
        until("it is replaced", async || cache.stats().total.fills == 1).await;
        let asked = server.calls("mget") + server.calls("evalsha");
        assert!(asked < 20, "the server was asked {asked} times");
        assert_eq!(scope(cache.clone(), read(&row, 7)).await, 1);
        assert_eq!(row.loads(), 1);
    }
}

/// A process of the next test: what the other function of that name returns there.
#[tokio::test]
#[ignore = "a process of the test below"]
#[expect(clippy::print_stdout, reason = "the test reads it")]
async fn the_other_one_in_another_process() {
    let Ok(url) = env::var("STORE") else { return };
    let cache = Cache::connect(&url).await.unwrap();
    let value = scope(cache.clone(), the_other_far_away(&Row::new())).await;
    scope(cache.clone(), filled(&cache, "far_away", 1)).await;
    println!("\nvalue {value}");
}

async fn one_far_away(row: &Row) -> u64 {
    #[cached(ttl = "5m", skip(row))]
    async fn far_away(row: &Row) -> u64 {
        row.read().await
    }
    far_away(row).await
}

async fn the_other_far_away(row: &Row) -> u64 {
    #[cached(ttl = "5m", skip(row))]
    async fn far_away(row: &Row) -> u64 {
        1000 + row.read().await
    }
    far_away(row).await
}

#[tokio::test]
async fn functions_of_one_name_in_two_processes_are_not_mixed() {
    let server = Server::start();
    let cache = connected(&server).await;
    let row = Row::new();
    for round in 0..2 {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["the_other_one_in_another_process", "--exact", "--nocapture", "--ignored"]);
        let mut process = process.env("STORE", server.url()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let values: Vec<String> = lines.filter(|line| line.starts_with("value ")).collect();
        assert!(process.wait().unwrap().success());
        assert_eq!(values, ["value 1001"], "in round {round}");
        assert_eq!(scope(cache.clone(), one_far_away(&row)).await, 1);
        filled(&cache, "far_away", 1 + round).await;
    }
}

/// Runs it as a task of its own, with the cache and the transaction of this one.
fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(scope::current().carry(future))
}

on_every_store! {
    an_outer_load_is_not_joined_once_an_inner_entry_was_invalidated
    a_right_that_is_handed_over_serves_the_tags_it_was_captured_for
    callers_of_a_key_that_is_invalidated_all_the_time_all_return
    callers_that_come_after_an_invalidation_do_not_wait_for_their_own_lease
    empty_parts_are_names_like_any_other
    a_transaction_does_not_see_outer_entries_that_inherited_what_it_changed
    a_transaction_does_not_see_what_others_store_of_its_changes_meanwhile
    what_is_loaded_on_behalf_of_a_load_further_out_is_not_stored_in_between
    functions_of_one_name_are_not_stored_nor_what_calls_them
    put_stores_nothing_in_a_transaction_or_without_fills
    a_mutation_that_outlives_its_transaction_invalidates
}
