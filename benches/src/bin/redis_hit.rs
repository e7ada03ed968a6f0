//! A hit on Redis through an annotated function, beside a bare `GET` and decode on a connection of the same kind.
//!
//! `cargo run --release --bin redis_hit [WORD]` starts a server of its own. With a word, only the floor and those whose name has it.
//!
//! Our connection lives on a thread of the cache, so that it serves any runtime. What that hop costs is seen beside a bare connection that lives on another runtime than
//! its callers, and beside a cache that was given the runtime of its callers, as a program with one runtime that lasts may do.

use std::sync::OnceLock;
use std::time::Duration;

use benches::annotated::Caches;
use benches::annotated::Run;
use benches::hits;
use benches::hits::KEYS;
use benches::hits::User;
use benches::hits::compared;
use benches::hits::rate;
use benches::hits::runtime;
use benches::rounds::Contender;
use benches::server::Server;
use benches::table::Table;
use cached::AsyncRedisCache;
use cached::macros::concurrent_cached;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let server = Server::start();
    PEER_URL.set(server.url()).expect("the only server");
    let runtimes = Runtimes { callers: runtime(2), elsewhere: runtime(1) };
    for (title, size) in [("200 B", 200), ("10 kB", 10_000)] {
        let bench = runtimes.callers.block_on(Bench::new(&server, &runtimes, size));
        for callers in [1, 64] {
            let table = bench.compare(&runtimes, callers, &word);
            println!("A hit of {title} on Redis, {}:\n\n{table}", hits::callers(callers));
        }
        bench.caches.were_hits();
    }
}

struct Runtimes {
    callers: Runtime,
    elsewhere: Runtime,
}

/// Everything that the contenders need, with every key stored.
struct Bench {
    size: usize,
    caches: Caches,
    here: MultiplexedConnection,
    elsewhere: MultiplexedConnection,
}

impl Bench {
    async fn new(server: &Server, runtimes: &Runtimes, size: usize) -> Self {
        let client = redis::Client::open(server.url()).expect("an address");
        let mut here = client.get_multiplexed_async_connection().await.expect("a connection");
        let connect = async move { client.get_multiplexed_async_connection().await.expect("a connection") };
        let elsewhere = runtimes.elsewhere.spawn(connect).await.expect("a connection");
        for id in 0..KEYS {
            let value = User::stored(id, size);
            let set = redis::cmd("SET").arg(floor_key(size, id)).arg(value).exec_async(&mut here).await;
            set.expect("a stored value");
            peer(id, size).await.expect("a stored value");
        }
        let caches = Caches::connect(&format!("{}?namespace=size{size}", server.url()), size).await;
        Self { size, caches, here, elsewhere }
    }

    fn compare(&self, runtimes: &Runtimes, callers: u64, word: &str) -> Table {
        let size = self.size;
        let count = if callers == 1 { 500 } else { 16_000 } / if size > 1000 { 4 } else { 1 };
        let runtime = &runtimes.callers;
        let bare = |connection: &MultiplexedConnection| {
            let connection = connection.clone();
            runtime.block_on(rate(callers, count, move |id| get(connection.clone(), id, size)))
        };
        let mut contenders = vec![
            Contender::new("floor: `GET` and serde_json", || bare(&self.here)),
            Contender::new("the same, connection on another runtime", || bare(&self.elsewhere)),
        ];
        contenders.extend(self.caches.contenders(Run { runtime, callers, count }));
        contenders.push(Contender::new("cached, `concurrent_cached` on Redis", || {
            let call = move |id| async move { peer(id, size).await.expect("a stored value") };
            runtime.block_on(rate(callers, count, call))
        }));
        compared(contenders, word)
    }
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
    User::read(&get.expect("a reply"))
}

fn floor_key(size: usize, id: u64) -> String {
    format!("floor:{size}:{id}")
}

static PEER_URL: OnceLock<String> = OnceLock::new();
