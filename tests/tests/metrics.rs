//! What is emitted through the `metrics` facade is what the documentation lists, and it agrees with `Cache::stats`.

#[allow(unused_macros, reason = "each test has a store of its own")]
mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Delivery;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Refusal;
use cache_runtime::explain::Stale;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use metrics::Counter;
use metrics::Gauge;
use metrics::Histogram;
use metrics::Key;
use metrics::KeyName;
use metrics::Metadata;
use metrics::Recorder;
use metrics::SharedString;
use metrics::Unit;
use metrics_util::MetricKind;
use metrics_util::debugging::DebugValue;
use metrics_util::debugging::DebuggingRecorder;
use metrics_util::debugging::Snapshotter;
use tokio::runtime::Handle;

use crate::common::Row;
use crate::common::filled;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row))]
async fn read(row: &Row, id: u64) -> Result<u64, String> {
    match id {
        0 => Err("no such row".to_owned()),
        _ => Ok(row.read().await),
    }
}

#[cached(ttl = "5m", key = "large:{size}")]
async fn large(size: u64) -> String {
    "x".repeat(usize::try_from(size).unwrap())
}

/// What is not a number cannot be written.
#[cached(ttl = "1m", key = "unnamed:{share:json}")]
async fn unnamed(share: f64) -> u64 {
    share as u64
}

#[cached(ttl = "5m", key = "unwanted:{id}", unless = |_| true)]
async fn unwanted(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "lenient:{id}", skip(row), stale_if_error = "1h")]
async fn read_leniently(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) {
    let _ = id;
    row.write();
}

/// One series: its name, and its labels.
type Series = (String, BTreeMap<String, String>);

/// What the program has emitted so far; histograms by how much was recorded.
#[derive(Default)]
struct Page(BTreeMap<Series, (MetricKind, f64)>);

/// The recorder of this program. A snapshot takes what it shows, so one page keeps all of it.
fn page() -> std::sync::MutexGuard<'static, Page> {
    static PAGE: OnceLock<(Snapshotter, Mutex<Page>)> = OnceLock::new();
    let (snapshotter, page) = PAGE.get_or_init(|| {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().unwrap();
        (snapshotter, Mutex::default())
    });
    let mut page = page.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (key, _, described, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        assert!(described.is_some(), "{} is not described", key.name());
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let (_, sum) = page.0.entry((key.name().to_owned(), labels)).or_insert((kind, 0.0));
        match value {
            DebugValue::Counter(count) => *sum += count as f64,
            // Taken off by the snapshot, as everything is.
            DebugValue::Gauge(value) => *sum = sum.max(value.into_inner()),
            DebugValue::Histogram(values) => *sum += values.len() as f64,
        }
    }
    page
}

/// The sum of all series of `name` that have these labels.
fn sum(name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |own: &BTreeMap<String, String>| {
        labels.iter().all(|(key, value)| own.get(*key).is_some_and(|own| own == value))
    };
    page().0.iter().filter(|((own, labels), _)| own == name && has(labels)).map(|(_, (_, value))| value).sum()
}

/// Everything that can happen with the least effort.
async fn everything(cache: &Cache, server: Option<&Server>) {
    let row = Row::with_gate(0);
    let (first, second, open) = (read(&row, 7), read(&row, 7), async {
        until("both have missed", async || cache.stats().function("read").misses == 2).await;
        row.gate.add_permits(1000);
    });
    let _ = tokio::join!(first, second, open);
    filled(cache, "read", 1).await;
    assert_eq!(read(&row, 7).await, Ok(1));
    read(&row, 0).await.unwrap_err();
    large(2000).await;
    let _ = cache.no_fill(read(&row, 8)).await;
    write(&row, 7).await;
    let _ = read(&row, 9).await;
    refused(cache).await;
    unwanted(7).await;
    unnamed(f64::NAN).await;
    if let Some(server) = server {
        server.command(&["SET", "metrics-redis:e:{row:10}", "garbage"]).unwrap();
        let _ = read(&row, 10).await;
        filled(cache, "read", 3).await;
        server.kill();
        let _ = read(&row, 11).await;
        write(&row, 7).await;
        assert!(cache.pending() > 0);
    }
}

