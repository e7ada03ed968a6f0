//! Tag sets: what `cache.tag(…)` says of the entries that have a tag, and what is removed of them.

#[allow(unused_macros, reason = "a Memcached has none")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Error;
use cache_runtime::cached;
use cache_runtime::scope;
use cache_runtime::sim::Cluster;
use cache_runtime::sim::Memcached;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use tokio::task::block_in_place;

use crate::common::Row;
use crate::common::filled;
use crate::common::until;

#[cached(ttl = "5m", key = "user:{id}", tags = ["users", "team:{team}"], skip(row, team), jitter = 0.0)]
async fn user(row: &Row, id: u64, team: u64) -> String {
    format!("user {id} of {team} as of {}", row.read().await)
}

/// Made of another entry, whose tags it inherits.
#[cached(ttl = "1m", key = "greeting:{id}", skip(row), jitter = 0.0)]
async fn greeting(row: &Row, id: u64) -> String {
    format!("Hello {}", user(row, id, 1).await)
}

#[cached(ttl = "5m", key = "price:{id}", tags = ["prices"], skip(row), stale_if_error = "1h", even_invalidated)]
async fn price(row: &Row, id: u64) -> Result<u64, String> {
    let version = row.read().await;
    if version == 1 { Ok(id) } else { Err("the database is gone".to_owned()) }
}

/// A cache with tag sets at `url`.
async fn listing(url: &str, most: usize) -> Cache {
    let builder = Cache::builder().url(url).tag_sets(most).op_timeout(Duration::from_secs(5));
    builder.connect_timeout(Duration::from_secs(5)).connect().await.unwrap()
}

async fn keys(cache: &Cache, tag: &str) -> Vec<String> {
    let entries = cache.tag(tag).entries().await.unwrap();
    let mut keys: Vec<String> = entries.iter().map(|entry| entry.key().to_owned()).collect();
    keys.sort();
    keys
}

/// Tests of each law, in process, in process as if it were outside, and on Redis.
macro_rules! on_every_store_that_lists {
    ($($law:ident)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let cache = super::listing("memory:", 1000).await;
                    super::scope(cache.clone(), super::$law(cache)).await;
                }
            )*
        }
        mod outside {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let cache = super::Cache::builder().tag_sets(1000).faults(&super::Faults::new()).build().unwrap();
                    super::scope(cache.clone(), super::$law(cache)).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = super::Server::start();
                    let cache = super::listing(&server.url(), 1000).await;
                    super::scope(cache.clone(), super::$law(cache)).await;
                }
            )*
        }
    };
}

on_every_store_that_lists! {
    a_tag_says_which_entries_have_it
    an_entry_that_inherited_a_tag_has_it
    what_was_invalidated_is_not_among_them
    an_entry_under_a_key_of_another_tag_is_not_among_them
    what_is_served_even_if_invalidated_is_spared
    more_entries_than_a_page_are_all_there
    a_tag_that_nobody_has_is_empty
}

async fn a_tag_says_which_entries_have_it(cache: Cache) {
    let row = Row::new();
    for id in 0..5 {
        user(&row, id, id % 2).await;
    }
    filled(&cache, "user", 5).await;
    assert_eq!(keys(&cache, "users").await, ["user:0", "user:1", "user:2", "user:3", "user:4"]);
    assert_eq!(keys(&cache, "team:1").await, ["user:1", "user:3"]);
    assert_eq!(cache.tag("team:0").count().await.unwrap(), 3);
    let entries = cache.tag("team:1").entries().await.unwrap();
    for entry in &entries {
        assert!(entry.size() >= "\"user 1 of 1 as of 1\"".len() as u64, "{entry:?}");
        let remaining = entry.remaining();
        assert!(remaining > Duration::from_secs(200) && remaining <= Duration::from_secs(300), "{remaining:?}");
    }
    let size: u64 = entries.iter().map(cache_runtime::TaggedEntry::size).sum();
    assert_eq!(cache.tag("team:1").size().await.unwrap(), size);
}

