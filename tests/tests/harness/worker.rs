//! One process: readers, mutators, and those who give up half-way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::scope;
use cache_runtime::sim::connect_broken;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::database::CALM;
use crate::database::QUIET;
use crate::database::ROWS;
use crate::database::Remote;
use crate::database::SLOW;
use crate::fleet::Plan;
use crate::history::Row;
use crate::history::Seen;
use crate::history::Time;
use crate::history::What;
use crate::workload::HOT;
use crate::workload::How;
use crate::workload::Missing;
use crate::workload::Stage;
use crate::workload::all;
use crate::workload::calm;
use crate::workload::fresh;
use crate::workload::kept;
use crate::workload::left;
use crate::workload::pair;
use crate::workload::price;
use crate::workload::quiet;
use crate::workload::slow;
use crate::workload::stock;
use crate::workload::write;

/// Works until the database says that it is enough, and comes to rest.
pub(crate) async fn work(plan: Plan) {
    let stage = Arc::new(Stage {
        database: Remote::connect(&plan.socket).await,
        cache: connected(&plan).await,
        plan,
        done: AtomicBool::new(false),
        deferred: AtomicBool::new(false),
        mutations: AtomicU64::new(0),
        loading: Default::default(),
        asked: AtomicU64::new(0),
    });
    let mut actors = JoinSet::new();
    if stage.plan.slow {
        work_slowly(&stage, &mut actors);
    } else {
        work_on_all(&stage, &mut actors);
    }
    let watch = tokio::spawn(watch_deliveries(stage.clone()));
    let weigh = tokio::spawn(watch_memory(stage.clone()));
    stage.database.stopped().await;
    stage.done.store(true, Ordering::SeqCst);
    while let Some(actor) = actors.join_next().await {
        actor.expect("an actor that does not panic");
    }
    come_to_rest(&stage).await;
    // Others may still read, and would wait for what this process has not stored or given up yet.
    stage.cache.close(REASON).await;
    watch.abort();
    weigh.abort();
    tally(&stage);
    stage.database.flush().await;
}

fn work_on_all(stage: &Arc<Stage>, actors: &mut JoinSet<()>) {
    for number in 0..5 {
        actors.spawn(act(stage, number, read_for_a_while));
    }
    for number in 5..8 {
        actors.spawn(act(stage, number, read_calmly_for_a_while));
    }
    for number in 8..10 {
        actors.spawn(act(stage, number, drop_reads_for_a_while));
    }
    for number in 10..13 {
        actors.spawn(act(stage, number, write_for_a_while));
    }
    actors.spawn(act(stage, 13, write_calmly_for_a_while));
    actors.spawn(act(stage, 14, read_quietly_for_a_while));
    actors.spawn(act(stage, 15, write_quietly_for_a_while));
}

fn work_slowly(stage: &Arc<Stage>, actors: &mut JoinSet<()>) {
    for number in 0..48 {
        actors.spawn(act(stage, number, read_slowly_for_a_while));
    }
    actors.spawn(act(stage, 48, write_slowly_for_a_while));
}

async fn connected(plan: &Plan) -> Cache {
    let mut builder = Cache::builder().url(&plan.url).lease(plan.lease).guard(plan.guard).max_wait(plan.max_wait());
    builder = builder.max_loads(plan.max_loads);
    builder = builder.op_timeout(plan.op_timeout).connect_timeout(plan.op_timeout.max(Duration::from_millis(500)));
    if let Some(entries) = plan.capacity {
        builder = builder.capacity(cache_runtime::Capacity::Entries(entries));
    }
    let cache = match plan.mutant() {
        Some(mutant) => connect_broken(builder, mutant).await,
        None => builder.connect().await,
    };
    cache.expect("settings that make sense")
}

fn act<A>(
    stage: &Arc<Stage>,
    number: u64,
    actor: fn(Arc<Stage>, StdRng) -> A,
) -> impl Future<Output = ()> + Send + use<A>
where
    A: Future<Output = ()> + Send + 'static,
{
    let seed = stage.plan.seed ^ u64::from(stage.plan.process) << 40 ^ number << 32;
    scope(stage.cache.clone(), actor(stage.clone(), StdRng::seed_from_u64(seed)))
}

fn is_done(stage: &Stage) -> bool {
    stage.done.load(Ordering::SeqCst)
}

async fn read_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        let choice = chance.random_range(0..24);
        read(&stage, choice, chance.random_range(0..HOT)).await;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..600))).await;
    }
}

