//! Interleavings inside of one read, between one answer of the store and the next.

mod undelivered;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::*;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::core::Settings;
use crate::host::Threaded;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
use crate::local::Capacity;
use crate::local::Local;
use crate::outcome::returns;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::Targets;
use crate::store::pass_on::passes_on;
use crate::token::LeaseId;
use crate::token::MarkId;

static INNER: Site = Site::cached("tests", "inner").key("inner");
static OUTER: Site = Site::cached("tests", "outer").key("outer");
static STRICT: Site = Site::invalidates("tests", "strict").keys(&["inner"]);

const LONG: Duration = Duration::from_secs(60);

/// It is allocated and moved for each call that is no hit in process.
#[test]
fn the_future_of_a_call_has_no_room_for_what_mostly_does_not_happen() {
    fn size<'a, F>(_: impl Fn(&'a Arc<Core>, &'a Request, &'a Context, &'a Watch) -> F) -> usize {
        size_of::<F>()
    }
    assert!(size(access) <= 2048, "{} bytes", size(access));
}

#[tokio::test]
async fn a_nested_call_joins_no_load_that_is_older_than_its_key_token() {
    let source = Source::new(Pause::BeforeAll);
    source.store.armed.store(true, Ordering::SeqCst);
    let nested = tokio::spawn(source.clone().outer());
    source.store.arrived.notified().await;
    let (direct, go_on) = source.begin_to_load().await;
    source.write();
    assert_eq!(source.cache.invalidate("inner").await, Delivery::Applied);
    source.store.go_on.notify_one();
    // The nested call sees the key's new token, and finds the older load under way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    go_on.notify_one();
    assert_eq!(direct.await.unwrap(), 1, "it began before the mutation");
    nested.await.unwrap();
    assert_eq!(source.outer().await, 2);
}

#[tokio::test]
async fn what_rests_on_a_load_that_it_joined_goes_with_the_key_of_that() {
    let source = Source::new(Pause::BeforeAll);
    let (direct, go_on) = source.begin_to_load().await;
    let nested = tokio::spawn(source.clone().outer());
    // It finds the load, and waits for it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    go_on.notify_one();
    assert_eq!((direct.await.unwrap(), nested.await.unwrap()), (1, 1));
    assert_eq!(source.cache.stats().function("inner").joined, 1);
    source.write();
    assert_eq!(source.cache.invalidate("inner").await, Delivery::Applied);
    assert_eq!(source.outer().await, 2);
}

#[tokio::test]
async fn a_strict_mark_after_the_tokens_were_read_keeps_the_outer_value_from_being_stored() {
    let source = Source::new(Pause::BeforeTheEntry);
    // From here on the inner key has a token.
    assert_eq!(source.clone().outer().await, 1);
    assert_eq!(source.cache.invalidate("outer").await, Delivery::Applied);
    source.store.armed.store(true, Ordering::SeqCst);
    let nested = tokio::spawn(source.clone().outer());
    source.store.arrived.notified().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mutation = tokio::spawn({
        let (source, begun, go_on) = (source.clone(), begun.clone(), go_on.clone());
        async move {
            let body = async {
                begun.notify_one();
                go_on.notified().await;
                source.write();
            };
            source.cache.invalidation(&STRICT).mode(Mode::Linearizable).run(body).await;
        }
    });
    begun.notified().await;
    source.store.go_on.notify_one();
    nested.await.unwrap();
    go_on.notify_one();
    mutation.await.unwrap();
    assert_eq!(source.outer().await, 2);
}

#[tokio::test]
async fn a_fill_ends_its_lease_and_one_that_fails_gives_it_up() {
    for (fails, released) in [(false, 0), (true, 1)] {
        let source = Source::new(Pause::Never);
        source.store.fails.store(fails, Ordering::SeqCst);
        let load = async { source.version() };
        assert_eq!(source.cache.entry(&INNER, returns::<u64>().kind()).ttl(LONG).get_or_load(load).await, 1);
        let _ = source.cache.close(LONG).await;
        let counts = source.cache.stats().total;
        assert_eq!((counts.fills, counts.refused), (u64::from(!fails), u64::from(fails)));
        assert_eq!(source.store.released.load(Ordering::SeqCst), released, "fails: {fails}");
    }
}

