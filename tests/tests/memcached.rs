//! A fleet of Memcached servers under a cache: what is away costs its own keys and no others.

#[allow(unused_macros, reason = "these laws have servers of their own")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Memcached;
use cache_runtime::sim::Mutant;
use cache_runtime::sim::Server;
use cache_runtime::sim::connect_broken;

use crate::common::Row;
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

#[cached(ttl = "5m", key = "slow:{id}", skip(row))]
async fn slow(row: &Row, id: u64) -> u64 {
    row.read().await
}

/// What is read in the end when one process loads while the server is restarted, and another writes and loads after that, under the same numbers.
async fn read_after_a_restart_during_a_load(mutant: Option<Mutant>) -> u64 {
    for _ in 0..50 {
        let (read, are_given_again) = read_once_after_a_restart(mutant).await;
        if are_given_again {
            return read;
        }
    }
    panic!("the server never gives the same numbers again, so this shows nothing")
}

async fn read_once_after_a_restart(mutant: Option<Mutant>) -> (u64, bool) {
    let server = Memcached::start();
    let connected = async || {
        let builder = Cache::builder().url(&server.url()).op_timeout(Duration::from_secs(2));
        match mutant {
            Some(mutant) => connect_broken(builder, mutant).await.unwrap(),
            None => builder.connect().await.unwrap(),
        }
    };
    let (before, after) = (connected().await, connected().await);
    let row = Row::with_gate(0);
    let load = |cache: &Cache| {
        let row = Arc::clone(&row);
        tokio::spawn(scope(cache.clone(), async move { slow(&row, 1).await }))
    };
    let old = load(&before);
    row.has_loads(1).await;
    let numbers = || ["cache:e:slow:1", "cache:t:#epoch"].map(|slot| server.command(&format!("mg {slot} c")).unwrap());
    let given = numbers();
    server.restart();
    row.write();
    until("it is told", async || after.invalidate("slow:1").await == Delivery::Applied).await;
    until("both are connected", async || before.invalidate("slow:2").await == Delivery::Applied).await;
    until("nothing is told once more", async || before.pending() + after.pending() == 0).await;
    let new = load(&after);
    row.has_loads(2).await;
    let are_given_again = numbers() == given;
    row.gate.add_permits(1);
    assert_eq!(old.await.unwrap(), 1, "whoever asked before the restart");
    assert!(before.close(Duration::from_secs(5)).await.is_complete());
    row.gate.add_permits(1);
    assert_eq!(new.await.unwrap(), 2);
    assert!(after.close(Duration::from_secs(5)).await.is_complete());
    row.gate.add_permits(1);
    (scope(connected().await, slow(&row, 1)).await, are_given_again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_from_before_a_restart_stores_nothing() {
    assert_eq!(read_after_a_restart_during_a_load(None).await, 2);
}

/// The control: the lease of the one is that of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_from_before_a_restart_stores_what_is_old_if_a_lease_is_its_number_alone() {
    assert_eq!(read_after_a_restart_during_a_load(Some(Mutant::NumbersAlone)).await, 1);
}
