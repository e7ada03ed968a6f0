//! A thousand callers at a cold key: how often the function ran, and how long after its end the slowest caller had the value.
//!
//! `cargo run --release --bin stampede` starts a server of its own, and processes of its own.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Lines;
use std::io::Write;
use std::io::stdin;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use benches::rounds::Spread;
use benches::server::Server;
use benches::table::Table;
use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use cached::macros::cached as peer_cached;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(who), Some(url)) => take_part(&who, &url),
        _ => report(),
    }
}

fn report() {
    let server = Server::start();
    let mut table = Table::new(["", "loads, at most", "slowest caller after the load, ms"]);
    for (name, who, processes, url) in [
        ("annotated, in memory", "ours", 1, "memory:"),
        ("annotated, on Redis", "ours", 1, &format!("{}?namespace=one", server.url())),
        ("annotated, on Redis, four processes", "ours", 4, &format!("{}?namespace=four", server.url())),
        ("cached, `cached` with ttl", "cached", 1, "memory:"),
        ("cached, with `sync_writes = \"by_key\"`", "by_key", 1, "memory:"),
        ("moka, `get_with`", "moka", 1, "memory:"),
    ] {
        let (loads, lag) = stampedes(who, processes, url);
        table.row([name.to_owned(), loads.to_string(), format!("{lag:.1}")]);
    }
    println!("{CALLERS} callers at a cold key, {ROUNDS} times, a load of {} ms:\n\n{table}", LOAD.as_millis());
}

/// The most loads of a key, and by how much the slowest caller of each was behind the end of the load.
fn stampedes(who: &str, processes: u64, url: &str) -> (u64, Spread) {
    let mut processes: Vec<_> = (0..processes).map(|_| Process::start(who, url, CALLERS / processes)).collect();
    let (mut most, mut lags) = (0, Vec::new());
    for key in 0..=ROUNDS {
        processes.iter_mut().for_each(|process| process.tell(key));
        let parts: Vec<Part> = processes.iter_mut().map(Process::hear).collect();
        // The first key warms connections and memory up.
        if key > 0 {
            most = most.max(parts.iter().map(|part| part.loads).sum());
            let loaded = parts.iter().map(|part| part.loaded).max().unwrap_or(0);
            let answered = parts.iter().map(|part| part.answered).max().unwrap_or(0);
            lags.push(answered.saturating_sub(loaded) as f64 / 1000.0);
        }
    }
    (most, Spread::of(lags))
}

/// One of the processes, started from this same program. It is told a key on a line, and answers with a [`Part`] on a line.
struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// What one process saw of one stampede. Times are in microseconds since the epoch.
struct Part {
    loads: u64,
    loaded: u64,
    answered: u64,
}

impl Process {
    fn start(who: &str, url: &str, callers: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([who, url])
            .env("CALLERS", callers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, input, output }
    }

    fn tell(&mut self, key: u64) {
        writeln!(self.input, "{key}").expect("a process that listens");
    }

    fn hear(&mut self) -> Part {
        let line = self.output.next().expect("a process that answers").expect("its answer");
        let mut numbers = line.split(' ').map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        Part { loads: next(), loaded: next(), answered: next() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn take_part(who: &str, url: &str) {
    let callers = std::env::var("CALLERS").ok().and_then(|callers| callers.parse().ok()).expect("how many callers");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cache = Cache::builder().url(url).op_timeout(Duration::from_secs(5)).connect().await.expect("a cache");
        let moka = moka::future::Cache::builder().time_to_live(Duration::from_secs(3600)).build();
        for line in stdin().lines() {
            let key = line.expect("a line").parse().expect("a key");
            let call = |key| {
                let (moka, who) = (moka.clone(), who.to_owned());
                async move {
                    match who.as_str() {
                        "cached" => peer(key).await,
                        "by_key" => peer_by_key(key).await,
                        "moka" => moka.get_with(key, load(key)).await,
                        _ => ours(key).await,
                    }
                }
            };
            let part = scope(cache.clone(), stampede(key, callers, call)).await;
            println!("{} {} {}", part.loads, part.loaded, part.answered);
        }
    });
}

async fn stampede<F: Future<Output = u64> + Send + 'static>(key: u64, callers: u64, call: impl Fn(u64) -> F) -> Part {
    LOADS.store(0, Ordering::SeqCst);
    LOADED.store(0, Ordering::SeqCst);
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let call = call(key);
        tasks.spawn(scope::current().carry(async move {
            assert_eq!(call.await, key);
            now()
        }));
    }
    let answered = tasks.join_all().await.into_iter().max().unwrap_or(0);
    Part { loads: LOADS.load(Ordering::SeqCst), loaded: LOADED.load(Ordering::SeqCst), answered }
}

#[cached(ttl = "1h", key = "number:{key}")]
async fn ours(key: u64) -> u64 {
    load(key).await
}

#[peer_cached(ttl_secs = 3600)]
async fn peer(key: u64) -> u64 {
    load(key).await
}

#[peer_cached(ttl_secs = 3600, sync_writes = "by_key")]
async fn peer_by_key(key: u64) -> u64 {
    load(key).await
}

async fn load(key: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(LOAD).await;
    LOADED.fetch_max(now(), Ordering::SeqCst);
    key
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_micros()).expect("a clock before the year 500,000")
}

static LOADS: AtomicU64 = AtomicU64::new(0);
static LOADED: AtomicU64 = AtomicU64::new(0);
const CALLERS: u64 = 1000;
const ROUNDS: u64 = 20;
const LOAD: Duration = Duration::from_millis(50);
