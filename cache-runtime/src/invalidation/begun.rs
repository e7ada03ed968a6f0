//! A mutation that runs, and what is done when it ends.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::context::Context;
use crate::core::Core;
use crate::explain::Told;
use crate::host::Task;
use crate::invalidation::Deferral;
use crate::invalidation::Ending;
use crate::invalidation::Mode;
use crate::invalidation::ResultNames;
use crate::invalidation::ending::Verdict;
use crate::invalidation::guard::Guard;
use crate::invalidation::guard::clear_late;
use crate::invalidation::report;
use crate::site::Site;
use crate::store::StoreError;
use crate::store::Targets;
use crate::watch::Mutating;

/// A mutation that has begun.
pub(super) struct Begun {
    /// In each cache that it concerns.
    pub(super) under: Vec<Under>,
    /// What the result is to fill, of the first of them.
    pub(super) names: ResultNames,
    pub(super) watch: Mutating,
    /// What the body runs in, if its calls are noted.
    pub(super) inside: Option<Context>,
}

/// Who invalidates at the end.
pub(super) enum Under {
    /// The transaction it is a part of.
    Transaction(Enlisted),
    Guard(Guard),
    /// Nobody: it is a part of a transaction that nobody told us of.
    Uncommitted(Guard),
}

impl Begun {
    /// Polls the body, in the span of its mutation.
    pub(super) fn within(&self, poll: &mut dyn FnMut()) {
        self.watch.span.in_scope(|| match &self.inside {
            Some(context) => context.enter(poll),
            None => poll(),
        });
    }

    /// Sees to what `output` means.
    pub(super) fn end<O>(self, ending: impl Ending<O>, output: &O) -> Option<Task> {
        // Should the ending panic, the rest is dropped with it, as when the body had panicked.
        let Self { under, names, mut watch, .. } = self;
        let mut more = Targets::default();
        match ending.end(output, names) {
            Verdict::Nothing => {
                under.into_iter().for_each(Under::dismiss);
                watch.end(Told::Unchanged);
                return None;
            }
            Verdict::Known => {}
            Verdict::Also(named) => {
                if let (Some(why), Some(own)) = (named.unwritable, under.first()) {
                    let (core, site) = own.whose();
                    report(core, site, why);
                }
                more = named.targets;
            }
        }
        watch.named(&more);
        end_all(under, more, watch)
    }
}

/// Ends it in every cache, also if one takes long: each has the store's deadline for itself.
fn end_all(under: Vec<Under>, mut more: Targets, watch: Mutating) -> Option<Task> {
    let (mut told, mut guards) = (Told::Applied, Vec::with_capacity(under.len()));
    for under in under {
        match under.end(std::mem::take(&mut more)) {
            Left::Told(one) => told = told.worse(one),
            Left::Guard(guard) => guards.push(guard),
        }
    }
    if guards.is_empty() {
        watch.end(told);
        return None;
    }
    Some(Box::pin(async move {
        for guard in guards {
            told = told.worse(guard.clear().await.into());
        }
        watch.end(told);
    }))
}

/// What is left to do at the end.
enum Left {
    /// Nothing.
    Told(Told),
    /// To clear what is guarded.
    Guard(Guard),
}

impl Under {
    /// Invalidates, and `more` with it.
    fn end(self, more: Targets) -> Left {
        match self {
            Self::Transaction(enlisted) => {
                enlisted.end(more);
                Left::Told(Told::AtTheEnd)
            }
            Self::Guard(guard) => {
                guard.add_unmarked(more);
                Left::Guard(guard)
            }
            Self::Uncommitted(guard) => {
                tracing::warn!(
                    function = guard.site.label(),
                    "a mutation inside of a transaction has returned before the commit; run it inside of `defer_invalidations`"
                );
                guard.add_unmarked(more);
                Left::Told(Told::Uncommitted)
            }
        }
    }

    /// Invalidates nothing.
    fn dismiss(self) {
        match self {
            Self::Transaction(enlisted) => enlisted.dismiss(),
            Self::Guard(guard) | Self::Uncommitted(guard) => guard.dismiss(),
        }
    }

    /// Takes back what was done before a body that is not run.
    pub(super) fn call_off(self) {
        match self {
            // What it has marked already ends with the transaction.
            Self::Transaction(enlisted) => enlisted.dismiss(),
            Self::Guard(guard) | Self::Uncommitted(guard) => guard.call_off(),
        }
    }

    fn whose(&self) -> (&Core, &'static Site) {
        match self {
            Self::Transaction(enlisted) => (&enlisted.core, enlisted.site),
            Self::Guard(guard) | Self::Uncommitted(guard) => (&guard.core, guard.site),
        }
    }
}

/// A mutation that a transaction will invalidate, if it has not ended before the mutation has.
pub(super) struct Enlisted {
    deferral: Arc<Deferral>,
    core: Arc<Core>,
    site: &'static Site,
    targets: Arc<Targets>,
    grace: Duration,
    /// The transaction's guard, if the mutation may yet say that nothing changed.
    doubtful: Option<Arc<Guard>>,
}

impl Enlisted {
    /// Hands `targets` to the transaction that this task is inside of; `None` if it has ended already, and an error if the store has to be told and could not be.
    pub(super) async fn begin(
        deferral: Arc<Deferral>,
        cache: &Cache,
        site: &'static Site,
        targets: Targets,
        how: How,
    ) -> Result<Option<Self>, StoreError> {
        let core = cache.core().clone();
        let Some(guard) = deferral.guard(&core, site) else { return Ok(None) };
        guard.hold_back(how.grace);
        let targets = Arc::new(targets);
        let doubtful = how.asks.then(|| guard.clone());
        match &doubtful {
            Some(guard) => guard.add_doubtful(targets.clone()),
            None if how.rejects => guard.try_add(Targets::clone(&targets), how.mode, how.hold_off).await?,
            None => guard.add(Targets::clone(&targets), how.mode, how.hold_off).await,
        }
        Ok(Some(Self { deferral, core, site, targets, grace: how.grace, doubtful }))
    }

    /// Hands `more` to the transaction too. Dropping it sees to one that has ended too early.
    fn end(mut self, more: Targets) {
        if more.is_empty() {
            return;
        }
        if let Some(guard) = self.deferral.guard(&self.core, self.site) {
            guard.add_unmarked(more.clone());
        }
        // The transaction may be ending meanwhile.
        let mut targets = Targets::clone(&self.targets);
        targets.keys.extend(more.keys);
        targets.tags.extend(more.tags);
        self.targets = Arc::new(targets);
    }

    fn dismiss(mut self) {
        if let Some(guard) = &self.doubtful {
            guard.withdraw(&self.targets);
        }
        self.targets = Arc::default();
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        if self.deferral.has_ended() && !self.targets.is_empty() {
            let targets = Targets::clone(&self.targets);
            self.core.finish(Box::pin(clear_late(self.core.clone(), self.site, targets, self.grace)));
        }
    }
}

/// How a mutation is guarded.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) mode: Mode,
    pub(super) hold_off: Option<Duration>,
    pub(super) grace: Duration,
    /// Whether its result may say that nothing changed.
    pub(super) asks: bool,
    /// Whether it must not run while the store cannot be told.
    pub(super) rejects: bool,
}
