//! What every annotated function can rely on, on every store.

#[macro_use]
mod common;

use std::future::pending;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use tokio::task::JoinSet;

use crate::common::Row;
use crate::common::filled;
use crate::common::settled;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "sum:{id}", skip(row))]
async fn outer(row: &Row, id: u64) -> u64 {
    read(row, id).await
}

#[cached(ttl = "5m", key = "outermost:{id}", skip(row))]
async fn outermost(row: &Row, id: u64) -> u64 {
    outer(row, id).await
}

#[cached(ttl = "5m", key = "member:{id}", tags = ["team:{team}"], skip(row, team))]
async fn member(row: &Row, id: u64, team: u64) -> u64 {
    let _ = (id, team);
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write_key(row: &Row, id: u64) -> Result<u64, io::Error> {
    let _ = id;
    Ok(row.write())
}

#[invalidates(tags = ["rows"])]
async fn write_tag(row: &Row) -> Result<u64, io::Error> {
    Ok(row.write())
}

#[invalidates(key = "row:{id}", mode = after)]
async fn write_after(row: &Row, id: u64) -> Result<u64, io::Error> {
    let _ = id;
    row.write();
    Err(io::Error::other("the commit timed out, and happened"))
}

#[invalidates(key = "row:{id}", tags = ["rows"])]
async fn write_and_then<F: Future>(row: &Row, id: u64, then: F) -> F::Output {
    let _ = id;
    row.write();
    then.await
}

#[invalidates(tags = ["rows"], mode = linearizable)]
async fn write_strictly<F: Future>(row: &Row, then: F) -> F::Output {
    row.write();
    then.await
}

async fn callers_at_a_cold_key_share_one_load(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let row = row.clone();
        callers.spawn(scope::current().carry(async move { read(&row, 7).await }));
    }
    row.has_loads(1).await;
    row.gate.add_permits(1);
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap(), 1);
    }
    assert_eq!(row.loads(), 1);
    assert_eq!(cache.stats().function("read").loads, 1);
}

async fn a_stored_value_is_served_to_everybody(_: Cache, other: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    settled(7).await;
    row.write();
    assert_eq!(read(&row, 7).await, 1, "nobody has invalidated it");
    assert_eq!(scope(other, read(&row, 7)).await, 1);
    assert_eq!(row.loads(), 1);
}

async fn a_read_after_a_mutation_sees_it(_: Cache, other: Cache) {
    let row = Row::new();
    for expected in 1..20 {
        assert_eq!(read(&row, 7).await, expected);
        assert_eq!(scope(other.clone(), read(&row, 7)).await, expected);
        if expected % 2 == 0 {
            write_key(&row, 7).await.unwrap()
        } else {
            write_tag(&row).await.unwrap()
        };
    }
}

async fn an_error_of_a_mutator_invalidates(_: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    settled(7).await;
    write_after(&row, 7).await.unwrap_err();
    assert_eq!(read(&row, 7).await, 2);
}

async fn a_panic_of_a_mutator_invalidates(_: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    let panics = {
        let row = row.clone();
        scope::current().carry(async move { write_and_then(&row, 7, async { panic!("on purpose") }).await })
    };
    assert!(tokio::spawn(panics).await.unwrap_err().is_panic());
    assert_eq!(read(&row, 7).await, 2);
}

async fn a_mutator_dropped_half_way_invalidates(_: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    let half = {
        let row = row.clone();
        scope::current().carry(async move { write_and_then(&row, 7, pending::<()>()).await })
    };
    let half = tokio::spawn(half);
    while row.version.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    half.abort();
    assert!(half.await.unwrap_err().is_cancelled());
    assert_eq!(read(&row, 7).await, 2);
    // It may commit a moment later: until the mark has expired nothing that is read now may outlive it.
    row.write();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(read(&row, 7).await, 3);
}

async fn a_load_from_before_a_mutation_is_not_stored(_: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let slow = tokio::spawn(scope::current().carry({
        let row = row.clone();
        async move { read(&row, 7).await }
    }));
    row.has_loads(1).await;
    write_key(&row, 7).await.unwrap();
    row.gate.add_permits(1000);
    assert_eq!(slow.await.unwrap(), 1, "it began before the mutation");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(read(&row, 7).await, 2);
}