async fn an_entry_that_inherited_a_tag_has_it(cache: Cache) {
    let row = Row::new();
    greeting(&row, 7).await;
    filled(&cache, "greeting", 1).await;
    assert_eq!(keys(&cache, "users").await, ["greeting:7", "user:7"]);
    assert_eq!(cache.tag("team:1").invalidate().await, Delivery::Applied);
    assert_eq!(keys(&cache, "users").await, [""; 0]);
}

async fn what_was_invalidated_is_not_among_them(cache: Cache) {
    let row = Row::new();
    for id in 0..4 {
        user(&row, id, id).await;
    }
    filled(&cache, "user", 4).await;
    assert_eq!(cache.invalidate("user:0").await, Delivery::Applied);
    assert_eq!(cache.invalidate_tags(["team:1"]).await, Delivery::Applied);
    assert_eq!(keys(&cache, "users").await, ["user:2", "user:3"]);
    assert_eq!(keys(&cache, "team:1").await, [""; 0]);
    assert_eq!(cache.clear().await, Delivery::Applied);
    assert_eq!(cache.tag("users").count().await.unwrap(), 0);
    user(&row, 1, 1).await;
    filled(&cache, "user", 5).await;
    assert_eq!(keys(&cache, "users").await, ["user:1"]);
}

async fn an_entry_under_a_key_of_another_tag_is_not_among_them(cache: Cache) {
    let row = Row::new();
    user(&row, 1, 1).await;
    filled(&cache, "user", 1).await;
    assert_eq!(cache.invalidate("user:1").await, Delivery::Applied);
    user(&row, 1, 2).await;
    filled(&cache, "user", 2).await;
    assert_eq!(keys(&cache, "team:1").await, [""; 0]);
    assert_eq!(keys(&cache, "team:2").await, ["user:1"]);
    assert_eq!(cache.tag("team:1").purge().await.unwrap(), 0);
    assert_eq!(keys(&cache, "team:2").await, ["user:1"]);
}

async fn what_is_served_even_if_invalidated_is_spared(cache: Cache) {
    let row = Row::new();
    assert_eq!(price(&row, 9).await, Ok(9));
    filled(&cache, "price", 1).await;
    assert_eq!(cache.invalidate_tags(["prices"]).await, Delivery::Applied);
    assert_eq!(cache.tag("prices").count().await.unwrap(), 0);
    assert_eq!(cache.tag("prices").purge().await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    row.write();
    assert_eq!(price(&row, 9).await, Ok(9), "nothing was left to serve");
}

async fn more_entries_than_a_page_are_all_there(cache: Cache) {
    let row = Row::new();
    for id in 0..400 {
        user(&row, id, 1).await;
    }
    filled(&cache, "user", 400).await;
    assert_eq!(cache.tag("users").count().await.unwrap(), 400);
    let mut keys = keys(&cache, "team:1").await;
    keys.dedup();
    assert_eq!(keys.len(), 400);
    assert_eq!(cache.tag("users").invalidate().await, Delivery::Applied);
    assert_eq!(cache.tag("team:1").count().await.unwrap(), 0);
}

async fn a_tag_that_nobody_has_is_empty(cache: Cache) {
    let tag = cache.tag("nobody's");
    assert_eq!((tag.count().await, tag.size().await, tag.purge().await), (Ok(0), Ok(0), Ok(0)));
    assert_eq!(tag.entries().await.unwrap(), []);
}

#[tokio::test]
async fn what_was_invalidated_in_process_is_given_up_soon_after() {
    #[cached(ttl = "5m", key = "shared:{id}", tags = ["shared:{half}"], skip(half))]
    async fn shared(id: u64, half: u64) -> Arc<u64> {
        Arc::new(1000 * half + id)
    }
    let cache = listing("memory:", 10).await;
    scope(cache.clone(), async {
        let (even, odd) = (Arc::downgrade(&shared(2, 0).await), Arc::downgrade(&shared(3, 1).await));
        filled(&cache, "shared", 2).await;
        assert_eq!(cache.invalidate_tags(["shared:0"]).await, Delivery::Applied);
        until("it is given up", async || even.upgrade().is_none()).await;
        assert!(odd.upgrade().is_some(), "what stands was given up too");
    })
    .await;
}

#[tokio::test]
async fn what_was_invalidated_is_removed_when_asked_for() {
    let server = Server::start();
    let cache = listing(&server.url(), 100).await;
    // It keeps no sets, so it removes nothing by itself.
    let other = Cache::builder().url(&server.url()).op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        for id in 0..10 {
            user(&row, id, id % 2).await;
        }
        filled(&cache, "user", 10).await;
        assert_eq!(cache.tag("users").purge().await.unwrap(), 0);
        assert_eq!(other.invalidate_tags(["team:1"]).await, Delivery::Applied);
        assert_eq!(cache.tag("users").purge().await.unwrap(), 5);
        assert_eq!(cache.tag("users").count().await.unwrap(), 5);
        let loads = row.loads();
        user(&row, 2, 0).await;
        assert_eq!(row.loads(), loads, "what stands was removed too");
    })
    .await;
}

