//! A network that goes wrong between a process and its Redis, while another process has no trouble.
//!
//! Under each fault: a read never fails, is of today, and takes no longer than its bound; a mutation is applied only if the other process sees it; and when the fault ends, everything is as
//! before within a time that is stated here.

#[allow(unused_macros, reason = "these laws are about a network")]
mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;

use crate::common::Row;
use crate::common::until;
use crate::proxy::Fault;
use crate::proxy::Proxy;

/// The deadline of one operation, as a cache has it by default.
const DEADLINE: Duration = Duration::from_millis(100);
/// How long others wait for who has taken a lease and was not heard of again.
const LEASE: Duration = Duration::from_millis(400);
/// The most that a read takes whose load takes no time: the lease of one who is gone, a question to the store before it, one behind it, and two to load.
const BOUND: Duration = LEASE.saturating_add(DEADLINE.saturating_mul(4)).saturating_add(BUSY);
/// What a machine that does other things may add.
const BUSY: Duration = Duration::from_millis(1500);
/// When everything is as before: the longest pause of a breaker and of a journal, an attempt to connect, and what a busy machine adds.
const CONVERGENCE: Duration = Duration::from_secs(8);
const ROWS: usize = 4;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read(row: &Row, id: usize) -> String {
    format!("commit {} of row {id}", row.read().await)
}

#[cached(ttl = "5m", key = "sum:{id}", skip(row))]
async fn twice(row: &Row, id: usize) -> String {
    read(row, id).await.repeat(2)
}

#[invalidates(key = "row:{id}")]
async fn write_key(row: &Row, id: usize) -> u64 {
    let _ = id;
    row.write()
}

#[invalidates(tags = ["row:{id}"], mode = linearizable)]
async fn write_tag(row: &Row, id: usize) -> u64 {
    let _ = id;
    row.write()
}

#[invalidates(tags = ["row:{id}"], mode = after)]
async fn write_after(row: &Row, id: usize) -> u64 {
    let _ = id;
    row.write()
}

/// A process behind a proxy, and one that is not.
struct Rig {
    proxy: Proxy,
    /// Behind the proxy.
    troubled: Cache,
    healthy: Cache,
    rows: Vec<Arc<Row>>,
    /// Ends with all of it.
    _server: Server,
}

impl Rig {
    async fn new(settings: impl Fn(Builder) -> Builder) -> Self {
        let server = Server::start();
        let proxy = Proxy::before(&server.url()).await;
        let troubled = settings(Cache::builder().url(&proxy.url()).lease(LEASE).op_timeout(DEADLINE));
        let healthy = Cache::builder().url(&server.url()).lease(LEASE).op_timeout(Duration::from_secs(5));
        let (troubled, healthy) = (troubled.connect().await.unwrap(), healthy.connect().await.unwrap());
        let rig = Self { proxy, troubled, healthy, rows: (0..ROWS).map(|_| Row::new()).collect(), _server: server };
        for id in 0..ROWS {
            rig.stored(&rig.troubled, id).await;
        }
        rig
    }

    /// What `cache` reads of a row, in time.
    async fn read(&self, cache: &Cache, id: usize) -> String {
        let began = Instant::now();
        let (value, sum) = scope(cache.clone(), async {
            let value = read(&self.rows[id], id).await;
            assert!(began.elapsed() < BOUND, "a read took {:?}", began.elapsed());
            (value, twice(&self.rows[id], id).await)
        })
        .await;
        assert!(began.elapsed() < 3 * BOUND, "a read inside of another, and one before it, took {:?}", began.elapsed());
        assert_eq!(sum, value.repeat(2), "read one after the other while nobody writes");
        value
    }

