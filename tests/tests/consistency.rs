//! Histories of annotated functions on real stores, from several tasks, with faults meanwhile.
//!
//! The database is a row of counters; a value is the number of the commit it was read from. Afterwards the history is held against the promises.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::History;
use cache_runtime::sim::Server;
use tokio::task::JoinSet;

const ROWS: u64 = 4;

/// A database, and the record of what happens to it.
#[derive(Default)]
struct Database {
    rows: [AtomicU64; ROWS as usize],
    history: History,
    done: AtomicBool,
}

impl Database {
    async fn select(&self, row: u64) -> u64 {
        let number = self.rows[row as usize].load(Ordering::SeqCst);
        pause(row).await;
        number
    }

    async fn update(&self, row: u64) -> u64 {
        pause(row).await;
        let from = self.history.tick();
        let number = self.rows[row as usize].fetch_add(1, Ordering::SeqCst) + 1;
        self.history.commit(from, row, number);
        pause(row).await;
        number
    }
}

/// A moment, sometimes none.
async fn pause(row: u64) {
    match row % 3 {
        0 => tokio::task::yield_now().await,
        _ => tokio::time::sleep(Duration::from_micros(300 * row)).await,
    }
}

#[cached(ttl = "1m", key = "row:{row}", tags = ["rows", "row:{row}"], skip(database))]
async fn read(database: &Database, row: u64) -> u64 {
    database.select(row).await
}

#[cached(ttl = "1m", key = "pair:{one}:{other}", skip(database))]
async fn pair(database: &Database, one: u64, other: u64) -> (u64, u64) {
    (read(database, one).await, read(database, other).await)
}

#[cached(ttl = "1m", key = "all", skip(database))]
async fn all(database: &Database) -> Vec<u64> {
    let (first, second) = pair(database, 0, 1).await;
    vec![first, second, read(database, 2).await, read(database, 3).await]
}

#[invalidates(key = "row:{row}")]
async fn write_key(database: &Database, row: u64) -> Result<u64, u64> {
    Err(database.update(row).await)
}

#[invalidates(tags = ["row:{row}"], mode = after)]
async fn write_after(database: &Database, row: u64) -> u64 {
    database.update(row).await
}

#[invalidates(key = "row:{row}", tags = ["rows"], mode = linearizable)]
async fn write_strictly(database: &Database, row: u64) -> u64 {
    database.update(row).await
}

async fn read_for_a_while(database: Arc<Database>, number: u64) {
    let mut turn = number;
    while !database.done.load(Ordering::SeqCst) {
        turn += 1;
        let from = database.history.tick();
        let saw = match turn % 5 {
            0 => (0..ROWS).zip(all(&database).await).collect(),
            1 => {
                let (one, other) = pair(&database, turn % ROWS, 0).await;
                vec![(turn % ROWS, one), (0, other)]
            }
            _ => vec![(turn % ROWS, read(&database, turn % ROWS).await)],
        };
        database.history.read(&format!("reader {number}"), from, saw);
        tokio::task::yield_now().await;
    }
}

async fn write_for_a_while(database: Arc<Database>, cache: Cache, number: u64, writes: u64) {
    for turn in number..number + writes {
        let row = turn % ROWS;
        let commit = match turn % 3 {
            0 => write_key(&database, row).await.unwrap_err(),
            1 => write_after(&database, row).await,
            _ => write_strictly(&database, row).await,
        };
        // What could not be delivered is not in force.
        if cache.pending() == 0 {
            database.history.invalidated(row, commit);
        }
        tokio::time::sleep(Duration::from_micros(700 * (turn % 4))).await;
    }
}

/// Drops reads half-way, over and over.
async fn drop_reads_for_a_while(database: Arc<Database>) {
    let mut turn = 0;
    while !database.done.load(Ordering::SeqCst) {
        turn += 1;
        let limit = Duration::from_micros(turn % 900);
        // Whether it was dropped or not is all the same.
        let _ = tokio::time::timeout(limit, all(&database)).await;
        tokio::task::yield_now().await;
    }
}

/// Runs readers and writers on each of `caches`, which share a store, and `meanwhile` beside them.
async fn promises_hold(caches: Vec<Cache>, writes: u64, meanwhile: impl Future<Output = ()> + Send + 'static) {
    let database = Arc::new(Database::default());
    let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
    for (place, cache) in caches.iter().enumerate() {
        let place = place as u64;
        for number in 0..3 {
            readers.spawn(scope(cache.clone(), read_for_a_while(database.clone(), 10 * place + number)));
        }
        readers.spawn(scope(cache.clone(), drop_reads_for_a_while(database.clone())));
        writers.spawn(scope(cache.clone(), write_for_a_while(database.clone(), cache.clone(), place, writes)));
    }
    let meanwhile = tokio::spawn(meanwhile);
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    meanwhile.abort();
    database.done.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    let violations = database.history.violations(false);
    assert!(violations.is_empty(), "{}\n{violations:#?}", database.history);
    let total = caches.iter().map(|cache| cache.stats().total).reduce(|mut sum, counts| {
        sum += counts;
        sum
    });
    let total = total.unwrap();
    let tried = total.hits > 10 && total.joined > 10 && total.fills > 10 && total.applied > writes / 2;
    assert!(tried, "nothing was tried: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promises_hold_in_process() {
    let cache = Cache::memory();
    promises_hold(vec![cache.clone(), cache], 600, std::future::pending()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promises_hold_in_process_while_entries_are_evicted() {
    let cache = Cache::builder().capacity(cache_runtime::Capacity::Entries(2)).build().unwrap();
    promises_hold(vec![cache.clone(), cache], 600, std::future::pending()).await;
}

async fn connected(server: &Server) -> Cache {
    let builder = Cache::builder().url(&server.url());
    builder.op_timeout(Duration::from_secs(2)).connect_timeout(Duration::from_secs(5)).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promises_hold_on_redis() {
    let server = Server::start();
    let caches = vec![connected(&server).await, connected(&server).await];
    promises_hold(caches, 300, std::future::pending()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promises_hold_on_a_redis_that_forgets_and_hangs_up() {
    let server = Arc::new(Server::start());
    let caches = vec![connected(&server).await, connected(&server).await];
    let nemesis = {
        let server = server.clone();
        async move {
            for turn in 0_u64.. {
                let server = server.clone();
                // Each is refused by a server that is being restarted, which is as good.
                let _ = tokio::task::spawn_blocking(move || match turn % 5 {
                    0 => server.command(&["FLUSHALL"]),
                    1 => server.command(&["SCRIPT", "FLUSH"]),
                    2 => server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
                    3 => server.command(&["DEL", "cache:t:{rows}", "cache:l:{row:1}", "cache:k:{row:0}"]),
                    _ => server.command(&["DEL", "cache:e:{all}", "cache:t:{row:2}", "cache:l:{row:2}"]),
                })
                .await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    };
    promises_hold(caches, 300, nemesis).await;
}
