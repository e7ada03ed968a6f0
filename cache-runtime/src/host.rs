//! Where a cache runs what is not its callers': timers, renewals, and what a dropped future left to be done.
//!
//! A cache is called from any executor, from several at once, and from runtimes that end before it does, as in one
//! `#[tokio::test]` after another. So it owns one thread with a runtime of its own, started when it is first needed, and nothing of
//! the cache ever lives on a caller's. The simulation puts a seeded one in its place.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use once_cell::sync::OnceCell;
use tokio::runtime::Builder;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A future that owns everything it touches.
pub(crate) type Task<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a cache needs from the world besides a store and a clock.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// Runs `task` to its end, beside the caller.
    fn spawn(&self, task: Task);

    /// Ends once `duration` has passed.
    fn sleep(&self, duration: Duration) -> Task;

    /// 128 random bits, never the same again.
    fn random(&self) -> u128;
}

/// The real host: a thread of the cache, or a runtime the application lends.
#[derive(Debug, Default)]
pub(crate) struct Threaded {
    running: OnceCell<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    handle: Handle,
    /// Dropped with the cache, which ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

impl Threaded {
    /// A host on a runtime of the application, which must have its timers and its I/O enabled and outlive the cache.
    pub(crate) fn on(handle: Handle) -> Self {
        Self { running: OnceCell::with_value(Some(Running { handle, _stop: None })) }
    }

    /// The runtime, started if it was not; `None` if the system has no thread to give.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        let running = self.running.get_or_init(|| {
            start().inspect_err(|error| tracing::error!(%error, "the cache has no thread of its own; it will not wait for anything")).ok()
        });
        running.as_ref().map(|running| &running.handle)
    }
}

fn start() -> std::io::Result<Running> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    thread::Builder::new().name("cache".into()).spawn(move || runtime.block_on(async { drop(stopped.await) }))?;
    Ok(Running { handle, _stop: Some(stop) })
}

impl Host for Threaded {
    fn spawn(&self, task: Task) {
        if let Some(handle) = self.handle() {
            handle.spawn(task);
        }
    }

    fn sleep(&self, duration: Duration) -> Task {
        let (wake, woken) = oneshot::channel::<()>();
        self.spawn(Box::pin(async move {
            let mut wake = wake;
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                () = wake.closed() => {}
            }
        }));
        Box::pin(async { drop(woken.await) })
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

/// Runs `future`, or gives up on it after `limit`.
pub(crate) async fn within<T>(host: &dyn Host, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    if let Some(done) = once(future.as_mut()).await {
        return Some(done);
    }
    let mut timer = host.sleep(limit);
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(done));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Polls `future` one time, so that what is ready needs no timer.
async fn once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

/// A host shared by everything of one cache.
pub(crate) type SharedHost = Arc<dyn Host>;

#[cfg(all(test, feature = "test-util"))]
pub(crate) mod held;