async fn read_calmly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        let row = chance.random_range(CALM..CALM + 3);
        within_reason(&stage, "calm", 1, async { Some(vec![calm(&stage, row).await.seen(row)]) }).await;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..1500))).await;
    }
}

async fn read_quietly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        read_quietly(&stage, chance.random_range(QUIET..ROWS as u64)).await;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..4000))).await;
    }
}

async fn read_slowly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        read_slowly(&stage, chance.random_range(SLOW..CALM)).await;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..1_000_000))).await;
    }
}

async fn read_slowly(stage: &Stage, row: Row) {
    let read = async { Some(vec![slow(stage, row).await.ok()?.seen(row)]) };
    within_reason(stage, &format!("slow:{row}"), 1, read).await;
}

async fn read_quietly(stage: &Stage, row: Row) {
    let read = async { Some(vec![quiet(stage, row).await.ok()?.seen(row)]) };
    within_reason(stage, &format!("quiet:{row}"), 1, read).await;
}

/// One read of a row, or of something made of rows.
async fn read(stage: &Arc<Stage>, choice: u32, row: Row) {
    let other = (row + 1) % HOT;
    match choice {
        0 => {
            let read = async {
                let all = all(stage).await.ok()?;
                Some((0..3).zip(&all).map(|(row, stock)| stock.seen(row)).collect())
            };
            within_reason(stage, "all", 3, read).await;
        }
        1..4 => {
            let read = async {
                let (one, two) = pair(stage, row, other).await.ok()?;
                Some(vec![one.seen(row), two.seen(other)])
            };
            within_reason(stage, &format!("pair:{row}:{other}"), 2, read).await;
        }
        4 => {
            // Of one row alone, since each makes the other's entry a miss.
            let row = HOT - 1;
            let read = async { Some(vec![price(stage, row).await.ok()?.seen(row)]) };
            or_failed(stage, row, within_reason(stage, "price", 1, read)).await;
        }
        5..8 => {
            let read = async { Some(vec![fresh(stage.clone(), row).await.ok()?.seen(row)]) };
            within_reason(stage, &format!("fresh:{row}"), 2, read).await;
        }
        8..11 => {
            let read = async { Some(vec![kept(stage, row).await.ok()?.seen(row)]) };
            within_reason(stage, &format!("kept:{row}"), 2, read).await;
        }
        11..14 => {
            let read = async {
                match left(stage, row).await {
                    Ok(stock) | Err(Missing::Sold(stock)) => Some(vec![stock.seen(row)]),
                    Err(Missing::Unknown) => None,
                }
            };
            within_reason(stage, &format!("left:{row}"), 2, read).await;
        }
        _ => {
            let read = async { Some(vec![stock(stage, row).await.ok()?.seen(row)]) };
            or_failed(stage, row, within_reason(stage, &format!("row:{row}"), 1, read)).await;
        }
    }
}

/// Runs a read, and records what it saw, or that it never came back. Says whether it failed.
async fn within_reason(stage: &Stage, call: &str, depth: u64, read: impl Future<Output = Option<Vec<Seen>>>) -> bool {
    let from = Time::now();
    let read = timeout(REASON, read).await;
    let failed = matches!(read, Ok(None));
    match read {
        Ok(Some(saw)) => stage.report(from, What::Read { call: call.to_owned(), depth, saw }),
        Ok(None) => {}
        Err(_) => stage.report(from, What::Stranded { call: call.to_owned() }),
    }
    failed
}

/// Records that a read of one row came to nothing, which only the database can be the reason of.
async fn or_failed(stage: &Stage, row: Row, read: impl Future<Output = bool>) {
    let from = Time::now();
    if read.await {
        stage.report(from, What::Erred { row });
    }
}

/// Three waits inside of each other, and what a silent store costs on the way.
pub(crate) const REASON: Duration = Duration::from_secs(9);

async fn drop_reads_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        let limit = Duration::from_micros(chance.random_range(0..9000));
        // Whether it was dropped or not is all the same.
        let _ = match chance.random_range(0..3) {
            0 => timeout(limit, async { drop(all(&stage).await) }).await,
            1 => timeout(limit, async { drop(stock(&stage, chance.random_range(0..HOT)).await) }).await,
            _ => timeout(limit, async { _ = calm(&stage, CALM + chance.random_range(0..3)).await }).await,
        };
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..3000))).await;
    }
}

