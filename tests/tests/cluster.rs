//! Annotated functions on a Redis Cluster: while slots move, while a master is away, and after failovers.

#[allow(unused_macros, reason = "all of it is about Redis")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Cluster;
use tokio::task::block_in_place;

use crate::common::Row;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", skip(row))]
async fn read(row: &Row, id: usize) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "tagged:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read_tagged(row: &Row, id: usize) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}", tags = ["row:{id}"])]
async fn write(row: &Row, id: usize) -> u64 {
    let _ = id;
    row.write()
}

async fn cache_of(cluster: &Cluster) -> Cache {
    let builder = Cache::builder().url(&cluster.url()).op_timeout(Duration::from_secs(1));
    builder.connect_strictly().await.unwrap()
}

/// Writes a row through one cache, and reads it through the other, once what was invalidated has been delivered.
async fn is_read_as_written(writer: &Cache, reader: &Cache, row: &Row, id: usize) {
    let written = scope(writer.clone(), write(row, id)).await;
    until("it is delivered", async || writer.pending() == 0).await;
    assert_eq!(scope(reader.clone(), read(row, id)).await, written, "row {id}");
    assert_eq!(scope(reader.clone(), read_tagged(row, id)).await, written, "row {id} by its tag");
}

/// Reads until it is a hit.
async fn is_stored(cache: &Cache, row: &Row, id: usize) {
    let stored = async || {
        let before = row.loads();
        scope(cache.clone(), read(row, id)).await;
        row.loads() == before
    };
    until("it is stored", stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_while_slots_move() {
    let cluster = Arc::new(block_in_place(Cluster::start));
    let (writer, reader) = (cache_of(&cluster).await, cache_of(&cluster).await);
    let row = Row::new();
    let moving = {
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || {
            for round in 0..2 {
                for name in (0..4).flat_map(|id| [format!("row:{id}"), format!("tagged:{id}"), "rows".to_owned()]) {
                    let slot = cluster.slot_of(&format!("{{{name}}}"));
                    cluster.migrate(slot, (cluster.owner(slot) + 1 + round) % 3);
                }
            }
        })
    };
    let mut rounds = 0;
    while !moving.is_finished() || rounds < 5 {
        for id in 0..4 {
            is_read_as_written(&writer, &reader, &row, id).await;
        }
        rounds += 1;
    }
    moving.await.unwrap();
    let before = row.loads();
    is_stored(&reader, &row, 0).await;
    assert!(row.loads() - before <= 3, "nothing is stored any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_away_leaves_the_others_their_hits() {
    let cluster = block_in_place(Cluster::start);
    let cache = cache_of(&cluster).await;
    let rows: Vec<Arc<Row>> = (0..60).map(|_| Row::new()).collect();
    for (id, row) in rows.iter().enumerate() {
        is_stored(&cache, row, id).await;
    }
    // The one register that every entry rests on.
    let away = (0..3).find(|&node| node != cluster.owner(cluster.slot_of("{#epoch}"))).unwrap();
    let is_away = |id: usize| cluster.owner(cluster.slot_of(&format!("{{row:{id}}}"))) == away;
    let (gone, there): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|&id| is_away(id));
    assert!(gone.len() > 5 && there.len() > 5);
    let loads = |ids: &[usize]| ids.iter().map(|&id| rows[id].loads()).sum::<usize>();
    let before = (loads(&gone), loads(&there));
    cluster.nodes()[away].stop();
    for (id, row) in rows.iter().enumerate() {
        assert_eq!(scope(cache.clone(), read(row, id)).await, 1);
    }
    cluster.nodes()[away].cont();
    assert_eq!(loads(&gone) - before.0, gone.len(), "what is away is loaded");
    assert_eq!(loads(&there), before.1, "what is there is read");
}

/// Which of the rows are hits right now, and that all of them are read as they were written last.
async fn hits(cache: &Cache, rows: &[Arc<Row>], written: u64) -> Vec<usize> {
    let mut hits = Vec::new();
    for (id, row) in rows.iter().enumerate() {
        let before = row.loads();
        assert_eq!(scope(cache.clone(), read(row, id)).await, written, "row {id}");
        if row.loads() == before {
            hits.push(id);
        }
    }
    hits
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_master_of_the_epoch_is_away_calls_hit_and_nobody_misses_that_the_namespace_is_emptied() {
    let cluster = block_in_place(Cluster::start);
    let caches = [cache_of(&cluster).await, cache_of(&cluster).await];
    let rows: Vec<Arc<Row>> = (0..24).map(|_| Row::new()).collect();
    // Until every witness is known from before the epoch was read last.
    for _ in 0..4 {
        for cache in &caches {
            until("all rows are stored", async || hits(cache, &rows, 1).await.len() == rows.len()).await;
        }
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }
    let (home, witness) = ["{#epoch}", "{#epoch1}"].map(|name| cluster.owner(cluster.slot_of(name))).into();
    assert_ne!(home, witness);
    let is_at = |id: &usize, node: usize| cluster.owner(cluster.slot_of(&format!("{{row:{id}}}"))) == node;
    let elsewhere: Vec<usize> = (0..rows.len()).filter(|id| !is_at(id, home)).collect();
    // Nobody is to take their places.
    block_in_place(|| [home, witness].map(|node| cluster.nodes()[cluster.replica_of(node)].kill()));
    cluster.nodes()[home].stop();
    // For longer than the epoch is known without being read again.
    for _ in 0..5 {
        for cache in &caches {
            assert_eq!(hits(cache, &rows, 1).await, elsewhere);
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    // What nobody was told of, but that the namespace is emptied.
    rows.iter().for_each(|row| _ = row.write());
    assert_eq!(caches[0].clear().await, Delivery::Deferred);
    assert_eq!(hits(&caches[0], &rows, 2).await.len(), 0, "who has emptied it uses nothing of it");
    cluster.nodes()[home].cont();
    until("all have heard it", async || caches[0].pending() == 0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    hits(&caches[1], &rows, 2).await;

    for cache in &caches {
        until("all rows are stored", async || hits(cache, &rows, 2).await.len() == rows.len()).await;
    }
    cluster.nodes()[witness].stop();
    rows.iter().for_each(|row| _ = row.write());
    assert_eq!(caches[0].clear().await, Delivery::Deferred, "one who vouches has not heard it");
    tokio::time::sleep(Duration::from_secs(2)).await;
    hits(&caches[1], &rows, 3).await;
    cluster.nodes()[home].stop();
    cluster.nodes()[witness].cont();
    for cache in &caches {
        hits(cache, &rows, 3).await;
    }
    cluster.nodes()[home].cont();
    until("all have heard it", async || caches[0].pending() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_master_has_not_heard_keeps_no_other_from_hearing_its_own() {
    let cluster = block_in_place(Cluster::start);
    let cache = cache_of(&cluster).await;
    let keys: Vec<String> = (0..24).map(|id| format!("row:{id}")).collect();
    // Nobody is to take its place.
    let replica = block_in_place(|| cluster.replica_of(0));
    cluster.nodes()[replica].kill();
    cluster.nodes()[0].stop();
    let mut deferred = 0;
    for key in &keys {
        deferred += usize::from(cache.invalidate(key).await == Delivery::Deferred);
    }
    assert!((1..keys.len()).contains(&deferred), "{deferred} of {} are deferred", keys.len());
    // All in one operation, of which a part fails. Tags are placed by their names, as keys are.
    assert_eq!(cache.invalidate_tags(&keys).await, Delivery::Deferred);
    until("only what the master that is away has to hear waits", async || cache.pending() == 2 * deferred).await;
    // Whoever wants to know whether all of it can be used is told of one that cannot.
    let strict = Cache::builder().url(&cluster.url()).op_timeout(Duration::from_millis(200));
    assert!(strict.connect_strictly().await.is_err());
    cluster.nodes()[0].cont();
    until("the rest is delivered", async || cache.pending() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_after_each_failover() {
    let cluster = block_in_place(Cluster::start);
    let (writer, reader) = (cache_of(&cluster).await, cache_of(&cluster).await);
    let row = Row::new();
    for how in ["", "FORCE", "TAKEOVER"] {
        for id in 0..12 {
            is_stored(&reader, &row, id).await;
        }
        block_in_place(|| {
            let replica = cluster.replica_of(cluster.owner(cluster.slot_of("{row:0}")));
            cluster.failover(replica, how);
            cluster.until_whole();
        });
        for id in 0..12 {
            is_read_as_written(&writer, &reader, &row, id).await;
        }
    }
}
