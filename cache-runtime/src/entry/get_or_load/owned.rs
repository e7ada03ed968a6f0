//! The future of [`Entry::get_or_load_owned`](crate::Entry::get_or_load_owned): a load that can go on beside its caller.
//!
//! Until it is known that the function has to run, nothing is allocated. Then the load gets a place of its own, which it can leave its caller in, half-way as it is.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;

use super::Calling;
use crate::entry::parts::Parts;
use crate::entry::stage::Stage;
use crate::explain::Stale;
use crate::host::Task;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::policy::TimeToLive;

pin_project! {
    /// The same with a load that can go on beside its caller. See [`Entry::get_or_load_owned`](crate::Entry::get_or_load_owned).
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct GetOrLoadOwned<K, T, F> {
        // Gone with the load that goes on.
        calling: Option<Calling<T>>,
        // Not polled yet, and so free to go anywhere.
        load: Option<F>,
        running: Option<Pin<Box<F>>>,
        soft_timeout: Option<Task>,
        kind: PhantomData<fn() -> K>,
    }
}

impl<K, T, F> GetOrLoadOwned<K, T, F> {
    #[inline]
    pub(in crate::entry) fn new(parts: Parts, ttl: T, load: F) -> Self {
        let calling = Some(Calling::new(parts, ttl));
        Self { calling, load: Some(load), running: None, soft_timeout: None, kind: PhantomData }
    }
}

impl<K, T, F> Future for GetOrLoadOwned<K, T, F>
where
    K: Outcome + 'static,
    K::Value: Cacheable,
    T: TimeToLive<K::Value> + Send + 'static,
    F: Future<Output = K::Whole> + Send + 'static,
{
    type Output = K::Whole;

    #[inline]
    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<K::Whole> {
        let this = self.project();
        if let Some(calling) = this.calling
            && matches!(calling.stage, Stage::New)
            && let Some(whole) = calling.begin::<K>()
        {
            return Poll::Ready(whole);
        }
        Owned { calling: this.calling, load: this.load, running: this.running, soft_timeout: this.soft_timeout }
            .poll_on::<K>(poller)
    }
}

/// The parts of a [`GetOrLoadOwned`] that is not answered at once.
struct Owned<'a, T, F> {
    calling: &'a mut Option<Calling<T>>,
    load: &'a mut Option<F>,
    running: &'a mut Option<Pin<Box<F>>>,
    soft_timeout: &'a mut Option<Task>,
}

impl<T, F> Owned<'_, T, F> {
    fn poll_on<K>(self, poller: &mut Poller<'_>) -> Poll<K::Whole>
    where
        K: Outcome + 'static,
        K::Value: Cacheable,
        T: TimeToLive<K::Value> + Send + 'static,
        F: Future<Output = K::Whole> + Send + 'static,
    {
        // There is one until this has ended.
        let Some(calling) = self.calling else { return Poll::Pending };
        let runtime = Handle::try_current().ok();
        if let Some(load) = self.load.take() {
            match calling.poll_access::<K>(poller) {
                Poll::Pending => {
                    *self.load = Some(load);
                    return Poll::Pending;
                }
                Poll::Ready(Some(whole)) => return Poll::Ready(whole),
                Poll::Ready(None) => *self.running = Some(Box::pin(load)),
            }
            let refreshes = calling.stage.loading().is_some_and(|loading| loading.is_a_refresh());
            if let Some(runtime) = runtime.as_ref().filter(|_| refreshes)
                && let Some(old) = calling.leave::<K>(Stale::Revalidating)
            {
                go_on::<K, T, F>(runtime, self.calling.take(), self.running.take());
                return Poll::Ready(old);
            }
            *self.soft_timeout = calling.soft_timeout();
        }
        let Some(running) = self.running else { return Poll::Pending };
        if let Poll::Ready(whole) = calling.poll_load::<K>(running.as_mut(), poller) {
            return Poll::Ready(whole);
        }
        let Some(timeout) = self.soft_timeout else { return Poll::Pending };
        ready!(timeout.as_mut().poll(poller));
        *self.soft_timeout = None;
        match runtime.and_then(|runtime| Some((calling.leave::<K>(Stale::Slow)?, runtime))) {
            Some((old, runtime)) => {
                go_on::<K, T, F>(&runtime, self.calling.take(), self.running.take());
                Poll::Ready(old)
            }
            None => Poll::Pending,
        }
    }
}

/// Lets a load go on beside its caller.
fn go_on<K, T, F>(runtime: &Handle, calling: Option<Calling<T>>, running: Option<Pin<Box<F>>>)
where
    K: Outcome + 'static,
    K::Value: Cacheable,
    T: TimeToLive<K::Value> + Send + 'static,
    F: Future<Output = K::Whole> + Send + 'static,
{
    let (Some(mut calling), Some(mut running)) = (calling, running) else { return };
    let ended = poll_fn(move |poller| calling.poll_load::<K>(running.as_mut(), poller).map(drop));
    runtime.spawn(ended);
}

impl<T> Calling<T> {
    /// Ends when the caller would rather have an old value.
    fn soft_timeout(&mut self) -> Option<Task> {
        let core = self.parts.cache.core();
        let deadline = self.stage.loading()?.soft_deadline()?;
        Some(core.host.sleep(deadline.since(core.clock.now())))
    }
}

impl<K, T, F> fmt::Debug for GetOrLoadOwned<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoadOwned").finish_non_exhaustive()
    }
}