#[tokio::test]
async fn a_store_that_keeps_no_token_costs_a_nested_call_some_looks_and_no_more() {
    let source = Source::new(Pause::Never);
    source.store.forgets.store(true, Ordering::SeqCst);
    assert_eq!(source.clone().outer().await, 1);
    assert_eq!(source.cache.stats().function("outer").refused, 1, "nothing stands for what it rests on");
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn what_an_entry_inherited_is_read_with_it_from_the_second_hit_on() {
    let clock = Clock::system();
    let local = Arc::new(Local::new(Capacity::default(), clock.clone()));
    let source = Source::over(Arc::new(crate::testing::Outside(local)), clock, Pause::Never);
    assert_eq!(source.clone().outer().await, 1);
    while source.cache.stats().total.fills < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(source.clone().outer().await, 1);
    let reads = source.store.reads.load(Ordering::SeqCst);
    for more in 1..=3 {
        assert_eq!(source.clone().outer().await, 1);
        assert_eq!(source.store.reads.load(Ordering::SeqCst) - reads, more, "one question for each hit");
    }
    assert_eq!(source.cache.stats().total.loads, 2);
}

#[cfg(feature = "sim")]
#[tokio::test]
async fn in_process_a_clock_that_is_set_back_makes_no_entry_last() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    let read = async |value| {
        let entry = cache.entry(&INNER, returns::<u64>().kind()).ttl(LONG).jitter(0.0).stale_if_error(60 * LONG);
        entry.get_or_load(std::future::ready(value)).await
    };
    assert_eq!(read(1).await, 1);
    clock.set_ahead(-3_600_000);
    clock.advance(LONG);
    assert_eq!(read(2).await, 2);
}

/// A number that is read through a cache, and through another entry around that.
#[derive(Clone)]
struct Source {
    cache: Cache,
    store: Arc<Gated>,
    version: Arc<AtomicU64>,
}

impl Source {
    fn new(pause: Pause) -> Self {
        let clock = Clock::system();
        Self::over(Arc::new(Local::new(Capacity::default(), clock.clone())), clock, pause)
    }

    fn over(inner: Arc<dyn Store>, clock: Clock, pause: Pause) -> Self {
        let store = Arc::new(Gated {
            inner,
            pause,
            armed: AtomicBool::new(false),
            arrived: Notify::new(),
            go_on: Notify::new(),
            fails: AtomicBool::new(false),
            forgets: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            released: AtomicU64::new(0),
        });
        let core = Core::new(store.clone(), Arc::new(Threaded::default()), clock, Settings::default());
        Self { cache: Cache::from_core(core), store, version: Arc::new(AtomicU64::new(1)) }
    }

    async fn outer(self) -> u64 {
        let inner = async {
            let load = async { self.version() };
            self.cache.entry(&INNER, returns::<u64>().kind()).ttl(LONG).get_or_load(load).await
        };
        self.cache.entry(&OUTER, returns::<u64>().kind()).ttl(LONG).get_or_load(inner).await
    }

    /// A load of the inner entry on its own account, which has read the number and ends when it may go on.
    async fn begin_to_load(&self) -> (tokio::task::JoinHandle<u64>, Arc<Notify>) {
        let (source, loading, go_on) = (self.clone(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (has_read, may_go_on) = (loading.clone(), go_on.clone());
        let direct = tokio::spawn(async move {
            let load = async {
                let value = source.version();
                has_read.notify_one();
                may_go_on.notified().await;
                value
            };
            source.cache.entry(&INNER, returns::<u64>().kind()).ttl(LONG).get_or_load(load).await
        });
        loading.notified().await;
        (direct, go_on)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn write(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

/// A store that stops once, when it is armed, in a nested read of the inner key.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Store>,
    pause: Pause,
    armed: AtomicBool,
    arrived: Notify,
    go_on: Notify,
    /// Whether nothing can be stored.
    fails: AtomicBool,
    /// Whether no token is kept.
    forgets: AtomicBool,
    reads: AtomicU64,
    released: AtomicU64,
}

/// Where it stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    Never,
    BeforeAll,
    /// Between the tokens and the entry.
    BeforeTheEntry,
}

impl Gated {
    async fn pause(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.arrived.notify_one();
            self.go_on.notified().await;
        }
    }

    async fn read_one(&self, read: Read) -> Result<Reading, crate::store::StoreError> {
        let of_inner = |register: &Register| matches!(register, Register::Key(key) if key.as_str() == "inner");
        let nested = read.registers.iter().any(of_inner);
        if nested && self.pause == Pause::BeforeAll {
            self.pause().await;
        }
        assert!(self.reads.fetch_add(1, Ordering::SeqCst) < 1000, "it looks without end");
        let mut states = self.inner.read(vec![Read { entry: None, registers: read.registers }]).await?.remove(0).states;
        if self.forgets.load(Ordering::SeqCst) {
            states.fill(crate::token::State::Absent);
        }
        if nested && self.pause == Pause::BeforeTheEntry {
            self.pause().await;
        }
        let entry = self.inner.read(vec![Read { entry: read.entry, registers: Vec::new() }]).await?.remove(0).entry;
        Ok(Reading { entry, states })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Gated {
    passes_on!(inner: keeps ready begin renew touch live_on mark revoke lists listed discard);

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        Box::pin(async move {
            let mut readings = Vec::new();
            for read in reads {
                readings.push(self.read_one(read).await?);
            }
            Ok(readings)
        })
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.released.fetch_add(1, Ordering::SeqCst);
        self.inner.release(key, lease)
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(crate::store::StoreError::Away("it is full".to_owned()))));
        }
        self.inner.fill(fill)
    }
}
