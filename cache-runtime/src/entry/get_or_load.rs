//! The future of [`Entry::get_or_load`](crate::Entry::get_or_load).
//!
//! Written out rather than as an `async fn`, which would hold the load two or three times over: loads nest, and their sizes would multiply.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;
use tracing::Instrument as _;
use tracing::Span;

use crate::context::Context;
use crate::entry::parts::Parts;
use crate::entry::whole;
use crate::host::Task;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::outcome::Split;
use crate::policy::TimeToLive;
use crate::read;
use crate::read::Access;
use crate::read::Load;
use crate::read::Request;

pin_project! {
    /// Ends with what the function returns, stored or loaded.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct GetOrLoad<K, T, F> {
        parts: Parts,
        ttl: T,
        stage: Stage,
        #[pin]
        load: F,
        kind: PhantomData<fn() -> K>,
    }
}

enum Stage {
    /// Not polled yet: what is stored in this process is served without further ado.
    New,
    /// On the read path.
    Accessing(Arc<Call>, Task<Access>),
    /// Loading, to be accounted for.
    Loading(Arc<Call>, Box<Load>, Context, Span),
    /// Loading, on its own account.
    Alone,
    /// Loading past the cache, which only counts it.
    Unused,
}

/// What does not change during one call.
struct Call {
    request: Request,
    context: Context,
}

impl<K: Outcome, T, F> GetOrLoad<K, T, F> {
    #[inline]
    pub(super) fn new(parts: Parts, ttl: T, load: F) -> Self {
        Self { parts, ttl, stage: Stage::New, load, kind: PhantomData }
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
    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<K::Whole> {
        if matches!(self.stage, Stage::New) {
            if !self.parts.said.options.unused
                && let Some(whole) = self.parts.local_hit::<K>()
            {
                return Poll::Ready(whole);
            }
            let this = self.as_mut().project();
            *this.stage = this.parts.first_stage(|| this.parts.request::<K>(this.ttl.fixed()));
        }
        self.poll_on(poller)
    }
}

impl<K, T, F> GetOrLoad<K, T, F>
where
    K: Outcome,
    K::Value: Cacheable,
    T: TimeToLive<K::Value>,
    F: Future<Output = K::Whole>,
{
    fn poll_on(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<K::Whole> {
        let this = self.project();
        if let Stage::Accessing(call, access) = this.stage {
            match ready!(access.as_mut().poll(poller)) {
                Access::Have(loaded) => match whole::<K>(loaded) {
                    Some(whole) => return Poll::Ready(whole),
                    // Nothing was shared that this function could return.
                    None => *this.stage = Stage::Alone,
                },
                Access::Load(load) => {
                    let inner = load.context(this.parts.cache.core(), &call.request, &call.context);
                    let site = call.request.site;
                    let span = tracing::debug_span!("cache_load", module = site.module(), function = site.function());
                    *this.stage = Stage::Loading(call.clone(), load, inner, span);
                }
            }
        }
        if let Stage::Unused = this.stage {
            return this.load.poll(poller).map(|whole| this.parts.count_failure::<K>(whole));
        }
        let Stage::Loading(_, _, inner, span) = this.stage else { return this.load.poll(poller) };
        let whole = ready!(span.in_scope(|| inner.enter(|| this.load.poll(poller))));
        if let Stage::Loading(call, load, inner, _) = std::mem::replace(this.stage, Stage::Alone) {
            let landing = this.parts.landing::<K>(&whole, this.ttl);
            load.settle(this.parts.cache.core(), &call.request, &call.context, &inner, landing);
        }
        Poll::Ready(whole)
    }
}

impl Parts {
    #[cold]
    fn first_stage(&self, request: impl FnOnce() -> Request) -> Stage {
        if !self.takes_part() {
            self.pass_by();
            return Stage::Unused;
        }
        let call = Arc::new(Call { request: request(), context: self.context() });
        let (core, accessing) = (self.cache.core().clone(), call.clone());
        let access = async move { read::access(&core, &accessing.request, &accessing.context).await };
        let span = tracing::debug_span!("cache_access", module = self.site.module(), function = self.site.function());
        Stage::Accessing(call, Box::pin(access.instrument(span)))
    }

    /// Loads with no look and no right to store, which the load around this one cannot depend on.
    fn pass_by(&self) {
        let counters = self.cache.core().metrics.of(self.site);
        counters.loads.add();
        counters.bypassed.add();
        self.spoil();
    }

    fn count_failure<K: Outcome>(&self, whole: K::Whole) -> K::Whole {
        if matches!(K::split(&whole), Split::Failed) {
            self.cache.core().metrics.of(self.site).failures.add();
        }
        whole
    }
}

impl<K, T, F> fmt::Debug for GetOrLoad<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}
