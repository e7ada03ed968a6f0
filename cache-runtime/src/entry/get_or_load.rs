//! The future of [`Entry::get_or_load`](crate::Entry::get_or_load).
//!
//! Written out rather than as an `async fn`, which would hold the load two or three times over: loads nest, and their sizes would multiply. And in three layers, of
//! which each is compiled once for what it has to know: the load itself, the function's value, or nothing of them ([`Stage`]).

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::entry::stage::Stage;
use crate::entry::whole;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::outcome::Split;
use crate::policy::TimeToLive;

pin_project! {
    /// Ends with what the function returns, stored or loaded.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct GetOrLoad<K, T, F> {
        calling: Calling<T>,
        #[pin]
        load: F,
        kind: PhantomData<fn() -> K>,
    }
}

/// All of it but the load.
struct Calling<T> {
    parts: Parts,
    ttl: T,
    stage: Stage,
}

impl<K: Outcome, T, F> GetOrLoad<K, T, F> {
    #[inline]
    pub(super) fn new(parts: Parts, ttl: T, load: F) -> Self {
        Self { calling: Calling { parts, ttl, stage: Stage::New }, load, kind: PhantomData }
    }
}

impl<K, T, F> Future for GetOrLoad<K, T, F>
where
    K: Outcome,
    K::Value: Cacheable,
    T: TimeToLive<K::Value>,
    F: Future<Output = K::Whole>,
{
    type Output = K::Whole;

    #[inline]
    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<K::Whole> {
        let this = self.project();
        this.calling.poll::<K>(this.load, poller)
    }
}

impl<T> Calling<T> {
    #[inline]
    fn poll<K: Outcome>(
        &mut self,
        load: Pin<&mut dyn Future<Output = K::Whole>>,
        poller: &mut Poller<'_>,
    ) -> Poll<K::Whole>
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        if matches!(self.stage, Stage::New) {
            if !self.parts.said.options.rare().unused
                && let Some(whole) = self.parts.local_hit::<K>()
            {
                return Poll::Ready(whole);
            }
            self.stage = Stage::first(&self.parts, Typed::of::<K>(self.ttl.fixed()));
        }
        self.poll_on::<K>(load, poller)
    }

    fn poll_on<K: Outcome>(
        &mut self,
        mut load: Pin<&mut dyn Future<Output = K::Whole>>,
        poller: &mut Poller<'_>,
    ) -> Poll<K::Whole>
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        if let Some((loaded, how)) = ready!(self.stage.access(self.parts.cache.core(), poller)) {
            if let Some(whole) = whole::<K>(loaded) {
                self.stage.served(how);
                return Poll::Ready(whole);
            }
            self.stage.not_served();
        }
        let mut polled = Poll::Pending;
        self.stage.within(&mut || polled = load.as_mut().poll(poller));
        let whole = ready!(polled);
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Loading(loading) => {
                let landing = self.parts.landing::<K>(&whole, &self.ttl);
                loading.settle(self.parts.cache.core(), landing);
            }
            Stage::Alone(alone) => alone.end(matches!(K::split(&whole), Split::Failed)),
            Stage::New | Stage::Accessing(..) | Stage::Over => {}
        }
        Poll::Ready(whole)
    }
}

impl<K, T, F> fmt::Debug for GetOrLoad<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}
