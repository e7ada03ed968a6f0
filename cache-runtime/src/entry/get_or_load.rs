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
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::host::Task;
use crate::metrics::Happened;
use crate::metrics::Timer;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::outcome::Split;
use crate::policy::TimeToLive;
use crate::read;
use crate::read::Access;
use crate::read::Load;
use crate::read::Request;
use crate::watch::Watch;

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
    /// Loading, on its own account, and in a context where that is not the task's.
    Alone(Arc<Watch>, Option<Context>, Bypass, Timer),
    Over,
}

/// What does not change during one call.
struct Call {
    request: Request,
    context: Context,
    watch: Arc<Watch>,
}

/// Loads for nobody but its caller, in no frame of its own.
fn alone(watch: Arc<Watch>, outer: Context, why: Bypass) -> Stage {
    watch.loads(Some(why));
    let inner = Context { trace: watch.inside(), ..outer };
    let differs = inner.trace.is_some() || inner.no_fill.is_some();
    Stage::Alone(watch, differs.then_some(inner), why, Timer::start())
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
            let stage = match ready!(access.as_mut().poll(poller)) {
                Access::Have(loaded, how) => match whole::<K>(loaded) {
                    Some(whole) => {
                        call.watch.end(how);
                        return Poll::Ready(whole);
                    }
                    // Nothing was shared that this function could return.
                    None => alone(call.watch.clone(), call.context.clone(), Bypass::OtherOutcome),
                },
                Access::Load(load) => {
                    let inner = load.context(this.parts.cache.core(), &call.request, &call.context, &call.watch);
                    let span = call.watch.load_span();
                    Stage::Loading(call.clone(), load, inner, span)
                }
            };
            *this.stage = stage;
        }
        let whole = ready!(match this.stage {
            Stage::Loading(_, _, inner, span) => span.in_scope(|| inner.enter(|| this.load.poll(poller))),
            Stage::Alone(_, Some(inner), ..) => inner.enter(|| this.load.poll(poller)),
            Stage::New | Stage::Accessing(..) | Stage::Alone(_, None, ..) | Stage::Over => this.load.poll(poller),
        });
        match std::mem::replace(this.stage, Stage::Over) {
            Stage::Loading(call, load, inner, _) => {
                let landing = this.parts.landing::<K>(&whole, this.ttl);
                let contexts = (&call.context, &inner);
                load.settle(this.parts.cache.core(), &call.request, contexts, &call.watch, landing);
            }
            Stage::Alone(watch, _, why, timer) => {
                watch.loaded(&timer);
                if matches!(K::split(&whole), Split::Failed) {
                    watch.count(Happened::LoadFailed);
                }
                watch.end(Ending::Bypassed(why));
            }
            Stage::New | Stage::Accessing(..) | Stage::Over => {}
        }
        Poll::Ready(whole)
    }
}

impl Parts {
    #[cold]
    fn first_stage(&self, request: impl FnOnce() -> Request) -> Stage {
        let (core, context) = (self.cache.core(), self.context());
        let watch = Arc::new(Watch::call(core, self.site, &context));
        if let Some(why) = self.no_part() {
            self.spoil();
            return alone(watch, context, why);
        }
        let call = Arc::new(Call { request: request(), context, watch });
        let (core, accessing, span) = (core.clone(), call.clone(), call.watch.span.clone());
        let access = async move { read::access(&core, &accessing.request, &accessing.context, &accessing.watch).await };
        Stage::Accessing(call, Box::pin(access.instrument(span)))
    }
}

impl<K, T, F> fmt::Debug for GetOrLoad<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}
