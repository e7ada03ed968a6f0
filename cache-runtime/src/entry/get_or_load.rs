//! The future of [`Entry::get_or_load`](crate::Entry::get_or_load).
//!
//! Written out rather than as an `async fn`, which would hold the load two or three times over: loads nest, and their sizes would multiply. And in three layers, of
//! which each is compiled once for what it has to know: the load itself, the function's value, or nothing of them ([`Stage`]).

mod owned;

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

pub use crate::entry::get_or_load::owned::GetOrLoadOwned;
use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::entry::stage::Stage;
use crate::entry::stage::Way;
use crate::entry::whole;
use crate::error::Error;
use crate::explain::Ending;
use crate::explain::Stale;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::policy::TimeToLive;
use crate::read::Landing;

pin_project! {
    /// Ends with what the function returns, stored or loaded.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct GetOrLoad<K, T, F> {
        pub(super) calling: Calling<T>,
        #[pin]
        pub(super) load: F,
        pub(super) kind: PhantomData<fn() -> K>,
    }
}

/// All of it but the load.
pub(super) struct Calling<T> {
    parts: Parts,
    ttl: T,
    stage: Stage,
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
    pub(super) fn new(parts: Parts, ttl: T) -> Self {
        Self { parts, ttl, stage: Stage::New }
    }

    /// Of the instance of generic code that the type called `here` stands in.
    #[inline]
    pub(super) fn within(mut parts: Parts, ttl: T, here: &'static str) -> Self {
        parts.said.options.here = here;
        Self::new(parts, ttl)
    }

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
        if matches!(self.stage, Stage::New)
            && let Some(whole) = self.begin::<K>()
        {
            return Poll::Ready(whole);
        }
        if let Some(whole) = ready!(self.poll_access::<K>(poller)) {
            return Poll::Ready(whole);
        }
        self.poll_load::<K>(load, poller)
    }

    /// What is stored in this process is served without further ado; otherwise the call is on its way.
    #[inline]
    fn begin<K: Outcome>(&mut self) -> Option<K::Whole>
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        if !self.parts.said.options.rare().unused
            && let Some(whole) = self.parts.local_hit::<K>()
        {
            return Some(whole);
        }
        self.stage = Stage::first(&self.parts, Typed::of::<K>(self.ttl.fixed()));
        None
    }

    /// What there is without loading, if there is anything.
    fn poll_access<K: Outcome>(&mut self, poller: &mut Poller<'_>) -> Poll<Option<K::Whole>>
    where
        K::Value: Cacheable,
    {
        let (whole, how) = match ready!(self.stage.access(self.parts.cache.core(), poller)) {
            Way::Have(loaded, how) => (whole::<K>(loaded), how),
            Way::Rejected => (K::rejected(Error::overload()), Ending::Rejected),
            Way::Load => return Poll::Ready(None),
        };
        if whole.is_some() {
            self.stage.served(how);
        } else {
            self.stage.not_served();
        }
        Poll::Ready(whole)
    }

    fn poll_load<K: Outcome>(
        &mut self,
        mut load: Pin<&mut dyn Future<Output = K::Whole>>,
        poller: &mut Poller<'_>,
    ) -> Poll<K::Whole>
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        let mut polled = Poll::Pending;
        self.stage.within(&mut || polled = load.as_mut().poll(poller));
        let whole = ready!(polled);
        let core = self.parts.cache.core();
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Loading(loading) => {
                let landing = self.parts.landing::<K>(&whole, &self.ttl);
                let old =
                    if let Landing::Failed = landing { loading.fallback().and_then(self::whole::<K>) } else { None };
                if old.is_some() {
                    loading.fall_back(core, Stale::Failed);
                }
                loading.settle(core, landing);
                Poll::Ready(old.unwrap_or(whole))
            }
            Stage::Alone(alone) => {
                alone.end(self.parts.has_failed::<K>(&whole, &self.ttl));
                Poll::Ready(whole)
            }
            Stage::New | Stage::Accessing(..) | Stage::Over => Poll::Ready(whole),
        }
    }

    /// What the caller is given without waiting for its load, which then goes on beside it.
    fn leave<K: Outcome>(&mut self, why: Stale) -> Option<K::Whole>
    where
        K::Value: Cacheable,
    {
        let core = self.parts.cache.core();
        let loading = self.stage.loading()?;
        let old = whole::<K>(loading.fallback()?)?;
        loading.fall_back(core, why);
        loading.detach();
        Some(old)
    }
}

impl<K, T, F> fmt::Debug for GetOrLoad<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}
