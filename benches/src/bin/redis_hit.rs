//! A hit on Redis through an annotated function, beside a bare `GET` and decode on a connection of the same kind.
//!
//! `cargo run --release --bin redis_hit [WORD]` starts a server of its own. With a word, only the floor and those whose name has it.
//!
//! Our connection lives on a thread of the cache, so that it serves any runtime. What that hop costs is seen beside a bare connection that lives on another runtime than
//! its callers, and beside a cache that was given the runtime of its callers, as a program with one runtime that lasts may do.

use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

use benches::rounds::Contender;
use benches::rounds::race;
use benches::server::Server;
use benches::table::Table;
use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use cached::AsyncRedisCache;
use cached::macros::concurrent_cached;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::runtime::Handle;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let server = Server::start();
    PEER_URL.set(server.url()).expect("the only server");
    let runtimes = Runtimes { callers: runtime(2), elsewhere: runtime(1) };
    for (title, size) in [("200 B", 200), ("10 kB", 10_000)] {
        let bench = runtimes.callers.block_on(Bench::new(&server, &runtimes, size));
        for callers in [1, 64] {
            let plural = if callers == 1 { "" } else { "s" };
            println!(
                "A hit of {title} on Redis, {callers} caller{plural}:\n\n{}",
                bench.compare(&runtimes, callers, &word)
            );
        }
        let total = bench.cache.stats().total;
        assert!(total.store_failures == 0 && total.loads <= 2 * KEYS, "not all were hits: {total:?}");
    }
}

struct Runtimes {
    callers: Runtime,
    elsewhere: Runtime,
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

/// Everything that the contenders need, with every key stored.
struct Bench {
    size: usize,
    cache: Cache,
    /// The same entries, by a connection on the callers' runtime.
    cache_here: Cache,
    here: MultiplexedConnection,
    elsewhere: MultiplexedConnection,
}

impl Bench {
    async fn new(server: &Server, runtimes: &Runtimes, size: usize) -> Self {
        let url = format!("{}?namespace=size{size}", server.url());
        // On a machine that is busy with something else, a deadline would turn a hit into a load.
        let builder = || Cache::builder().url(&url).op_timeout(Duration::from_secs(5));
        let cache = builder().connect().await.expect("a cache");
        let cache_here = builder().runtime(Handle::current()).connect().await.expect("a cache");
        let client = redis::Client::open(server.url()).expect("an address");
        let mut here = client.get_multiplexed_async_connection().await.expect("a connection");
        let connect = async move { client.get_multiplexed_async_connection().await.expect("a connection") };
        let elsewhere = runtimes.elsewhere.spawn(connect).await.expect("a connection");
        for id in 0..KEYS {
            let value = serde_json::to_vec(&User::load(id, size)).expect("a value as JSON");
            let set = redis::cmd("SET").arg(floor_key(size, id)).arg(value).exec_async(&mut here).await;
            set.expect("a stored value");
            scope(cache.clone(), async { (plain(id, size).await, two_tags(id, size).await) }).await;
            peer(id, size).await.expect("a stored value");
        }
        // Values are stored beside the callers.
        while cache.stats().total.fills < 2 * KEYS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { size, cache, cache_here, here, elsewhere }
    }

    fn compare(&self, runtimes: &Runtimes, callers: u64, word: &str) -> Table {
        let size = self.size;
        let count = if callers == 1 { 500 } else { 16_000 } / if size > 1000 { 4 } else { 1 };
        let run = |load: Load<'_>| runtimes.callers.block_on(scope(self.cache.clone(), load));
        let run_here = |load: Load<'_>| runtimes.callers.block_on(scope(self.cache_here.clone(), load));
        let mut contenders = vec![
            Contender::new("floor: `GET` and serde_json", || {
                let connection = self.here.clone();
                run(Box::pin(rate(callers, count, move |id| get(connection.clone(), id, size))))
            }),
            Contender::new("the same, connection on another runtime", || {
                let connection = self.elsewhere.clone();
                run(Box::pin(rate(callers, count, move |id| get(connection.clone(), id, size))))
            }),
            Contender::new("annotated", || run(Box::pin(rate(callers, count, move |id| plain(id, size))))),
            Contender::new("annotated, two tags", || run(Box::pin(rate(callers, count, move |id| two_tags(id, size))))),
            Contender::new("annotated, on the callers' runtime", || {
                run_here(Box::pin(rate(callers, count, move |id| plain(id, size))))
            }),
            Contender::new("annotated, two tags, on the callers' runtime", || {
                run_here(Box::pin(rate(callers, count, move |id| two_tags(id, size))))
            }),
            Contender::new("cached, `concurrent_cached` on Redis", || {
                let call = move |id| async move { peer(id, size).await.expect("a stored value") };
                run(Box::pin(rate(callers, count, call)))
            }),
        ];
        let floor = contenders.remove(0);
        contenders.retain(|contender| contender.name().contains(word));
        contenders.insert(0, floor);
        let mut table = Table::new(["", "thousand calls per second", "of the floor"]);
        for outcome in race(&mut contenders, ROUNDS) {
            table.row([outcome.name, format!("{:.1}", outcome.measured), format!("{:.2}", outcome.ratio)]);
        }
        table
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    id: u64,
    text: String,
}

impl User {
    fn load(id: u64, size: usize) -> Self {
        Self { id, text: "x".repeat(size) }
    }
}

#[cached(ttl = "1h", key = "user:{id}", skip(size))]
async fn plain(id: u64, size: usize) -> User {
    User::load(id, size)
}

#[cached(ttl = "1h", key = "tagged:{id}", skip(size), tags = ["users", "user:{id}"])]
async fn two_tags(id: u64, size: usize) -> User {
    User::load(id, size)
}

#[concurrent_cached(
    ty = "AsyncRedisCache<String, User>",
    create = r#"{ peer_store().await }"#,
    key = "String",
    convert = r#"{ format!("{size}:{id}") }"#,
    map_error = "|error| error.to_string()"
)]
async fn peer(id: u64, size: usize) -> Result<User, String> {
    Ok(User::load(id, size))
}

async fn peer_store() -> AsyncRedisCache<String, User> {
    let url = PEER_URL.get().expect("a server that runs");
    let builder = AsyncRedisCache::builder("peer").ttl(Duration::from_secs(3600)).connection_string(url);
    builder.build().await.expect("a connection")
}

async fn get(mut connection: MultiplexedConnection, id: u64, size: usize) -> User {
    let get = redis::cmd("GET").arg(floor_key(size, id)).query_async::<Vec<u8>>(&mut connection).await;
    serde_json::from_slice(&get.expect("a reply")).expect("a stored value")
}

fn floor_key(size: usize, id: u64) -> String {
    format!("floor:{size}:{id}")
}

/// Runs `call` from `callers` at once, `count` times in all, and returns how many thousand there were in a second.
async fn rate<F: Future<Output = User> + Send + 'static>(
    callers: u64,
    count: u64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(scope::current().carry(async move {
            for turn in 0..count / callers {
                let id = (caller + turn) % KEYS;
                assert_eq!(call(id).await.id, id);
            }
        }));
    }
    tasks.join_all().await;
    count as f64 / start.elapsed().as_secs_f64() / 1000.0
}

type Load<'a> = std::pin::Pin<Box<dyn Future<Output = f64> + 'a>>;

static PEER_URL: OnceLock<String> = OnceLock::new();
const KEYS: u64 = 100;
const ROUNDS: usize = 31;