/// A value that is invalidated while it is loaded.
async fn refused(cache: &Cache) {
    static SITE: Site = Site::cached("metrics", "refused").key("refused");
    let load = async {
        let _ = cache.invalidate("refused").await;
        7
    };
    cache.entry(&SITE, returns::<u64>().kind()).ttl(Duration::from_secs(60)).get_or_load(load).await;
    until("it is refused", async || cache.stats().function("refused").refused == 1).await;
}

async fn on_memory() {
    drop(page());
    let cache = Cache::builder().url("memory:?namespace=metrics-memory").build().unwrap();
    scope(cache.clone(), everything(&cache, None)).await;
}

async fn on_redis() {
    drop(page());
    let server = Server::start();
    let builder = Cache::builder().namespace("metrics-redis").max_entry(1000).url(&server.url());
    let cache = builder.op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    scope(cache.clone(), everything(&cache, Some(&server))).await;
    waited().await;
}

/// A call that is not asked for at a store that failed often enough.
async fn shed() {
    let faults = Faults::new();
    let cache = Cache::builder().url("memory:?namespace=metrics-memory").faults(&faults).build().unwrap();
    faults.fail_reads();
    let row = Row::new();
    for _ in 0..6 {
        let _ = scope(cache.clone(), read(&row, 7)).await;
    }
    assert_eq!(cache.stats().total.shed, 1);
}

/// A call that finds no place among the loads, and is given an old value instead.
async fn overloaded() {
    let clock = Clock::held();
    let builder = Cache::builder().url("memory:?namespace=metrics-memory").clock(clock.clone());
    let cache = builder.max_loads(1).load_queue(0, Duration::from_secs(1)).build().unwrap();
    let row = Row::with_gate(1);
    scope(cache.clone(), read_leniently(&row, 7)).await;
    clock.advance(Duration::from_secs(600));
    let takes_the_place = scope(cache.clone(), read(&row, 8));
    let is_overloaded = scope(cache.clone(), async {
        row.has_loads(2).await;
        assert_eq!(read_leniently(&row, 7).await, 1);
        row.gate.add_permits(1);
    });
    let _ = tokio::join!(takes_the_place, is_overloaded);
}