async fn a_load_from_before_a_mutation_is_not_joined(_: Cache, other: Cache) {
    for by_tag in [false, true] {
        let id = u64::from(by_tag);
        let row = Row::with_gate(0);
        let slow = tokio::spawn(scope::current().carry({
            let row = row.clone();
            async move { read(&row, id).await }
        }));
        row.has_loads(1).await;
        if by_tag {
            write_tag(&row).await.unwrap()
        } else {
            write_key(&row, id).await.unwrap()
        };
        let here = tokio::spawn(scope::current().carry({
            let row = row.clone();
            async move { read(&row, id).await }
        }));
        let there = tokio::spawn(scope(other.clone(), {
            let row = row.clone();
            async move { read(&row, id).await }
        }));
        row.has_loads(2).await;
        row.gate.add_permits(1000);
        assert_eq!((slow.await.unwrap(), here.await.unwrap(), there.await.unwrap()), (1, 2, 2));
    }
}

async fn an_outer_value_goes_with_an_inner_one(_: Cache, other: Cache) {
    let row = Row::new();
    for expected in 1..9 {
        assert_eq!(outermost(&row, 7).await, expected);
        settled(7).await;
        assert_eq!(outermost(&row, 7).await, expected);
        assert_eq!(scope(other.clone(), outermost(&row, 7)).await, expected);
        if expected % 2 == 0 {
            write_key(&row, 7).await.unwrap()
        } else {
            write_tag(&row).await.unwrap()
        };
    }
    let before = row.loads();
    outermost(&row, 7).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    outermost(&row, 7).await;
    assert_eq!(row.loads(), before + 1, "an outer value is stored too");
}

async fn a_dropped_leader_hands_over(_: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let spawn_read = || {
        let row = row.clone();
        tokio::spawn(scope::current().carry(async move { read(&row, 7).await }))
    };
    let leader = spawn_read();
    row.has_loads(1).await;
    let waiters: Vec<_> = (0..10).map(|_| spawn_read()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    leader.abort();
    row.has_loads(2).await;
    row.gate.add_permits(1);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(row.loads(), 2);
}

#[cached(ttl = "5m", key = "panics:{id}", skip(row))]
async fn panics_first(row: &Row, id: u64) -> u64 {
    let value = row.read().await;
    assert!(row.loads() > 1, "on purpose");
    value
}

async fn a_panicking_leader_hands_over(_: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let spawn_read = || {
        let row = row.clone();
        tokio::spawn(scope::current().carry(async move { panics_first(&row, 7).await }))
    };
    let leader = spawn_read();
    row.has_loads(1).await;
    let waiters: Vec<_> = (0..10).map(|_| spawn_read()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    row.gate.add_permits(1);
    assert!(leader.await.unwrap_err().is_panic());
    row.has_loads(2).await;
    row.gate.add_permits(1);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(row.loads(), 2);
}

#[cached(ttl = "5m", key = "fails:{id}", skip(row))]
async fn fails(row: &Row, id: u64) -> Result<u64, String> {
    row.read().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Err("the source is down".to_owned())
}

async fn waiters_of_a_failing_load_do_not_queue(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let row = row.clone();
        callers.spawn(scope::current().carry(async move { fails(&row, 7).await }));
    }
    row.has_loads(1).await;
    row.gate.add_permits(1);
    row.has_loads(2).await;
    row.gate.add_permits(1);
    // All the rest load side by side, each for itself.
    row.has_loads(20).await;
    row.gate.add_permits(100);
    while let Some(value) = callers.join_next().await {
        value.unwrap().unwrap_err();
    }
    assert_eq!(row.most_loading(), 18);
    let counts = cache.stats().function("fails");
    assert_eq!((counts.failures, counts.fills), (20, 0), "an error is never stored");
}

#[cached(ttl = "5m", key = "countdown:{at}", skip(depth))]
async fn countdown(at: u64, depth: u64) -> u64 {
    if depth == 0 { 0 } else { 1 + Box::pin(countdown(at, depth - 1)).await }
}

async fn a_function_may_call_itself_with_its_own_key(_: Cache, _: Cache) {
    let done = tokio::time::timeout(Duration::from_secs(5), countdown(7, 3)).await;
    assert_eq!(done.unwrap(), 3);
}

async fn while_guarded_reads_are_shared_and_stored_only_for_so_long(cache: Cache, _: Cache) {
    let row = Row::new();
    let (open, closed) = tokio::sync::oneshot::channel::<()>();
    let mutation = tokio::spawn(scope::current().carry({
        let row = row.clone();
        async move { write_and_then(&row, 999, closed).await.unwrap() }
    }));
    while row.version.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&row, 7).await, 2);
    settled(7).await;
    assert_eq!(read(&row, 7).await, 2);
    assert_eq!(row.loads(), 1, "a broad tag that is being mutated still coalesces");
    open.send(()).unwrap();
    mutation.await.unwrap();
    assert_eq!(read(&row, 7).await, 2);
    assert_eq!(row.loads(), 2, "what was stored meanwhile is gone");
    assert!(cache.stats().total.applied >= 1);
}

