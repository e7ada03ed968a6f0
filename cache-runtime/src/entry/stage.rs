//! How far a call of [`Entry::get_or_load`](crate::Entry::get_or_load) has come, without the types of its function.
//!
//! Every annotated function has a load of a type of its own. What does not have to know that type stands here, so that it is compiled once.

use std::sync::Arc;
use std::task::Context as Poller;
use std::task::Poll;
use std::task::ready;

use tracing::Instrument as _;
use tracing::Span;

use crate::context::Context;
use crate::core::Core;
use crate::core::Loaded;
use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::explain::Bypass;
use crate::explain::Ending;
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
    context: Context,
    span: Span,
}

pub(super) struct Alone {
    watch: Arc<Watch>,
    /// Where it is not the task's.
    context: Option<Context>,
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
        Self::Alone(Box::new(Alone { watch, context: differs.then_some(inner), why, timer: Timer::start() }))
    }

    /// Goes on until it is known whether to load; otherwise, what there is without, and how the call came by it.
    pub(super) fn access(&mut self, core: &Arc<Core>, poller: &mut Poller<'_>) -> Poll<Option<(Loaded, Ending)>> {
        let Self::Accessing(call, access) = self else { return Poll::Ready(None) };
        let load = match ready!(access.as_mut().poll(poller)) {
            Access::Have(loaded, how) => return Poll::Ready(Some((loaded, how))),
            Access::Load(load) => load,
        };
        let context = load.context(core, &call.request, &call.context, &call.watch);
        let span = call.watch.load_span();
        *self = Self::Loading(Box::new(Loading { call: call.clone(), load, context, span }));
        Poll::Ready(None)
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
            Self::Alone(alone) => match &alone.context {
                Some(context) => context.enter(poll),
                None => poll(),
            },
            Self::New | Self::Accessing(..) | Self::Over => poll(),
        }
    }
}

impl Loading {
    /// The load has ended.
    pub(super) fn settle(self, core: &Arc<Core>, landing: Landing) {
        let Self { call, load, context, .. } = self;
        load.settle(core, &call.request, (&call.context, &context), &call.watch, landing);
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
