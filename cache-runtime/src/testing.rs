//! What tests of annotated functions need: a store that fails when it is told to, and assertions on what was counted. Feature `test-util`.
//!
//! Together with what is always there: [`scope()`](crate::scope()) gives each test a cache of its own, and [`Clock::held`](crate::Clock::held) is a clock that the test moves.
//!
//! - [`Faults`] makes the store of one cache fail, hang or be slow, and heals it.
//! - [`Watch`] counts between two points, and asserts.
//! - [`settled`] waits for what a cache still does beside its callers.
//!
//! # Examples
//!
//! ```
//! use cache_runtime::testing::{Faults, Watch, settled};
//! use cache_runtime::{Cache, cached, invalidates, scope};
//!
//! #[cached(ttl = "5m", key = "price:{sku}")]
//! async fn price(sku: u32) -> u32 {
//!     10 * sku
//! }
//!
//! #[invalidates(key = "price:{sku}")]
//! async fn reprice(sku: u32) {}
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let faults = Faults::new();
//! let cache = Cache::builder().faults(&faults).build()?;
//! scope(cache.clone(), async {
//!     let mut watch = Watch::new(&cache);
//!     price(7).await;
//!     settled(&cache).await;
//!     price(7).await;
//!     watch.function("price").assert_loads(1).assert_hits(1);
//!
//!     watch.restart();
//!     faults.fail();
//!     assert_eq!(price(7).await, 70, "a cache that is down makes no call fail");
//!     reprice(7).await;
//!     watch.function("price").assert_loads(1).assert_hits(0);
//!     assert_eq!(cache.pending(), 1, "nobody could be told");
//!
//!     faults.heal();
//!     settled(&cache).await;
//!     assert_eq!(cache.pending(), 0);
//! })
//! .await;
//! # Ok::<(), cache_runtime::Error>(())
//! # }).unwrap();
//! ```

mod faults;
mod outside;
mod unreliable;
mod watch;

use std::time::Duration;
use std::time::Instant;

use crate::cache::Cache;
pub use crate::testing::faults::Faults;
pub(crate) use crate::testing::outside::Outside;
pub use crate::testing::watch::Counted;
pub use crate::testing::watch::Watch;

/// Waits until everything that was loaded through `cache` is stored, and everything that was invalidated is delivered.
///
/// Both happen beside the caller where the store is not in this process: a call returns as soon as there is a value. A test that goes on to count hits, or has just
/// [healed](Faults::heal) the store, waits here first. It is real time that passes, also where the cache's clock is held; after a failure it can be two seconds until an invalidation is tried again.
///
/// # Panics
///
/// When that has not happened after ten seconds, as when the store still fails, or a load has not ended.
///
/// # Cancel safety
///
/// It only looks.
pub async fn settled(cache: &Cache) {
    let core = cache.core();
    let began = Instant::now();
    loop {
        let (loads, pending) = (core.flights.len(), cache.pending());
        if loads == 0 && pending == 0 && core.closing.is_idle() {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "the cache has not settled: {loads} loads have not ended or are not stored, and {pending} invalidations are pending"
        );
        core.host.sleep(GLANCE).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a wait looks away.
const GLANCE: Duration = Duration::from_millis(1);
