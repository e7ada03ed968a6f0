//! A cache for one task, and carrying what a task has into another.

use crate::cache::Cache;
use crate::context::Context;

/// Runs `future` with `cache` in the place of the installed one.
///
/// Every annotated function called in it uses `cache`, unless it names one itself. Meant for tests: each has its own cache, and they run in parallel.
/// What `future` spawns does not know of it, unless [`current`] carries it there.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, cached, global, scope};
///
/// #[cached(ttl = "1m", key = "double:{n}")]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::memory();
/// scope(cache.clone(), async {
///     assert_eq!(double(21).await, 42);
/// })
/// .await;
/// assert_eq!(cache.stats().total.loads, 1);
/// # });
/// ```
pub fn scope<F: Future>(cache: Cache, future: F) -> impl Future<Output = F::Output> {
    let context = Context { cache: Some(cache), ..Context::current() };
    context.carry(future)
}

/// What the current task carries: its cache, the load it is inside of, and the transaction whose invalidations wait.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, global, scope};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// scope(Cache::memory(), async {
///     let scope = scope::current();
///     tokio::spawn(scope.carry(async { /* sees the same cache */ })).await
/// })
/// .await
/// .unwrap();
/// # });
/// ```
pub fn current() -> Scope {
    Scope(Context::current())
}

/// What a task carried when [`current`] was called.
#[derive(Clone, Debug)]
pub struct Scope(Context);

impl Scope {
    /// Runs `future` with all of it, in whatever task that is polled.
    pub fn carry<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        self.0.carry(future)
    }
}
