//! A cache for one task, and carrying what a task has into another.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context as Poller;
use std::task::Poll;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::cache::Cache;
use crate::context::Carried;
use crate::context::Context;
use crate::explain::Calls;
use crate::explain::Recorder;
use crate::explain::Trace;
use crate::host::within;

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
pub fn scope<F: Future>(cache: Cache, future: F) -> Scoped<F> {
    let context = Context { cache: Some(cache), ..Context::current() };
    Scoped { carried: context.carry(future) }
}

pin_project! {
    /// The future of [`scope()`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scoped<F> {
        #[pin]
        carried: Carried<F>,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        self.project().carried.poll(poller)
    }
}

impl<F: Future> Scoped<F> {
    /// Lists the calls of cached functions and mutators in the scope, and says of each why it went as it did.
    ///
    /// Calls in spawned tasks are among them if the task [carries](Scope::carry) the scope. The list is taken when the future has ended and what it loaded is
    /// stored, which is waited for at most five seconds. Calls inside of a load or a mutation stand under it. Meant for tests: while it is asked for, a hit takes
    /// the longer way.
    ///
    /// # Cancel safety
    ///
    /// The same as that of the future in the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::explain::{Ending, Miss};
    /// use cache_runtime::{Cache, cached, global, scope};
    ///
    /// #[cached(ttl = "1m", key = "double:{n}", tags = ["doubles"])]
    /// async fn double(n: u64) -> u64 {
    ///     2 * n
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let calls = async {
    ///     double(21).await;
    ///     double(21).await;
    ///     global().invalidate_tags(["doubles"]).await;
    ///     double(21).await
    /// };
    /// let (answer, calls) = scope(Cache::memory(), calls).explain().await;
    /// assert_eq!(answer, 42);
    /// assert_eq!(calls[0].missed, Some(Miss::Absent));
    /// assert_eq!(calls[1].ending, Ending::Hit);
    /// assert_eq!(calls[2].to_string(), "invalidate_tags: mutation of 0 keys and 1 tags, after: applied");
    /// assert_eq!(calls[3].missed, Some(Miss::TokenGone));
    /// # });
    /// ```
    pub fn explain(mut self) -> impl Future<Output = (F::Output, Calls)> {
        let recorder = Arc::<Recorder>::default();
        self.carried.context.trace = Some(Arc::new(Trace::new(recorder.clone())));
        let cache = self.carried.context.cache.clone();
        async move {
            let output = self.await;
            if let Some(cache) = cache {
                // What is not stored by then is listed as pending.
                let _ = within(&*cache.core().host, SETTLING, recorder.settled()).await;
            }
            (output, recorder.calls())
        }
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

const SETTLING: Duration = Duration::from_secs(5);

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