async fn a_linearizable_mutation_lets_nothing_be_stored(_: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    let (open, closed) = tokio::sync::oneshot::channel::<()>();
    let mutation = tokio::spawn(scope::current().carry({
        let row = row.clone();
        async move { write_strictly(&row, closed).await.unwrap() }
    }));
    while row.version.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    for version in 2..6 {
        assert_eq!(read(&row, 7).await, version, "once committed, never anything older");
        row.write();
    }
    open.send(()).unwrap();
    mutation.await.unwrap();
    assert_eq!(read(&row, 7).await, 6);
}

async fn a_transaction_invalidates_at_its_end(cache: Cache, other: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    settled(7).await;
    cache
        .defer_invalidations(async {
            write_key(&row, 7).await.unwrap();
            let loads = row.loads();
            assert_eq!(read(&row, 7).await, 2, "a transaction sees its own writes");
            assert_eq!(read(&row, 7).await, 2);
            assert_eq!(row.loads(), loads + 2, "and stores nothing of them");
            assert_eq!(scope(other.clone(), read(&row, 8)).await, 2);
        })
        .await;
    assert_eq!(read(&row, 7).await, 2);
    settled(7).await;
    let loads = row.loads();
    assert_eq!(read(&row, 7).await, 2);
    assert_eq!(row.loads(), loads);
}

async fn no_fill_stores_nothing(cache: Cache, _: Cache) {
    let row = Row::new();
    cache.no_fill(async { assert_eq!(read(&row, 7).await, 1) }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    row.write();
    assert_eq!(read(&row, 7).await, 2);
    settled(7).await;
    cache.no_fill(async { assert_eq!(read(&row, 7).await, 2) }).await;
    assert_eq!(row.loads(), 2, "what is stored is served");
}

#[cached(ttl = "5m", key = "maybe:{id}", skip(row))]
async fn maybe(row: &Row, id: u64) -> Option<u64> {
    let version = row.read().await;
    (version > 1).then_some(version)
}

async fn nothing_is_shared_by_those_who_wait_but_not_stored(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let row = row.clone();
        callers.spawn(scope::current().carry(async move { maybe(&row, 7).await }));
    }
    row.has_loads(1).await;
    // Who comes when the load has ended loads too.
    while cache.stats().total.misses < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    row.gate.add_permits(1000);
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap(), None);
    }
    assert_eq!(row.loads(), 1);
    row.write();
    assert_eq!(maybe(&row, 7).await, Some(2));
}

async fn by_hand_it_is_the_same(cache: Cache, other: Cache) {
    static PRICE: Site = Site::cached("laws", "price").key("price:{sku}").tags(&["prices", "price:{sku}"]);
    let price = |cache: &Cache, sku: &str| {
        let entry = cache.entry(&PRICE, returns::<io::Result<u32>>().kind());
        entry.key(&[&sku]).tags(&[&sku]).ttl(Duration::from_secs(60)).jitter(0.0)
    };
    assert_eq!(price(&cache, "tea").get().await, None);
    assert_eq!(price(&cache, "tea").remaining_ttl().await, None);
    assert!(price(&cache, "tea").put(350).await);
    assert_eq!(price(&other, "tea").get().await, Some(350));
    let remaining = price(&cache, "tea").remaining_ttl().await.unwrap();
    assert!(remaining > Duration::from_secs(50) && remaining <= Duration::from_secs(60), "{remaining:?}");
    assert_eq!(price(&cache, "tea").invalidate().await, Delivery::Applied);
    assert_eq!(price(&other, "tea").get().await, None);
    assert_eq!(price(&cache, "tea").get_or_load(async { Ok(360) }).await.unwrap(), 360);
    assert_eq!(cache.invalidate("price:tea").await, Delivery::Applied);
    assert_eq!(price(&other, "tea").get().await, None);
    assert!(price(&cache, "tea").put(370).await);
    assert_eq!(cache.invalidate_tags(["price:tea"]).await, Delivery::Applied);
    assert_eq!(price(&other, "tea").get().await, None);
    assert_eq!(cache.pending(), 0);
}

async fn any_number_of_tags_is_invalidated_at_once(cache: Cache, other: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7).await, 1);
    settled(7).await;
    row.write();
    let tags = (7..5007).rev().map(|id| format!("row:{id}"));
    assert_eq!(cache.invalidate_tags(tags).await, Delivery::Applied);
    assert_eq!(scope(other, read(&row, 7)).await, 2);
}

