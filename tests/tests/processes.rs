//! Several processes on one Redis: the test starts itself again as the others.

use std::env;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use tokio::task::JoinSet;

static LOADS: AtomicUsize = AtomicUsize::new(0);

#[cached(ttl = "5m", key = "slow:{id}")]
async fn slow(id: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::SeqCst);
    say("loading");
    tokio::time::sleep(Duration::from_millis(300)).await;
    id
}

#[cached(ttl = "5m", key = "endless:{id}", skip(ends))]
async fn endless(id: u64, ends: bool) -> u64 {
    say("loading");
    if !ends {
        std::future::pending::<()>().await;
    }
    id
}

/// Tells the process that reads our output, on a line of its own.
#[expect(clippy::print_stdout, reason = "the output is what the processes talk through")]
fn say(word: &str) {
    println!("\n{word}");
}

async fn connected(url: &str) -> Cache {
    let builder = Cache::builder().url(url).lease(Duration::from_millis(900));
    builder.op_timeout(Duration::from_secs(5)).connect_timeout(Duration::from_secs(5)).connect().await.unwrap()
}

/// Starts this test program again as the process that runs `role`.
fn start(role: &str, server: &Server) -> Child {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args([role, "--exact", "--nocapture", "--ignored"]).env("STORE", server.url());
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// The lines that begin with `word` until the process ends, or the first `most` of them.
fn lines(process: &mut Child, word: &str, most: usize) -> usize {
    let output = BufReader::new(process.stdout.take().unwrap());
    output.lines().map_while(Result::ok).filter(|line| line.starts_with(word)).take(most).count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of the tests below"]
async fn a_thousand_callers() {
    let Ok(url) = env::var("STORE") else { return };
    let cache = connected(&url).await;
    let mut callers = JoinSet::new();
    for _ in 0..250 {
        callers.spawn(scope(cache.clone(), async { slow(7).await }));
    }
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap(), 7);
    }
}

#[tokio::test]
#[ignore = "a process of the tests below"]
async fn a_load_without_end() {
    let Ok(url) = env::var("STORE") else { return };
    scope(connected(&url).await, endless(7, false)).await;
}

#[test]
fn four_processes_load_a_cold_key_once() {
    let server = Server::start();
    let mut processes: Vec<Child> = (0..4).map(|_| start("a_thousand_callers", &server)).collect();
    let loads: usize = processes.iter_mut().map(|process| lines(process, "loading", usize::MAX)).sum();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(loads, 1);
}

#[tokio::test]
async fn a_leader_killed_with_its_process_strands_nobody() {
    let server = Server::start();
    let mut leader = start("a_load_without_end", &server);
    assert_eq!(lines(&mut leader, "loading", 1), 1);
    let cache = connected(&server.url()).await;
    let waiting = tokio::spawn(scope(cache.clone(), async { endless(7, true).await }));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "the other process has the lease");
    leader.kill().unwrap();
    leader.wait().unwrap();
    let value = tokio::time::timeout(Duration::from_secs(8), waiting).await;
    assert_eq!(value.expect("its lease expires").unwrap(), 7);
    let counts = cache.stats().function("endless");
    assert_eq!((counts.loads, counts.bypassed), (1, 0), "it took the lease over");
}
