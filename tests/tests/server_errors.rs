//! A Redis that answers, with an error.
//!
//! Whatever it says: no read fails, a mutation is applied only if it is, an event says what is wrong and says it once, and everything heals by itself when the cause is gone.

#[allow(unused_macros, reason = "these laws are about Redis")]
mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use tokio::runtime::Handle;

use crate::common::Row;
use crate::common::traced::Traced;
use crate::common::until;
use crate::proxy::Proxy;

/// Its names are all in one slot of a cluster.
#[cached(ttl = "5m", key = "row:{id}", skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

/// A call may cost some deadlines of 100 ms, and the machine may be busy.
const BOUND: Duration = Duration::from_secs(2);

/// A cache whose thread is that of the test, with everything that is said on it.
struct Rig {
    cache: Cache,
    rows: Vec<Arc<Row>>,
    traced: Traced,
    _heard: tracing::subscriber::DefaultGuard,
}

impl Rig {
    async fn new(url: &str) -> Self {
        Self::with(url, |builder| builder).await
    }

    async fn with(url: &str, settings: impl Fn(Builder) -> Builder) -> Self {
        let traced = Traced::default();
        let heard = traced.hear();
        let cache = settings(Cache::builder().url(url).runtime(Handle::current())).connect().await.unwrap();
        Self { cache, rows: (0..16).map(|_| Row::new()).collect(), traced, _heard: heard }
    }

    async fn read(&self, id: u64) -> u64 {
        let began = Instant::now();
        let value = scope(self.cache.clone(), read(self.row(id), id)).await;
        assert!(began.elapsed() < BOUND, "a read took {:?}", began.elapsed());
        value
    }

    /// Reads, and says whether that was a load.
    async fn loads(&self, id: u64) -> bool {
        let before = self.row(id).loads();
        assert_eq!(self.read(id).await, self.now(id));
        self.row(id).loads() > before
    }

    async fn write(&self, id: u64) {
        scope(self.cache.clone(), write(self.row(id), id)).await;
    }

    fn row(&self, id: u64) -> &Arc<Row> {
        &self.rows[id as usize]
    }

    fn now(&self, id: u64) -> u64 {
        self.row(id).version.load(Ordering::SeqCst)
    }

    async fn stored(&self, id: u64) {
        until("it is stored", async || !self.loads(id).await).await;
    }

