//! Which calls use the cache, which values are stored, and what tells entries apart besides the key, on every store.

#[macro_use]
mod common;

use std::io;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::returns;
use cache_runtime::scope;
use tokio::task::JoinSet;

use crate::common::Row;
use crate::common::filled;

#[cached(ttl = "5m", key = "row:{id}", skip(row, fresh), when = !fresh)]
async fn read(row: &Row, id: u64, fresh: bool) -> io::Result<u64> {
    match id {
        0 => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(row.read().await),
    }
}

#[cached(ttl = "5m", key = "outer:{id}", skip(row, fresh))]
async fn outer(row: &Row, id: u64, fresh: bool) -> io::Result<u64> {
    read(row, id, fresh).await
}

#[cached(ttl = "5m", key = "warm:{id}", skip(row, warm), when = !warm)]
async fn warmed(row: &Row, id: u64, warm: bool) -> u64 {
    if warm { Box::pin(warmed(row, id, false)).await } else { row.read().await }
}

#[cached(ttl = "5m", key = "odd:{id}", skip(row), unless = |version| version % 2 == 1)]
async fn settled_version(row: &Row, id: u64) -> Option<u64> {
    let _ = id;
    Some(row.read().await)
}

mod first_deploy {
    use super::*;

    #[cached(ttl = "5m", key = "versioned:{id}", skip(row), version = 1)]
    pub(super) async fn deployed_first(row: &Row, id: u64) -> u64 {
        let _ = id;
        row.read().await
    }
}

mod second_deploy {
    use super::*;

    const VERSION: u32 = 2;

    #[cached(ttl = "5m", key = "versioned:{id}", skip(row), version = VERSION)]
    pub(super) async fn deployed_second(row: &Row, id: u64) -> u64 {
        let _ = id;
        row.read().await
    }
}

