//! How far a call of [`Entry::get_or_load`](crate::Entry::get_or_load) has come, without the types of its function.
//!
//! Every annotated function has a load of a type of its own. What does not have to know that type stands here, so that it is compiled once.

use std::sync::Arc;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use tracing::Instrument as _;
use tracing::Span;

use crate::clock::Moment;
use crate::context::Context;
use crate::core::Core;
use crate::core::Loaded;
use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Stale;
use crate::host::Task;
use crate::metrics::Happened;
use crate::metrics::Timer;
use crate::read;
use crate::read::Access;
use crate::read::Landing;
use crate::read::Load;
use crate::read::Request;
use crate::watch::Watch;

pub(super) enum Stage {
    /// Not polled yet: what is stored in this process is served without further ado.
    New,
    /// On the read path.
    Accessing(Arc<Call>, Task<Access>),
    /// Loading, to be accounted for.
    Loading(Box<Loading>),
    /// Loading, on its own account.
    Alone(Box<Alone>),
    Over,
}

/// What does not change during one call.
pub(super) struct Call {
    request: Request,
    context: Context,
    watch: Arc<Watch>,
}

pub(super) struct Loading {
    call: Arc<Call>,
    load: Box<Load>,
    /// That of the caller, and that of the load.
    outer: Context,
    context: Context,
    span: Span,
}

/// What the read path came to.
pub(super) enum Way {
    /// What there is without loading, and how the call came by it.
    Have(Loaded, Ending),
    /// Not to load either.
    Rejected,
    Load,
}

pub(super) struct Alone {
    watch: Arc<Watch>,
    /// Where it is not the task's.
    context: Option<Context>,
    span: Span,
    why: Bypass,
    timer: Timer,
}

impl Stage {
    /// The first stage of a call that nothing in this process answers at once.
    #[cold]
    pub(super) fn first(parts: &Parts, typed: Typed) -> Self {
        let (core, context) = (parts.cache.core(), parts.context());
        let watch = Arc::new(Watch::call(core, parts.site, &context));
        if let Some(why) = parts.no_part() {
            parts.spoil();
            return Self::alone(watch, context, why);
        }
        let call = Arc::new(Call { request: parts.request(typed), context, watch });
        let (core, accessing, span) = (core.clone(), call.clone(), call.watch.span.clone());
        let access = async move { read::access(&core, &accessing.request, &accessing.context, &accessing.watch).await };
        Self::Accessing(call, Box::pin(access.instrument(span)))
    }

    /// Loads for nobody but its caller, in no frame of its own.
    fn alone(watch: Arc<Watch>, outer: Context, why: Bypass) -> Self {
        watch.loads(Some(why));
        let inner = Context { trace: watch.inside(), ..outer };
        let differs = inner.trace.is_some() || inner.no_fill.is_some();
        let (context, span) = (differs.then_some(inner), watch.load_span());
        Self::Alone(Box::new(Alone { watch, context, span, why, timer: Timer::start() }))
    }

    /// Goes on until it is known whether to load.
    pub(super) fn access(&mut self, core: &Arc<Core>, poller: &mut Poller<'_>) -> Poll<Way> {
        let Self::Accessing(call, access) = self else { return Poll::Ready(Way::Load) };
        let load = match ready!(access.as_mut().poll(poller)) {
            Access::Have(loaded, how) => return Poll::Ready(Way::Have(loaded, how)),
            Access::Rejected => return Poll::Ready(Way::Rejected),
            Access::Load(load) => load,
        };
        let context = load.context(core, &call.request, &call.context, &call.watch);
        let (outer, span) = (call.context.clone(), call.watch.load_span());
        *self = Self::Loading(Box::new(Loading { call: call.clone(), load, outer, context, span }));
        Poll::Ready(Way::Load)
    }

    /// The load, if there is one that others may be given the fruit of.
    pub(super) fn loading(&mut self) -> Option<&mut Loading> {
        match self {
            Self::Loading(loading) => Some(loading),
            _ => None,
        }
    }

    /// The call returns what it was given.
    pub(super) fn served(&mut self, how: Ending) {
        if let Self::Accessing(call, _) = self {
            call.watch.end(how);
        }
    }

    /// Nothing was shared that this function could return.
    pub(super) fn not_served(&mut self) {
        if let Self::Accessing(call, _) = self {
            *self = Self::alone(call.watch.clone(), call.context.clone(), Bypass::OtherOutcome);
        }
    }

    /// Polls the load, in the context of this stage.
    pub(super) fn within(&self, poll: &mut dyn FnMut()) {
        match self {
            Self::Loading(loading) => loading.span.in_scope(|| loading.context.enter(poll)),
            Self::Alone(alone) => alone.span.in_scope(|| match &alone.context {
                Some(context) => context.enter(poll),
                None => poll(),
            }),
            Self::New | Self::Accessing(..) | Self::Over => poll(),
        }
    }
}

impl Loading {
    /// The load has ended.
    pub(super) fn settle(self, core: &Arc<Core>, landing: Landing) {
        let Self { call, load, outer, context, .. } = self;
        load.settle(core, &call.request, (&outer, &context), &call.watch, landing);
    }

    /// What its caller may be given in its place.
    pub(super) fn fallback(&self) -> Option<Loaded> {
        self.load.fallback.as_ref().map(|fallback| fallback.loaded.clone())
    }

    /// Its caller is given that, for this reason.
    pub(super) fn fall_back(&self, core: &Arc<Core>, why: Stale) {
        let Some(fallback) = &self.load.fallback else { return };
        let ending = fallback.ending(why);
        self.call.watch.end(ending);
        if let Some(frame) = &self.outer.frame {
            let known = fallback.loaded.dependencies.as_deref();
            read::inherit(frame, core.id(), known.filter(|_| ending == Ending::Hit));
        }
    }

    /// Whether its caller can be given that at once.
    pub(super) fn is_a_refresh(&self) -> bool {
        self.load.refreshes
    }

    /// When its caller is given that without waiting any longer.
    pub(super) fn soft_deadline(&self) -> Option<Moment> {
        self.load.soft_deadline
    }

    /// It goes on without its caller.
    pub(super) fn detach(&mut self) {
        self.outer.frame = None;
    }
}

impl Alone {
    /// The load has ended.
    pub(super) fn end(self, failed: bool) {
        self.watch.loaded(&self.timer);
        if failed {
            self.watch.count(Happened::LoadFailed);
        }
        self.watch.end(Ending::Bypassed(self.why));
    }
}
