//! A process that has invalidated, and could not tell the store, reads none of what it invalidated: others have stored it meanwhile.

use super::*;

static READ: Site = Site::cached("tests", "read").key("inner");

#[tokio::test]
async fn a_caller_that_polls_is_not_given_what_its_process_has_invalidated() {
    let source = Shared::new();
    let theirs = source.begin_to_load_elsewhere().await;
    source.invalidate_in_vain().await;
    let ours = tokio::spawn(source.clone().outer(source.ours.clone()));
    // It finds the lease taken, and waits for the other's entry.
    source.store.begun.notified().await;
    source.go_on.notify_one();
    assert_eq!(theirs.await.unwrap(), 1, "it began before the mutation");
    assert_eq!(ours.await.unwrap(), 2);
}

#[tokio::test]
async fn a_look_is_not_given_what_its_process_has_invalidated() {
    let source = Shared::new();
    let theirs = source.begin_to_load_elsewhere().await;
    source.go_on.notify_one();
    theirs.await.unwrap();
    let stored = || source.ours.entry(&OUTER, returns::<u64>().kind()).ttl(LONG).get();
    assert_eq!(stored().await, Some(1));
    source.invalidate_in_vain().await;
    assert_eq!(stored().await, None);
}

#[tokio::test]
async fn what_was_delivered_while_it_looked_and_is_none_of_its_own_costs_a_caller_no_load() {
    let source = Shared::new();
    let read = || source.clone().outer(source.ours.clone());
    assert_eq!(read().await, 1);
    assert_eq!(source.ours.invalidate("another").await, Delivery::Deferred);
    source.store.slow.store(true, Ordering::SeqCst);
    let again = tokio::spawn(read());
    source.store.reading.notified().await;
    source.store.hears.store(true, Ordering::SeqCst);
    while source.ours.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let loads = source.ours.stats().total.loads;
    source.store.go_on.notify_one();
    assert_eq!(again.await.unwrap(), 1);
    assert_eq!(source.ours.stats().total.loads, loads);
}

/// A number that two processes read through one store, one of which cannot be heard by it.
#[derive(Clone)]
struct Shared {
    ours: Cache,
    theirs: Cache,
    store: Arc<Deaf>,
    version: Arc<AtomicU64>,
    go_on: Arc<Notify>,
}

impl Shared {
    fn new() -> Self {
        let clock = Clock::system();
        let inner = Arc::new(Local::new(Capacity::default(), clock.clone()));
        let store = Arc::new(Deaf::new(inner.clone()));
        let cache = |store: Arc<dyn Store>| {
            Cache::from_core(Core::new(store, Arc::new(Threaded::default()), clock.clone(), Settings::default()))
        };
        let (ours, theirs) = (cache(store.clone()), cache(inner));
        Self { ours, theirs, store, version: Arc::new(AtomicU64::new(1)), go_on: Arc::default() }
    }

    async fn outer(self, cache: Cache) -> u64 {
        let load = async {
            let value = async { self.version.load(Ordering::SeqCst) };
            cache.entry(&READ, returns::<u64>().kind()).ttl(LONG).get_or_load(value).await
        };
        cache.entry(&OUTER, returns::<u64>().kind()).ttl(LONG).get_or_load(load).await
    }

    /// Another process has read the row, and stores what it made of it when it may go on.
    async fn begin_to_load_elsewhere(&self) -> tokio::task::JoinHandle<u64> {
        let (source, loading) = (self.clone(), Arc::new(Notify::new()));
        let loaded = loading.clone();
        let theirs = tokio::spawn(async move {
            let load = async {
                let value = async { source.version.load(Ordering::SeqCst) };
                let value = source.theirs.entry(&READ, returns::<u64>().kind()).ttl(LONG).get_or_load(value).await;
                loaded.notify_one();
                source.go_on.notified().await;
                value
            };
            source.theirs.entry(&OUTER, returns::<u64>().kind()).ttl(LONG).get_or_load(load).await
        });
        loading.notified().await;
        theirs
    }

    async fn invalidate_in_vain(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.ours.invalidate("inner").await, Delivery::Deferred);
    }
}

/// A store that hears of no invalidation, until it does.
#[derive(Debug)]
struct Deaf {
    inner: Arc<Local>,
    begun: Notify,
    hears: AtomicBool,
    /// Whether the next read takes until it may go on, once it has read.
    slow: AtomicBool,
    reading: Notify,
    go_on: Notify,
}

impl Deaf {
    fn new(inner: Arc<Local>) -> Self {
        let (hears, slow) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner, begun: Notify::new(), hears, slow, reading: Notify::new(), go_on: Notify::new() }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Deaf {
    passes_on!(inner: keeps ready renew release fill touch live_on mark lists listed discard);

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        if !self.slow.swap(false, Ordering::SeqCst) {
            return self.inner.read(reads);
        }
        Box::pin(async move {
            let readings = self.inner.read(reads).await;
            self.reading.notify_one();
            self.go_on.notified().await;
            readings
        })
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        self.begun.notify_one();
        self.inner.begin(begin)
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        if self.hears.load(Ordering::SeqCst) {
            return self.inner.revoke(targets, ended);
        }
        Box::pin(std::future::ready(Err(crate::store::StoreError::Away("it is deaf".to_owned()))))
    }
}