#[cached(ttl = "5m", skip(row), name = "rows.get")]
async fn named(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

async fn a_call_that_is_not_to_use_the_cache_neither_looks_nor_stores(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(read(&row, 7, true).await.unwrap(), 1);
    assert_eq!(read(&row, 7, false).await.unwrap(), 1);
    filled(&cache, "read", 1).await;
    row.write();
    assert_eq!(read(&row, 7, true).await.unwrap(), 2, "it does not look");
    assert_eq!(read(&row, 7, false).await.unwrap(), 1, "it does not store");
    read(&row, 0, true).await.unwrap_err();
    let counts = cache.stats().function("read");
    assert_eq!((counts.bypassed, counts.misses, counts.hits), (3, 1, 1));
    assert_eq!((counts.loads, counts.failures, counts.fills), (4, 1, 1));
}

async fn a_call_that_is_not_to_use_the_cache_joins_nobody(_: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let mut callers = JoinSet::new();
    for fresh in [false, true] {
        let row = row.clone();
        callers.spawn(scope::current().carry(async move { read(&row, 7, fresh).await.unwrap() }));
    }
    row.has_loads(2).await;
    row.gate.add_permits(2);
    assert_eq!(callers.join_all().await, [1, 1]);
}

async fn what_was_built_past_the_cache_is_not_stored(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(outer(&row, 7, true).await.unwrap(), 1);
    row.write();
    assert_eq!(outer(&row, 7, false).await.unwrap(), 2);
    filled(&cache, "outer", 1).await;
    let counts = cache.stats().function("outer");
    assert_eq!((counts.refused, counts.fills, counts.loads), (1, 1, 2));
}

async fn the_body_of_a_call_past_the_cache_may_use_it(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(warmed(&row, 7, true).await, 1);
    filled(&cache, "warmed", 1).await;
    assert_eq!(warmed(&row, 7, false).await, 1);
    assert_eq!(row.loads(), 1);
}

async fn by_hand_a_call_past_the_cache_finds_and_stores_nothing(cache: Cache, _: Cache) {
    static ENTRY: Site = Site::cached("by hand", "entry").key("entry");
    let entry = || cache.entry(&ENTRY, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    assert!(!entry().when(false).put(1).await);
    assert_eq!(entry().get().await, None);
    assert!(entry().when(true).put(1).await);
    assert_eq!(entry().when(false).get().await, None);
    assert_eq!(entry().when(false).refresh(async { 2 }).await, 2);
    assert_eq!(entry().get().await, Some(1));
}

async fn an_unwanted_value_is_shared_and_not_stored(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let row = row.clone();
        callers.spawn(scope::current().carry(async move { settled_version(&row, 7).await }));
    }
    row.has_loads(1).await;
    common::until("the others have missed", async || cache.stats().total.misses == 10).await;
    row.gate.add_permits(100);
    assert!(callers.join_all().await.iter().all(|version| *version == Some(1)));
    assert!(row.loads() < 10, "those who waited were given it");
    let loads = row.loads();
    row.write();
    assert_eq!(settled_version(&row, 7).await, Some(2), "it was not stored");
    filled(&cache, "settled_version", 1).await;
    row.write();
    assert_eq!(settled_version(&row, 7).await, Some(2), "another value is");
    assert_eq!(row.loads(), loads + 1);
    let counts = cache.stats().function("settled_version");
    assert_eq!((counts.unwanted, counts.refused), (loads as u64, 0));
}

async fn an_entry_of_another_version_is_a_miss(cache: Cache, other: Cache) {
    use first_deploy::deployed_first;
    use second_deploy::deployed_second;
    let row = Row::new();
    assert_eq!(deployed_first(&row, 7).await, 1);
    filled(&cache, "deployed_first", 1).await;
    row.write();
    assert_eq!(scope(other.clone(), deployed_second(&row, 7)).await, 2);
    filled(&other, "deployed_second", 1).await;
    assert_eq!(scope(other.clone(), deployed_second(&row, 7)).await, 2);
    assert_eq!(deployed_first(&row, 7).await, 2, "never a value of the other version");
    assert_eq!(row.loads(), 3);
    let unreadable = cache.stats().total.unreadable + other.stats().total.unreadable;
    assert_eq!(unreadable, 0, "it is whole, and of another version");
}

async fn an_invalidation_meets_every_version(cache: Cache, _: Cache) {
    use first_deploy::deployed_first;
    let row = Row::new();
    assert_eq!(deployed_first(&row, 7).await, 1);
    filled(&cache, "deployed_first", 1).await;
    row.write();
    let _ = cache.invalidate("versioned:7").await;
    assert_eq!(deployed_first(&row, 7).await, 2);
}

async fn a_name_stands_for_module_and_function(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(named(&row, 7).await, 1);
    filled(&cache, "rows.get", 1).await;
    assert!(cache.stats().functions.iter().any(|function| function.name == "rows.get"));
    row.write();
    let _ = cache.invalidate("rows.get:7").await;
    assert_eq!(named(&row, 7).await, 2);
}

async fn names_tell_functions_of_one_name_apart(cache: Cache, _: Cache) {
    async fn first() -> u64 {
        #[cached(ttl = "5m", name = "apart.first")]
        async fn twin() -> u64 {
            1
        }
        twin().await
    }
    async fn second() -> u64 {
        #[cached(ttl = "5m", name = "apart.second")]
        async fn twin() -> u64 {
            2
        }
        twin().await
    }
    assert_eq!((first().await, second().await), (1, 2));
    filled(&cache, "apart.first", 1).await;
    filled(&cache, "apart.second", 1).await;
    assert_eq!((first().await, second().await), (1, 2));
}

async fn two_functions_that_were_given_one_name_share_nothing(cache: Cache, _: Cache) {
    #[cached(ttl = "5m", name = "shared")]
    async fn first() -> u64 {
        1
    }
    #[cached(ttl = "5m", name = "shared")]
    async fn second() -> u64 {
        2
    }
    for _ in 0..2 {
        let _ = (first().await, second().await);
    }
    assert_eq!((first().await, second().await), (1, 2));
    assert!(cache.stats().function("shared").fills <= 1, "none after the second function was met");
}

on_every_store! {
    a_call_that_is_not_to_use_the_cache_neither_looks_nor_stores
    a_call_that_is_not_to_use_the_cache_joins_nobody
    what_was_built_past_the_cache_is_not_stored
    the_body_of_a_call_past_the_cache_may_use_it
    by_hand_a_call_past_the_cache_finds_and_stores_nothing
    an_unwanted_value_is_shared_and_not_stored
    an_entry_of_another_version_is_a_miss
    an_invalidation_meets_every_version
    a_name_stands_for_module_and_function
    names_tell_functions_of_one_name_apart
    two_functions_that_were_given_one_name_share_nothing
}
