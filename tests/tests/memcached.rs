//! A fleet of Memcached servers under a cache: what is away costs its own keys and no others.

#[allow(unused_macros, reason = "these laws have servers of their own")]
mod common;

use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Site;
use cache_runtime::returns;
use cache_runtime::sim::Memcached;
use cache_runtime::sim::Server;

use crate::common::until;

static ROW: Site = Site::cached("memcached", "row").key("row:{id}").tags(&[]);

const ROWS: u64 = 24;

async fn fleet(servers: &[Memcached]) -> Cache {
    let builder = Cache::builder().url(&Memcached::url_of(servers)).op_timeout(Duration::from_millis(300));
    builder.connect().await.unwrap()
}

/// Which of the rows are hits right now. The others load, and are not waited for to be stored.
async fn hits(cache: &Cache) -> Vec<u64> {
    let mut hits = Vec::new();
    for id in 0..ROWS {
        let entry = cache.entry(&ROW, returns::<u64>().kind()).key(&[&id]).ttl(Duration::from_secs(600));
        let before = cache.stats().total.hits;
        assert_eq!(entry.get_or_load(async move { id }).await, id);
        if cache.stats().total.hits > before {
            hits.push(id);
        }
    }
    hits
}

async fn filled(cache: &Cache) {
    until("all rows are stored", async || hits(cache).await.len() as u64 == ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_of_three_is_away_the_keys_of_the_others_are_hits() {
    let servers = [(); 3].map(|()| Memcached::start());
    let cache = fleet(&servers).await;
    filled(&cache).await;
    // Until every witness is known from before the epoch was read last.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1050)).await;
        assert_eq!(hits(&cache).await.len() as u64, ROWS);
    }
    let mut lost = Vec::new();
    for server in &servers {
        server.stop();
        let mut left = Vec::new();
        // For longer than the epoch is known without being read again.
        for _ in 0..5 {
            left = hits(&cache).await;
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        assert!((1..ROWS as usize).contains(&left.len()), "of {ROWS} rows {} are hits", left.len());
        lost.extend((0..ROWS).filter(|id| !left.contains(id)));
        server.cont();
        filled(&cache).await;
    }
    lost.sort_unstable();
    assert_eq!(lost, (0..ROWS).collect::<Vec<_>>(), "each row is lost with one server and no other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_has_not_heard_keeps_no_other_from_hearing_its_own() {
    let servers = [(); 3].map(|()| Memcached::start());
    let cache = fleet(&servers).await;
    filled(&cache).await;
    servers[0].kill();
    let keys: Vec<String> = (0..ROWS).map(|id| format!("row:{id}")).collect();
    let mut deferred = 0;
    for key in &keys {
        deferred += usize::from(cache.invalidate(key).await == Delivery::Deferred);
    }
    assert!((1..keys.len()).contains(&deferred), "{deferred} of {ROWS} are deferred");
    // All in one operation, of which a part fails. Tags are placed by their names, as keys are.
    assert_eq!(cache.invalidate_tags(&keys).await, Delivery::Deferred);
    until("only what the server that is away has to hear waits", async || cache.pending() == 2 * deferred).await;
    servers[0].restart();
    until("the rest is delivered", async || cache.pending() == 0).await;
    filled(&cache).await;
}

async fn refused(url: &str) -> String {
    let builder = Cache::builder().url(url).op_timeout(Duration::from_millis(500));
    builder.connect_strictly().await.unwrap_err().to_string()
}

#[tokio::test]
async fn who_connects_strictly_is_told_in_one_sentence_what_is_wrong() {
    let servers = [(); 3].map(|()| Memcached::start());
    let url = Memcached::url_of(&servers);
    assert!(Cache::builder().url(&url).connect_strictly().await.is_ok());
    servers[2].kill();
    let error = refused(&url).await;
    let list = url.strip_prefix("memcached://").unwrap();
    assert!(error.starts_with(&format!("the Memcached at {list} cannot be used: ")), "{error}");
    assert!(error.contains("refused"), "{error}");
    servers[1].stop();
    let error = refused(&servers[1].url()).await;
    assert!(
        error.ends_with("cannot be used: no connection in time") || error.ends_with("it does not answer in time"),
        "{error}"
    );
    servers[1].cont();
    let redis = Server::start();
    let error = refused(&redis.url().replace("redis://", "memcached://")).await;
    assert!(error.ends_with("cannot be used: what answers there is no Memcached"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_on_three_servers_is_emptied_for_all_processes() {
    let servers = [(); 3].map(|()| Memcached::start());
    let (cache, other) = (fleet(&servers).await, fleet(&servers).await);
    filled(&cache).await;
    assert_eq!(hits(&other).await.len() as u64, ROWS);
    assert_eq!(cache.clear().await, Delivery::Applied);
    assert_eq!(hits(&cache).await.len(), 0);
    servers[0].kill();
    // Each of three servers is the home of the epoch or a witness.
    assert_eq!(cache.clear().await, Delivery::Deferred);
    servers[0].restart();
    until("all have heard it", async || cache.pending() == 0).await;
    filled(&other).await;
}