#[tokio::test]
async fn what_is_still_to_be_invalidated_is_not_among_them() {
    let faults = Faults::new();
    let cache = Cache::builder().tag_sets(10).faults(&faults).build().unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        for id in 1..=3 {
            user(&row, id, id).await;
        }
        filled(&cache, "user", 3).await;
    })
    .await;
    faults.fail_invalidations();
    assert_eq!(cache.invalidate("user:1").await, Delivery::Deferred);
    assert_eq!(cache.invalidate_tags(["team:2"]).await, Delivery::Deferred);
    assert_eq!(keys(&cache, "users").await, ["user:3"]);
    faults.heal();
    until("it is delivered", async || cache.pending() == 0).await;
    assert_eq!(keys(&cache, "users").await, ["user:3"]);
}

#[tokio::test]
async fn no_more_are_named_than_was_said() {
    let server = Server::start();
    for url in ["memory:".to_owned(), server.url()] {
        let cache = listing(&url, 3).await;
        let row = Row::new();
        scope(cache.clone(), async {
            for id in 0..10 {
                user(&row, id, 1).await;
            }
            filled(&cache, "user", 10).await;
        })
        .await;
        assert_eq!(cache.tag("users").count().await.unwrap(), 3, "{url}");
        assert_eq!(cache.tag("users").entries().await.unwrap().len(), 3, "{url}");
    }
}

#[tokio::test]
async fn an_entry_with_a_header_longer_than_a_look_is_among_them() {
    #[cached(ttl = "5m", key = "long:{id}", tags = ["{a}-of-the-first", "{b}-of-the-second", "{c}-of-the-third", "{d}-of-the-fourth", "{a}-of-the-fifth", "{b}-of-the-sixth", "{c}-of-the-seventh"], skip(a, b, c, d))]
    async fn long(id: u64, a: &str, b: &str, c: &str, d: &str) -> usize {
        a.len() + b.len() + c.len() + d.len()
    }
    let server = Server::start();
    let cache = listing(&server.url(), 10).await;
    let parts = ["a", "b", "c", "d"].map(|part| part.repeat(170));
    scope(cache.clone(), async {
        long(1, &parts[0], &parts[1], &parts[2], &parts[3]).await;
        filled(&cache, "long", 1).await;
    })
    .await;
    assert_eq!(keys(&cache, &format!("{}-of-the-first", parts[0])).await, ["long:1"]);
}