async fn another_type_under_the_same_key_is_a_miss(_: Cache, _: Cache) {
    #[cached(ttl = "5m", key = "same")]
    async fn number() -> u64 {
        7
    }
    #[cached(ttl = "5m", key = "same")]
    async fn text() -> String {
        "seven".to_owned()
    }
    for _ in 0..3 {
        assert_eq!(number().await, 7);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(text().await, "seven");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_call_with_other_tags_does_not_get_an_entry_without_them(_: Cache, _: Cache) {
    #[cached(ttl = "5m", key = "shared", skip(row), tags = ["some"])]
    async fn some(row: &Row) -> u64 {
        row.read().await
    }
    #[cached(ttl = "5m", key = "shared", skip(row), tags = ["others"])]
    async fn others(row: &Row) -> u64 {
        row.read().await
    }
    #[invalidates(tags = ["others"])]
    async fn write(row: &Row) {
        row.write();
    }
    let row = Row::new();
    assert_eq!(some(&row).await, 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    write(&row).await;
    assert_eq!(others(&row).await, 2);
}

async fn keys_of_any_length_and_content_are_told_apart(_: Cache, _: Cache) {
    #[cached(ttl = "5m", key = "text {text} {{x}}", skip(calls), tags = ["tag {text}"])]
    async fn echo(calls: &AtomicUsize, text: &str) -> String {
        calls.fetch_add(1, Ordering::SeqCst);
        text.to_owned()
    }
    let calls = AtomicUsize::new(0);
    let long = "x".repeat(5000);
    let texts = ["", " ", "a b", "a:b", "a%3Ab", "\0", "\r\nflush_all\r\n", "ü", "{x}", &long];
    for text in texts {
        assert_eq!(echo(&calls, text).await, text);
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    for text in texts {
        assert_eq!(echo(&calls, text).await, text);
    }
    assert_eq!(calls.load(Ordering::SeqCst), texts.len());
}

async fn entries_with_too_many_dependencies_are_not_stored(cache: Cache, _: Cache) {
    #[cached(ttl = "5m", key = "leaf:{id}", tags = ["leaf:{id}"])]
    async fn leaf(id: u64) -> u64 {
        id
    }
    #[cached(ttl = "5m", key = "tree:{leaves}")]
    async fn tree(leaves: u64) -> u64 {
        let mut sum = 0;
        for id in 0..leaves {
            sum += leaf(id).await;
        }
        sum
    }
    assert_eq!(tree(32).await, 496);
    assert_eq!(tree(33).await, 528);
    tokio::time::sleep(Duration::from_millis(20)).await;
    tree(32).await;
    tree(33).await;
    let counts = cache.stats().function("tree");
    assert_eq!((counts.loads, counts.hits, counts.refused), (3, 1, 2));
}

async fn who_names_other_tags_is_served_nothing_that_they_do_not_invalidate(cache: Cache, _: Cache) {
    let row = Row::new();
    member(&row, 7, 1).await;
    filled(&cache, "member", 1).await;
    assert_eq!((member(&row, 7, 1).await, row.loads()), (1, 1));
    let written = row.write();
    assert_eq!(cache.invalidate_tags(["team:2"]).await, Delivery::Applied);
    assert_eq!(member(&row, 7, 2).await, written);
}

on_every_store! {
    callers_at_a_cold_key_share_one_load
    a_stored_value_is_served_to_everybody
    who_names_other_tags_is_served_nothing_that_they_do_not_invalidate
    a_read_after_a_mutation_sees_it
    an_error_of_a_mutator_invalidates
    a_panic_of_a_mutator_invalidates
    a_mutator_dropped_half_way_invalidates
    a_load_from_before_a_mutation_is_not_stored
    a_load_from_before_a_mutation_is_not_joined
    an_outer_value_goes_with_an_inner_one
    a_dropped_leader_hands_over
    a_panicking_leader_hands_over
    waiters_of_a_failing_load_do_not_queue
    a_function_may_call_itself_with_its_own_key
    while_guarded_reads_are_shared_and_stored_only_for_so_long
    a_linearizable_mutation_lets_nothing_be_stored
    a_transaction_invalidates_at_its_end
    no_fill_stores_nothing
    nothing_is_shared_by_those_who_wait_but_not_stored
    by_hand_it_is_the_same
    any_number_of_tags_is_invalidated_at_once
    another_type_under_the_same_key_is_a_miss
    a_call_with_other_tags_does_not_get_an_entry_without_them
    keys_of_any_length_and_content_are_told_apart
    entries_with_too_many_dependencies_are_not_stored
}