async fn write_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    let ways = How::all_of(stage.plan.writes);
    while !is_done(&stage) {
        let how = ways[chance.random_range(0..ways.len())];
        let limit = match chance.random_range(0..6) {
            0 => Duration::from_micros(chance.random_range(0..9000)),
            _ => REASON,
        };
        mutate(&stage, how, chance.random_range(0..HOT), limit).await;
        // Now and then one right after the other; but what was made stale also needs time to be read.
        let pause = if chance.random_range(0..3) == 0 { 4 } else { 200 };
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..1000 * pause))).await;
    }
}

async fn write_calmly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(200..700))).await;
        mutate(&stage, How::KeyStrictly, CALM + chance.random_range(0..3), REASON).await;
    }
}

async fn write_quietly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    let ways = How::all_of(stage.plan.writes);
    while !is_done(&stage) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..150))).await;
        let how = ways[chance.random_range(0..ways.len())];
        mutate(&stage, how, chance.random_range(QUIET..ROWS as u64), REASON).await;
    }
}

async fn write_slowly_for_a_while(stage: Arc<Stage>, mut chance: StdRng) {
    while !is_done(&stage) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(300..900))).await;
        mutate(&stage, How::KeyAfter, chance.random_range(SLOW..CALM), REASON).await;
    }
}

/// Calls a mutator, drops it at `limit`, and says what came of it.
async fn mutate(stage: &Stage, how: How, row: Row, limit: Duration) {
    let number = stage.mutations.fetch_add(1, Ordering::Relaxed);
    let mutation = u64::from(stage.plan.process) << 32 | number;
    let from = Time::now();
    stage.report(from, What::Began { row, mutation, after: how.is_after() });
    // Once it may have marked something, it has to be known.
    stage.database.flush().await;
    match timeout(limit, write(stage, how, (row, mutation))).await {
        Ok(number) => {
            let pending = stage.cache.pending() > 0;
            stage.deferred.fetch_or(pending, Ordering::SeqCst);
            // Reported after that, because the delivery of what was deferred may have ended only just now.
            stage.report(from, What::Returned { row, mutation, number, pending });
        }
        Err(_) if limit == REASON => stage.report(from, What::Stranded { call: format!("{how:?} of {row}") }),
        Err(_) => stage.report(from, What::Dropped { row, mutation }),
    }
}

/// Says when everything that was deferred is delivered.
async fn watch_deliveries(stage: Arc<Stage>) {
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if stage.deferred.swap(false, Ordering::SeqCst) {
            let from = Time::now();
            match stage.cache.pending() {
                0 => stage.report(from, What::Delivered),
                _ => stage.deferred.store(true, Ordering::SeqCst),
            }
        }
    }
}

/// Nothing goes wrong any more: what was deferred is delivered, and whatever is read is of today.
async fn come_to_rest(stage: &Arc<Stage>) {
    let from = Time::now();
    while stage.cache.pending() > 0 {
        if Time::now() > from.after(REASON) {
            return stage.report(from, What::Stranded { call: "the delivery of an invalidation".to_owned() });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.report(from, What::Rested);
    // The last of what was deferred is found out by then, and others may be at rest too.
    tokio::time::sleep(Duration::from_millis(300)).await;
    scope(stage.cache.clone(), async {
        if stage.plan.slow { read_all_slowly(stage).await } else { read_all(stage).await }
    })
    .await;
}

async fn read_all(stage: &Arc<Stage>) {
    for row in 0..HOT {
        for choice in [0, 1, 4, 5, 8, 11, 14] {
            read(stage, choice, row).await;
        }
    }
    for row in QUIET..ROWS as u64 {
        read_quietly(stage, row).await;
    }
}

/// All at one time, for each takes its own.
async fn read_all_slowly(stage: &Arc<Stage>) {
    let mut reads = JoinSet::new();
    for row in SLOW..CALM {
        let of = stage.clone();
        reads.spawn(scope(stage.cache.clone(), async move { read_slowly(&of, row).await }));
    }
    reads.join_all().await;
}

/// Says now and then how much memory this process has.
async fn watch_memory(stage: Arc<Stage>) {
    loop {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        if let Some(kib) = resident.and_then(|text| text.parse().ok()) {
            stage.report(Time::now(), What::Memory { kib });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn tally(stage: &Stage) {
    let counts = stage.cache.stats().total;
    let what = What::Tally {
        hits: counts.hits,
        joined: counts.joined,
        stale: counts.stale,
        fills: counts.fills,
        applied: counts.applied,
        deferred: counts.deferred,
        overloaded: counts.overloaded,
        most_loads: stage.loading.1.load(Ordering::SeqCst),
    };
    stage.report(Time::now(), what);
}

const _: () = assert!(CALM + 3 <= QUIET && QUIET < ROWS as u64 && HOT <= SLOW && SLOW < CALM);