#[tokio::test]
async fn a_cache_without_tag_sets_says_how_to_turn_them_on() {
    let error = Cache::memory().tag("users").entries().await.unwrap_err();
    assert!(error.to_string().contains("`tag_sets`") && !error.is_unsupported(), "{error}");
    let error = Cache::builder().tag_sets(0).build().unwrap_err();
    assert!(error.to_string().contains("tag sets"), "{error}");
}

#[tokio::test]
async fn memcached_says_that_it_lists_nothing() {
    let servers = [(); 3].map(|()| Memcached::start());
    for url in [servers[0].url(), Memcached::url_of(&servers)] {
        for most in [None, Some(10)] {
            let builder = Cache::builder().url(&url).op_timeout(Duration::from_secs(5));
            let builder = if let Some(most) = most { builder.tag_sets(most) } else { builder };
            let cache = builder.connect_strictly().await.unwrap();
            let row = Row::new();
            scope(cache.clone(), async {
                user(&row, 1, 1).await;
                filled(&cache, "user", 1).await;
            })
            .await;
            let tag = cache.tag("users");
            let errors: [Error; 4] = [
                tag.entries().await.unwrap_err(),
                tag.count().await.unwrap_err(),
                tag.size().await.unwrap_err(),
                tag.purge().await.unwrap_err(),
            ];
            assert!(errors.iter().all(Error::is_unsupported), "{errors:?}");
            assert!(errors[0].to_string().contains("Memcached"), "{}", errors[0]);
            assert_eq!(tag.invalidate().await, Delivery::Applied);
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_says_so() {
    let server = Server::start();
    let cache = listing(&server.url(), 10).await;
    drop(server);
    let error = cache.tag("users").entries().await.unwrap_err();
    assert!(!error.is_unsupported() && error.to_string().contains("entries of a tag"), "{error}");
}

#[tokio::test]
async fn what_was_invalidated_in_one_process_is_removed_from_the_store() {
    // More than are looked at together.
    const USERS: u64 = 600;
    let server = Server::start();
    let (one, other) = (listing(&server.url(), 1000).await, listing(&server.url(), 1000).await);
    let row = Row::new();
    let there = || server.command(&["EVAL", "return #redis.call('KEYS', 'cache:e:*')", "0"]).unwrap().trim().to_owned();
    for times in 1..=2 {
        scope(one.clone(), async {
            for id in 0..USERS {
                user(&row, id, 1).await;
            }
            filled(&one, "user", times * USERS).await;
        })
        .await;
        assert_eq!(there(), USERS.to_string());
        assert_eq!(other.invalidate_tags(["users"]).await, Delivery::Applied);
        until("they are removed", async || there() == "0").await;
        until("the list is empty", async || server.command(&["ZCARD", "cache:s:{users}"]).unwrap().trim() == "0").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entries_of_a_tag_are_found_all_over_a_cluster() {
    let cluster = block_in_place(Cluster::start);
    let cache = listing(&cluster.url(), 100).await;
    // It keeps no sets, so it removes nothing by itself.
    let other = Cache::builder().url(&cluster.url()).op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    let row = Row::new();
    let slot = cluster.slot_of("{users}");
    for round in 1..=2 {
        scope(cache.clone(), async {
            for id in 0..30 {
                user(&row, id, id % 3).await;
            }
            filled(&cache, "user", round * 30).await;
        })
        .await;
        assert_eq!(cache.tag("users").count().await.unwrap(), 30);
        assert_eq!(other.invalidate_tags(["team:1"]).await, Delivery::Applied);
        assert_eq!(cache.tag("team:1").count().await.unwrap(), 0);
        assert_eq!(cache.tag("team:1").purge().await.unwrap(), 10);
        assert_eq!(cache.tag("users").count().await.unwrap(), 20);
        // The token of the tag is another one where it is now, so nothing stands that was stored under it.
        block_in_place(|| cluster.migrate(slot, (cluster.owner(slot) + 1) % 3));
        assert_eq!(cache.tag("users").count().await.unwrap(), 0);
    }
}