    /// Reads and writes meanwhile, none of which fails. Nothing can be stored or delivered.
    async fn goes_on_alone(&self) {
        for id in 0..6 {
            assert_eq!(self.read(id).await, self.now(id));
        }
        self.write(7).await;
        assert!(self.cache.pending() > 0, "the store could not be told");
        assert_eq!(self.cache.invalidate("row:8").await, Delivery::Deferred);
        for _ in 0..20 {
            for id in [7, 8] {
                assert!(self.loads(id).await, "what is owed is not read");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The cause is gone: all is as before, by itself.
    async fn heals(&self) {
        until("what was deferred is delivered", async || self.cache.pending() == 0).await;
        for id in [1, 7, 8] {
            self.stored(id).await;
        }
        self.write(7).await;
        assert_eq!(self.read(7).await, self.now(7));
        assert_eq!(self.cache.invalidate("row:8").await, Delivery::Applied);
        assert_eq!(self.cache.stats().total.failures, 0);
    }

    /// A cluster answers again, and is not spoken to as one: what lies in several slots, as an entry and the epoch do, is a miss.
    async fn is_told_of_slots(&self) {
        until("what was deferred is delivered", async || self.cache.pending() == 0).await;
        self.write(7).await;
        assert_eq!(self.read(7).await, self.now(7));
        assert_eq!(self.cache.invalidate("row:8").await, Delivery::Applied);
        self.said_once("CROSSSLOT").await;
    }

    /// How many warnings and errors name `what`, but for those about one mutation.
    fn said(&self, what: &str) -> usize {
        let wrong = |event: &&String| event.starts_with("WARN") || event.starts_with("ERROR");
        self.traced
            .events()
            .iter()
            .filter(wrong)
            .filter(|event| event.contains(what) && !event.contains("function="))
            .count()
    }

    async fn said_once(&self, what: &str) {
        until(what, async || self.said(what) > 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.said(what), 1, "{what} in {:#?}", self.traced.events());
    }
}

/// Sends commands over one connection of their own, and returns all the answers.
fn raw(url: &str, commands: &[&[&str]]) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("redis://")).expect("a connection");
    let mut text = String::new();
    for words in commands {
        text += &format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
    }
    text += "*1\r\n$4\r\nQUIT\r\n";
    stream.write_all(text.as_bytes()).expect("to send");
    let mut answers = String::new();
    // A server that hangs up has said what it had to say.
    let _ = stream.read_to_string(&mut answers);
    answers
}

fn command(server: &Server, words: &[&str]) {
    assert_eq!(server.command(words).as_deref(), Ok("OK"), "{words:?}");
}

#[tokio::test]
async fn a_full_server_is_read_and_invalidated_and_nothing_more_is_stored() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let rig = Rig::new(&server.url()).await;
    rig.stored(1).await;
    rig.stored(2).await;
    command(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!rig.loads(1).await, "what is stored is read");
    let before = rig.cache.stats().total;
    for id in 10..15 {
        assert!(rig.loads(id).await && rig.loads(id).await);
    }
    let counts = rig.cache.stats().total;
    assert_eq!((counts.fills, counts.loads), (before.fills, before.loads + 10));
    assert!(counts.store_failures >= before.store_failures + 10, "{counts:?}");
    rig.write(1).await;
    assert_eq!(rig.cache.pending(), 0);
    assert_eq!(rig.cache.invalidate("row:2").await, Delivery::Applied);
    assert_eq!(server.command(&["EXISTS", "cache:e:{row:1}", "cache:e:{row:2}"]).unwrap(), "0");
    assert_eq!(rig.read(1).await, rig.now(1));
    rig.said_once("OOM").await;
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_fill_that_a_server_has_no_room_for_is_skipped_and_counted() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let rig = Rig::new(&server.url()).await;
    rig.row(1).gate.forget_permits(usize::MAX);
    let loading = tokio::spawn(scope(rig.cache.clone(), {
        let row = rig.row(1).clone();
        async move { read(&row, 1).await }
    }));
    rig.row(1).has_loads(1).await;
    command(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    rig.row(1).gate.add_permits(100);
    assert_eq!(loading.await.unwrap(), 1);
    until("it is counted", async || rig.cache.stats().total.refused == 1).await;
    assert_eq!(rig.cache.stats().total.fills, 0);
    rig.said_once("OOM").await;
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_replica_counts_as_away() {
    let server = Server::start();
    let rig = Rig::new(&server.url()).await;
    for id in [1, 7, 8] {
        rig.stored(id).await;
    }
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]);
    rig.goes_on_alone().await;
    assert!(rig.loads(1).await, "nothing is read from it while something is owed");
    rig.said_once("READONLY").await;
    command(&server, &["REPLICAOF", "NO", "ONE"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_replica_that_waits_for_its_master_counts_as_away() {
    let server = Server::start_with(&["--replica-serve-stale-data", "no"]);
    let rig = Rig::new(&server.url()).await;
    for id in [1, 7, 8] {
        rig.stored(id).await;
    }
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]);
    rig.goes_on_alone().await;
    rig.said_once("MASTERDOWN").await;
    command(&server, &["REPLICAOF", "NO", "ONE"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_server_that_is_loading_counts_as_away() {
    let arguments = ["--enable-debug-command", "yes", "--key-load-delay", "1000"];
    let server = Server::start_with(&[&arguments[..], &["--loading-process-events-interval-bytes", "1024"]].concat());
    let rig = Rig::new(&server.url()).await;
    for id in [1, 7, 8] {
        rig.stored(id).await;
    }
    let fill = "for i = 1, 3000 do redis.call('SET', 'other:' .. i, string.rep('x', 100)) end";
    server.command(&["EVAL", fill, "0"]).unwrap();
    let url = server.url();
    let reloading = thread::spawn(move || raw(&url, &[&["DEBUG", "RELOAD"]]));
    until("it is loading", async || {
        server.command(&["PING"]).is_err_and(|error| error.to_lowercase().contains("loading"))
    })
    .await;
    rig.goes_on_alone().await;
    rig.said_once("LOADING").await;
    assert!(!reloading.is_finished(), "it was loading all the time");
    reloading.join().unwrap();
    rig.heals().await;
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_counts_as_away() {
    let server = Server::start_with(&["--busy-reply-threshold", "20"]);
    let rig = Rig::new(&server.url()).await;
    for id in [1, 7, 8] {
        rig.stored(id).await;
    }
    let url = server.url();
    let script = thread::spawn(move || raw(&url, &[&["EVAL", "while true do end", "0"]]));
    until("it is busy", async || server.command(&["PING"]).is_err_and(|error| error.to_lowercase().contains("busy")))
        .await;
    rig.goes_on_alone().await;
    rig.said_once("BUSY").await;
    command(&server, &["SCRIPT", "KILL"]);
    assert!(script.join().unwrap().contains("SCRIPT KILL"));
    rig.heals().await;
}

#[tokio::test]
async fn a_password_that_is_set_meanwhile_keeps_the_store_away() {
    let server = Server::start();
    let rig = Rig::new(&server.url()).await;
    for id in [1, 7, 8] {
        rig.stored(id).await;
    }
    let kill: [&str; 4] = ["CLIENT", "KILL", "TYPE", "normal"];
    raw(&server.url(), &[&["CONFIG", "SET", "requirepass", "hunter2"], &kill]);
    rig.goes_on_alone().await;
    rig.said_once("NOAUTH").await;
    assert_eq!(rig.said("ERROR"), 1, "nobody but an operator ends that");
    assert_eq!(rig.said("hunter2"), 0);
    raw(&server.url(), &[&["AUTH", "hunter2"], &["CONFIG", "SET", "requirepass", ""]]);
    rig.heals().await;
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_is_said_once() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let rig = Rig::new(&server.url().replace("redis://", "redis://:hunter2@")).await;
    rig.goes_on_alone().await;
    assert_eq!((rig.said("ERROR"), rig.said("hunter2")), (1, 0), "{:#?}", rig.traced.events());
    raw(&server.url(), &[&["AUTH", "right"], &["CONFIG", "SET", "requirepass", "hunter2"]]);
    rig.heals().await;
}

#[tokio::test]
async fn values_of_another_type_are_in_nobodys_way() {
    let server = Server::start();
    let rig = Rig::new(&server.url()).await;
    for slot in ["cache:e:{row:1}", "cache:l:{row:1}", "cache:k:{row:1}"] {
        for kind in ["RPUSH", "SADD"] {
            rig.stored(1).await;
            server.command(&["DEL", slot]).unwrap();
            server.command(&[kind, slot, "one"]).unwrap();
            rig.read(1).await;
            rig.write(1).await;
            assert_eq!(rig.cache.pending(), 0, "a mutation is told of all the same");
            server.command(&[kind, slot, "one"]).unwrap();
            rig.heals().await;
        }
    }
}

#[tokio::test]
async fn a_cluster_without_slots_counts_as_away() {
    let server = cluster();
    let rig = Rig::new(&server.url()).await;
    rig.goes_on_alone().await;
    rig.said_once("CLUSTERDOWN").await;
    command(&server, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    rig.is_told_of_slots().await;
}

#[tokio::test]
async fn slots_that_are_elsewhere_are_said_once() {
    let (server, other) = (cluster(), cluster());
    command(&other, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let port = |server: &Server| server.url().rsplit(':').next().unwrap().to_owned();
    let bus = other.command(&["CONFIG", "GET", "cluster-port"]).unwrap();
    command(&server, &["CLUSTER", "MEET", "127.0.0.1", &port(&other), bus.lines().last().unwrap()]);
    until("it knows", async || {
        server.command(&["GET", "x"]).is_err_and(|error| error.to_lowercase().contains("moved"))
    })
    .await;
    let rig = Rig::new(&server.url()).await;
    rig.goes_on_alone().await;
    rig.said_once("MOVED").await;
    let id = server.command(&["CLUSTER", "MYID"]).unwrap();
    // They come here one after the other, and as far as this server is concerned at once.
    let moves: Vec<[String; 5]> =
        (0..16384).map(|slot| ["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id].map(str::to_owned)).collect();
    for server in [&server, &other] {
        let words: Vec<Vec<&str>> = moves.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
        let commands: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
        assert!(!raw(&server.url(), &commands).contains("-ERR"));
    }
    rig.is_told_of_slots().await;
}

fn cluster() -> Server {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &port])
}

#[tokio::test]
async fn a_user_who_may_run_no_script_is_told_of_once() {
    let server = Server::start();
    command(&server, &["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all", "-evalsha"]);
    let rig = Rig::new(&server.url().replace("redis://", "redis://app:hunter2@")).await;
    rig.goes_on_alone().await;
    rig.said_once("NOPERM").await;
    assert_eq!((rig.said("ERROR"), rig.said("hunter2")), (1, 0));
    command(&server, &["ACL", "SETUSER", "app", "+evalsha"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_user_who_may_not_load_scripts_is_told_of_once() {
    let server = Server::start();
    command(&server, &["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all", "-script"]);
    let rig = Rig::new(&server.url().replace("redis://", "redis://app:hunter2@")).await;
    rig.goes_on_alone().await;
    rig.said_once("NOPERM").await;
    assert_eq!((rig.said("ERROR"), rig.said("hunter2")), (1, 0));
    command(&server, &["ACL", "SETUSER", "app", "+script"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_user_whose_keys_are_others_is_told_of_once() {
    let server = Server::start();
    command(&server, &["ACL", "SETUSER", "app", "on", ">hunter2", "~other:*", "+@all"]);
    let rig = Rig::new(&server.url().replace("redis://", "redis://app:hunter2@")).await;
    rig.goes_on_alone().await;
    rig.said_once("NOPERM").await;
    command(&server, &["ACL", "SETUSER", "app", "~cache:*"]);
    rig.heals().await;
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_an_error_that_is_said_once() {
    let server = Server::start();
    let other = web_server();
    // From the beginning, and in the place of a Redis that was there.
    for begins in [other.clone(), server.url()] {
        let proxy = Proxy::before(&begins).await;
        let rig = Rig::new(&proxy.url()).await;
        proxy.turn_to(&other);
        proxy.cut();
        rig.goes_on_alone().await;
        rig.said_once("there is no Redis").await;
        assert_eq!(rig.said("ERROR"), 1, "{:#?}", rig.traced.events());
        proxy.turn_to(&server.url());
        rig.heals().await;
    }
}

/// Something that answers, but not as a Redis does.
fn web_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // It answers what it is asked; whoever hangs up first has seen enough.
            let _ = stream.read(&mut [0]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            let _ = stream.shutdown(Shutdown::Write);
            thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    url
}
