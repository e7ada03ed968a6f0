//! A hit on a Redis Cluster through an annotated function, beside a bare `GET` and decode by the client that the `redis` crate has for a Cluster.
//!
//! `cargo run --release --bin cluster_hit [WORD]` starts three masters with a replica each. With a word, only the floor and those whose name has it.
//!
//! As in `redis_hit`, our connections live on a thread of the cache, and once on the runtime of their callers. All servers, all callers and the cache share the processors of this machine.

use benches::annotated::Caches;
use benches::annotated::Run;
use benches::hits;
use benches::hits::KEYS;
use benches::hits::User;
use benches::hits::compared;
use benches::hits::rate;
use benches::hits::runtime;
use benches::rounds::Contender;
use benches::server::Cluster;
use benches::table::Table;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use tokio::runtime::Runtime;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let cluster = Cluster::start();
    let (callers, elsewhere) = (runtime(2), runtime(1));
    let bench = callers.block_on(Bench::new(&cluster, &elsewhere));
    for count in [1, 64] {
        let table = bench.compare(&callers, count, &word);
        println!("A hit of 200 B on a Redis Cluster, {}:\n\n{table}", hits::callers(count));
    }
    bench.caches.were_hits();
}

/// Everything that the contenders need, with every key stored.
struct Bench {
    caches: Caches,
    here: ClusterConnection,
    elsewhere: ClusterConnection,
}

impl Bench {
    async fn new(cluster: &Cluster, elsewhere: &Runtime) -> Self {
        let url = format!("redis+cluster://{}", cluster.addresses().join(","));
        let nodes = cluster.addresses().into_iter().map(|address| format!("redis://{address}"));
        let client = ClusterClient::new(nodes).expect("addresses");
        let mut here = client.get_async_connection().await.expect("a connection");
        let connect = async move { client.get_async_connection().await.expect("a connection") };
        let elsewhere = elsewhere.spawn(connect).await.expect("a connection");
        for id in 0..KEYS {
            let set = redis::cmd("SET").arg(floor_key(id)).arg(User::stored(id, SIZE)).exec_async(&mut here).await;
            set.expect("a stored value");
        }
        Self { caches: Caches::connect(&url, SIZE).await, here, elsewhere }
    }

    fn compare(&self, runtime: &Runtime, callers: u64, word: &str) -> Table {
        let count = if callers == 1 { 500 } else { 16_000 };
        let bare = |connection: &ClusterConnection| {
            let connection = connection.clone();
            runtime.block_on(rate(callers, count, move |id| get(connection.clone(), id)))
        };
        let mut contenders = vec![
            Contender::new("floor: `GET` and serde_json, the `redis` crate's client", || bare(&self.here)),
            Contender::new("the same, connections on another runtime", || bare(&self.elsewhere)),
        ];
        contenders.extend(self.caches.contenders(Run { runtime, callers, count }));
        compared(contenders, word)
    }
}

async fn get(mut connection: ClusterConnection, id: u64) -> User {
    let get = redis::cmd("GET").arg(floor_key(id)).query_async::<Vec<u8>>(&mut connection).await;
    User::read(&get.expect("a reply"))
}

fn floor_key(id: u64) -> String {
    format!("floor:{id}")
}

const SIZE: usize = 200;
