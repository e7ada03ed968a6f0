//! What the laws share: a row of a database, and every store to hold them against.
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod traced;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Site;
use cache_runtime::returns;
use cache_runtime::sim::Server;
use tokio::sync::Semaphore;

/// One row of a database, and everything that happens to it.
pub(crate) struct Row {
    pub(crate) version: AtomicU64,
    loads: AtomicUsize,
    loading: AtomicUsize,
    most_loading: AtomicUsize,
    /// A permit lets one load go on after it has read the row.
    pub(crate) gate: Semaphore,
}

impl Row {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_gate(Semaphore::MAX_PERMITS)
    }

    pub(crate) fn with_gate(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            version: AtomicU64::new(1),
            loads: AtomicUsize::new(0),
            loading: AtomicUsize::new(0),
            most_loading: AtomicUsize::new(0),
            gate: Semaphore::new(permits),
        })
    }

    pub(crate) async fn read(&self) -> u64 {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let loading = self.loading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_loading.fetch_max(loading, Ordering::SeqCst);
        let _loading = Loading(&self.loading);
        let version = self.version.load(Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        version
    }

    pub(crate) fn write(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// The most loads that ran at one time.
    pub(crate) fn most_loading(&self) -> usize {
        self.most_loading.load(Ordering::SeqCst)
    }

    /// Waits until so many loads have begun.
    pub(crate) async fn has_loads(&self, loads: usize) {
        until("so many loads have begun", async || self.loads() >= loads).await;
    }
}

/// One of those who load, be it that it is dropped.
struct Loading<'a>(&'a AtomicUsize);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until what was loaded is stored, which is off the caller's path.
pub(crate) async fn settled(id: u64) {
    static ROW: Site = Site::cached("laws", "settled").key("row:{id}").tags(&["rows", "row:{id}"]);
    let entry = || cache_runtime::global().entry(&ROW, returns::<u64>().kind()).key(&[&id]).tags(&[&id]);
    until("it is stored", async || entry().get().await.is_some()).await;
}

/// Waits until `function` of `cache` has stored so many entries.
pub(crate) async fn filled(cache: &Cache, function: &str, fills: u64) {
    until("so many are stored", async || cache.stats().function(function).fills >= fills).await;
}

/// Waits for what is sure to come.
pub(crate) async fn until(what: &str, mut come: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !come().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, waiting).await;
}

/// The output of `future`, which has to end: nobody waits for ever.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// A cache on `server` with time to spare, as on a machine that does other things too.
pub(crate) async fn connected(server: &Server) -> Cache {
    guarding(server, GUARD).await
}

/// The same, with marks that live for so long after a mutation was dropped. A lease that nobody gives up outlives every test here, so that none is saved by it.
pub(crate) async fn guarding(server: &Server, guard: Duration) -> Cache {
    guarding_at(&server.url(), guard).await
}

/// The same on the store at `url`.
pub(crate) async fn guarding_at(url: &str, guard: Duration) -> Cache {
    let builder = Cache::builder().url(url).secret(SECRET).guard(guard).lease(2 * PATIENCE);
    builder.op_timeout(Duration::from_secs(5)).connect_timeout(Duration::from_secs(5)).connect().await.unwrap()
}

/// What hides parts of keys.
pub(crate) const SECRET: &str = "known to nobody else";

pub(crate) const GUARD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(30);

/// Tests of each law, in process, on Redis, on one Memcached server and on three. A law is given the cache that its task uses, and another that uses the same store.
macro_rules! on_every_store {
    ($($law:ident)*) => {
        on_every_store! { guard = crate::common::GUARD; $($law)* }
    };
    (guard = $guard:expr; $($law:ident)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let cache = cache_runtime::Cache::builder().guard($guard).build().unwrap();
                    cache_runtime::scope(cache.clone(), super::$law(cache.clone(), cache)).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = cache_runtime::sim::Server::start();
                    let (cache, other) = (crate::common::guarding(&server, $guard).await, crate::common::guarding(&server, $guard).await);
                    cache_runtime::scope(cache.clone(), super::$law(cache, other)).await;
                }
            )*
        }
        mod memcached {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let server = cache_runtime::sim::Memcached::start();
                    let (cache, other) =
                        (crate::common::guarding_at(&server.url(), $guard).await, crate::common::guarding_at(&server.url(), $guard).await);
                    cache_runtime::scope(cache.clone(), super::$law(cache, other)).await;
                }
            )*
        }
        mod fleet {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let servers = [(); 3].map(|()| cache_runtime::sim::Memcached::start());
                    let url = cache_runtime::sim::Memcached::url_of(&servers);
                    let (cache, other) = (crate::common::guarding_at(&url, $guard).await, crate::common::guarding_at(&url, $guard).await);
                    cache_runtime::scope(cache.clone(), super::$law(cache, other)).await;
                }
            )*
        }
    };
}