    fn now(&self, id: usize) -> String {
        format!("commit {} of row {id}", self.rows[id].version.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// Waits until `cache` reads the row without a load.
    async fn stored(&self, cache: &Cache, id: usize) {
        until("it is stored", async || {
            let before = self.rows[id].loads();
            self.read(cache, id).await;
            self.rows[id].loads() == before
        })
        .await;
    }

    /// Writes the row in the `turn`-th of several ways, and says whether the store is said to know of it.
    async fn write(&self, id: usize, turn: usize) -> bool {
        let (row, troubled) = (&*self.rows[id], &self.troubled);
        scope(troubled.clone(), async {
            match turn % 4 {
                0 => drop(write_key(row, id).await),
                1 => drop(write_tag(row, id).await),
                2 => drop(write_after(row, id).await),
                _ => {
                    row.write();
                    let before = troubled.stats().total.deferred;
                    let delivery = troubled.invalidate(&format!("row:{id}")).await;
                    let is_kept = troubled.stats().total.deferred > before;
                    assert_ne!(delivery == Delivery::Applied, is_kept, "it is applied, or kept to be delivered");
                    return delivery == Delivery::Applied;
                }
            }
            troubled.pending() == 0
        })
        .await
    }

    /// Reads and writes through the fault; whatever is said of it is true.
    async fn goes_on(&self) {
        for turn in 0..24 {
            let id = turn % ROWS;
            self.stored(&self.healthy, id).await;
            assert_eq!(self.read(&self.troubled, id).await, self.now(id));
            let applied = self.write(id, turn / ROWS).await;
            if applied {
                assert_eq!(self.read(&self.healthy, id).await, self.now(id), "it was said to be applied");
            }
            assert_eq!(self.read(&self.troubled, id).await, self.now(id), "its own process knows of it");
        }
    }

    /// The fault has ended: what was deferred is delivered, and everything is read and stored as before.
    async fn converges(&self) {
        let began = Instant::now();
        until("what was deferred is delivered", async || self.troubled.pending() == 0).await;
        for id in 0..ROWS {
            assert_eq!(self.read(&self.healthy, id).await, self.now(id));
            assert_eq!(self.read(&self.troubled, id).await, self.now(id));
        }
        for id in 0..ROWS {
            self.stored(&self.troubled, id).await;
            assert!(self.write(id, 3).await, "there is nothing in the way any more");
            assert_eq!(self.read(&self.healthy, id).await, self.now(id));
        }
        assert!(began.elapsed() < CONVERGENCE, "it took {:?}", began.elapsed());
        assert_eq!(self.troubled.stats().total.failures, 0);
    }
}

async fn survives(hurts: bool, harm: impl AsyncFn(&Proxy)) {
    let rig = Rig::new(|builder| builder).await;
    harm(&rig.proxy).await;
    rig.goes_on().await;
    let counts = rig.troubled.stats().total;
    assert_eq!(counts.deferred > 0, hurts, "{counts:?}");
    rig.proxy.heal().await;
    rig.converges().await;
}

/// Whether some invalidations cannot be delivered, and the fault.
macro_rules! survived {
    ($($law:ident: $hurts:literal, |$proxy:ident| $harm:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                survives($hurts, async |$proxy: &Proxy| $harm).await;
            }
        )*
    };
}

survived! {
    no_fault_at_all: false, |_proxy| ();
    a_black_hole: true, |proxy| proxy.both(Fault::Blackhole);
    a_direction_to_the_server_that_is_dead: true, |proxy| proxy.to_server(Fault::Blackhole);
    a_direction_from_the_server_that_is_dead: true, |proxy| proxy.to_client(Fault::Blackhole);
    connections_that_are_reset_at_once: true, |proxy| proxy.to_server(Fault::ResetAfter(1));
    commands_that_are_cut_off: true, |proxy| proxy.to_server(Fault::ResetAfter(3_000));
    answers_that_are_cut_off: true, |proxy| proxy.to_client(Fault::ResetAfter(1_500));
    commands_that_crawl: true, |proxy| proxy.to_server(Fault::Throttle(1_000));
    answers_that_crawl: true, |proxy| proxy.to_client(Fault::Throttle(1_000));
    a_way_that_is_long: false, |proxy| proxy.both(Fault::Delay(DEADLINE / 4));
    a_way_that_is_too_long: true, |proxy| proxy.both(Fault::Delay(DEADLINE));
    answers_that_come_too_late: true, |proxy| proxy.to_client(Fault::Delay(3 * DEADLINE));
    commands_that_are_delivered_twice: false, |proxy| proxy.to_server(Fault::Duplicate(Duration::ZERO));
    commands_that_come_back: false, |proxy| proxy.to_server(Fault::Duplicate(DEADLINE / 2));
    commands_that_come_back_much_later: false, |proxy| proxy.to_server(Fault::Duplicate(5 * DEADLINE));
    connections_that_are_refused: true, |proxy| {
        proxy.refuse().await;
        proxy.cut();
    };
}

/// Every command, also one that invalidates, may have become another. What cannot happen is that a value is served that nobody has stored.
async fn is_never_served(corrupt: impl AsyncFn(&Proxy)) {
    let rig = Rig::new(|builder| builder).await;
    corrupt(&rig.proxy).await;
    for turn in 0..400 {
        let id = turn % ROWS;
        let value = rig.read(&rig.troubled, id).await;
        assert_eq!(value, rig.now(id));
        assert_eq!(rig.read(&rig.healthy, id).await, value);
    }
    let counts = rig.troubled.stats().total;
    assert!(counts.unreadable > 0 || counts.store_failures > 0, "nothing was corrupt: {counts:?}");
    rig.proxy.heal().await;
    rig.converges().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_byte_of_an_answer_is_never_served() {
    for every in [97, 301, 997] {
        is_never_served(async |proxy| proxy.to_client(Fault::Corrupt(every))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_byte_of_a_command_is_never_served() {
    for every in [97, 301, 997] {
        is_never_served(async |proxy| proxy.to_server(Fault::Corrupt(every))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_breaker_is_open_calls_do_not_touch_the_network() {
    let long = Duration::from_secs(3600);
    for harm in [Fault::Blackhole, Fault::Throttle(10), Fault::Delay(3 * DEADLINE)] {
        let rig = Rig::new(|builder| builder.breaker(5, long)).await;
        rig.proxy.to_client(harm);
        // One deadline that is missed, which leaves the connection as it is. What is under way beside it comes to its end.
        scope(rig.troubled.clone(), read(&rig.rows[0], 0)).await;
        tokio::time::sleep(5 * DEADLINE).await;
        let before = rig.proxy.seen();
        let loads = rig.rows[1].loads();
        for _ in 0..500 {
            assert_eq!(rig.read(&rig.troubled, 1).await, rig.now(1));
        }
        let after = rig.proxy.seen();
        assert_eq!((after.commands, after.from_client), (before.commands, before.from_client), "under {harm:?}");
        assert_eq!(after.connections, before.connections);
        assert!(rig.rows[1].loads() >= loads + 500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_make_no_connections_while_they_are_refused() {
    let rig = Rig::new(|builder| builder).await;
    rig.proxy.refuse().await;
    rig.proxy.cut();
    until("it is known", async || {
        rig.read(&rig.troubled, 0).await;
        rig.troubled.stats().total.store_failures > 0
    })
    .await;
    let before = rig.proxy.seen();
    for _ in 0..500 {
        rig.read(&rig.troubled, 1).await;
    }
    assert_eq!(rig.proxy.seen(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_resurrects_nothing() {
    for pause in [0, 3, 20, 150] {
        let rig = Rig::new(|builder| builder).await;
        rig.proxy.to_server(Fault::Duplicate(Duration::from_millis(pause)));
        for turn in 0..120 {
            let id = turn % ROWS;
            // A fill that is just under way, one that is stored, and one that was stored long ago.
            rig.read(&rig.troubled, id).await;
            tokio::time::sleep(Duration::from_millis(pause * (turn as u64 % 3) / 2)).await;
            if rig.write(id, turn / ROWS).await {
                for cache in [&rig.healthy, &rig.troubled] {
                    assert_eq!(rig.read(cache, id).await, rig.now(id), "{pause} ms later, turn {turn}");
                }
            }
        }
        rig.proxy.heal().await;
        rig.converges().await;
    }
}