/// One call that waits for another process.
async fn waited() {
    let server = Server::start();
    let builder = || Cache::builder().namespace("metrics-redis").url(&server.url()).op_timeout(Duration::from_secs(5));
    let (cache, other) = (builder().connect().await.unwrap(), builder().connect().await.unwrap());
    let row = Row::with_gate(0);
    let load = scope(other, read(&row, 7));
    let wait = scope(cache.clone(), async {
        row.has_loads(1).await;
        read(&row, 7).await
    });
    let open = async {
        until("it has missed", async || cache.stats().total.misses == 1).await;
        row.gate.add_permits(1);
    };
    let _ = tokio::join!(load, wait, open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_table_is_what_is_emitted() {
    on_memory().await;
    on_redis().await;
    overloaded().await;
    shed().await;
    let documented = documented();
    let mut emitted = BTreeMap::new();
    for ((name, labels), (kind, _)) in &page().0 {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels = labels.keys().cloned().collect::<BTreeSet<_>>();
        emitted.insert(name.clone(), (kind.to_owned(), labels));
    }
    assert_eq!(emitted, documented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_facade_and_the_stats_count_the_same() {
    drop(page());
    let cache = Cache::builder().namespace("counts").build().unwrap();
    scope(cache.clone(), everything(&cache, None)).await;
    let (counts, of) = (cache.stats().total, [("namespace", "counts")]);
    let pairs = [
        ("cache_hits_total", counts.hits),
        ("cache_misses_total", counts.misses),
        ("cache_joined_total", counts.joined),
        ("cache_waited_total", counts.waited),
        ("cache_stale_total", counts.stale),
        ("cache_overloaded_total", counts.overloaded),
        ("cache_loads_total", counts.loads),
        ("cache_failures_total", counts.failures),
        ("cache_bypassed_total", counts.bypassed),
        ("cache_fills_total", counts.fills),
        ("cache_refused_total", counts.refused),
        ("cache_unwanted_total", counts.unwanted),
        ("cache_unnamed_total", counts.unnamed),
        ("cache_unstorable_total", counts.unstorable),
        ("cache_unreadable_total", counts.unreadable),
        ("cache_store_failures_total", counts.store_failures),
        ("cache_shed_total", counts.shed),
        ("cache_invalidations_total", counts.applied + counts.deferred + counts.rejected),
    ];
    for (name, count) in pairs {
        assert_eq!(sum(name, &of), count as f64, "{name}");
    }
    assert!(
        counts.hits > 0 && counts.joined > 0 && counts.failures > 0 && counts.refused > 0 && counts.unwanted == 1,
        "{counts:?}"
    );
    assert_eq!(sum("cache_load_seconds", &of), counts.loads as f64);
    assert_eq!(sum("cache_misses_total", &[("namespace", "counts"), ("reason", "absent")]), counts.misses as f64);
    assert_eq!(sum("cache_request_seconds", &[("namespace", "counts"), ("outcome", "hit")]), 0.0);
    assert!(sum("cache_local_entries", &of) > 0.0);
}

#[tokio::test]
async fn what_is_pending_is_shown_until_it_is_delivered() {
    let pending = Arc::new(AtomicU64::new(0));
    let recorder = Pending(pending.clone());
    let _shown = metrics::set_default_local_recorder(&recorder);
    let shows = |count: f64| f64::from_bits(pending.load(Ordering::SeqCst)) == count;
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).runtime(Handle::current()).build().unwrap();
    faults.fail();
    assert_eq!(cache.invalidate_tags(["rows", "sums"]).await, Delivery::Deferred);
    assert!(shows(2.0));
    faults.heal();
    until("nothing is shown as pending", async || shows(0.0)).await;
    assert_eq!(cache.pending(), 0);
}

/// A recorder of what is pending, and of nothing else.
struct Pending(Arc<AtomicU64>);

impl Recorder for Pending {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match key.name() {
            "cache_pending_invalidations" => Gauge::from_arc(self.0.clone()),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn every_reason_is_documented() {
    let document = document();
    let misses = Miss::ALL.iter().map(|why| (why.name(), why.to_string()));
    let bypasses = Bypass::ALL.iter().map(|why| (why.name(), why.to_string()));
    let refusals = Refusal::ALL.iter().map(|why| (why.name(), why.to_string()));
    let stale = Stale::ALL.iter().map(|why| (why.name(), why.to_string()));
    for (name, sentence) in misses.chain(bypasses).chain(refusals).chain(stale) {
        let row = format!("| `{name}` | {sentence} |");
        assert!(document.contains(&row), "docs/observability.md lacks: {row}");
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard = fs::read_to_string("../examples/grafana/dashboard.json").unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            asked.extend(words.filter(|word| word.starts_with("cache_")).map(str::to_owned));
        }
    }
    let documented = documented();
    assert!(asked.len() > 10);
    for name in asked {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        assert!(documented.contains_key(base), "the dashboard asks for {name}");
    }
}

/// The table of the documentation: names, kinds, labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let document = document();
    let rows = document.lines().filter(|line| line.starts_with("| `cache_"));
    let metrics = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    });
    metrics.filter(|(_, (kind, _))| ["counter", "gauge", "histogram"].contains(&kind.as_str())).collect()
}

fn document() -> String {
    fs::read_to_string("../docs/observability.md").unwrap()
}
