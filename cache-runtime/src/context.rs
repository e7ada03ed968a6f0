//! What a task carries along: its cache, the loads it is inside of, and how it wants invalidations treated.
//!
//! All of it is task-local, and so goes with a future wherever that is polled, but not into what it spawns:
//! [`scope::current`](crate::scope::current) carries it there.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;
use std::task::Context as Poller;
use std::task::Poll;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::bulkhead::Places;
use crate::cache::Cache;
use crate::core::Core;
use crate::core::lock;
use crate::explain::Bypass;
use crate::explain::Refusal;
use crate::explain::Trace;
use crate::invalidation::Deferral;
use crate::key::Name;
use crate::token::Dependency;

tokio::task_local! {
    static CONTEXT: Context;
}

thread_local! {
    /// Within how many contexts this thread is. Mostly in none, and this is the fastest way to know.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// The cache that stands in for the installed one.
    pub(crate) cache: Option<Cache>,
    /// The innermost load that this task is inside of.
    pub(crate) frame: Option<Arc<Frame>>,
    /// Why loads must not be stored or shared, if they must not.
    pub(crate) no_fill: Option<Bypass>,
    /// Where invalidations are collected.
    pub(crate) deferral: Option<Arc<Deferral>>,
    /// Where calls are noted, if somebody wants them explained.
    pub(crate) trace: Option<Arc<Trace>>,
}

impl Context {
    /// What the current task carries.
    pub(crate) fn current() -> Self {
        Self::ask(Self::clone).unwrap_or_default()
    }

    /// The places of the load around, if that has any.
    pub(crate) fn places(&self) -> Option<Arc<Places>> {
        self.frame.as_ref()?.places.upgrade()
    }

    /// Whether the current task carries anything that a read must heed.
    #[inline]
    pub(crate) fn is_bare() -> bool {
        let bare = |context: &Self| context.frame.is_none() && context.deferral.is_none() && context.trace.is_none();
        Self::ask(bare).unwrap_or(true)
    }

    /// The cache that stands in for the installed one, if any.
    #[inline]
    pub(crate) fn cache() -> Option<Cache> {
        Self::ask(|context| context.cache.clone()).flatten()
    }

    #[inline]
    fn ask<R>(question: impl FnOnce(&Self) -> R) -> Option<R> {
        if DEPTH.get() == 0 {
            return None;
        }
        CONTEXT.try_with(question).ok()
    }

    /// Whether a transaction is running around the task. One that has ended says nothing to what goes on after it.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.deferral.as_ref().is_some_and(|deferral| !deferral.has_ended())
    }

    /// Runs `future` with this in place of what the task carried.
    pub(crate) fn carry<F: Future>(self, future: F) -> Carried<F> {
        Carried { context: self, future: Some(future) }
    }

    /// Runs `poll` with this in place of what the task carries.
    pub(crate) fn enter<R>(&self, poll: impl FnOnce() -> R) -> R {
        let _deeper = Deeper::new();
        CONTEXT.sync_scope(self.clone(), poll)
    }
}

/// Counts in `DEPTH`, until it is dropped.
struct Deeper;

impl Deeper {
    fn new() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

pin_project! {
    /// A future that is polled, and dropped, in a context.
    #[must_use = "futures do nothing unless they are awaited"]
    pub(crate) struct Carried<F> {
        pub(crate) context: Context,
        // There is one until this is dropped.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Carried<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What is dropped half-way belongs to the context too.
            this.context.enter(|| this.future.set(None));
        }
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else { return Poll::Pending };
        this.context.enter(|| future.poll(poller))
    }
}

/// One load that is running, and what it depends on so far.
#[derive(Debug)]
pub(crate) struct Frame {
    parent: Option<Arc<Self>>,
    /// Which cache this is a load of.
    core: usize,
    key: Name,
    /// The most that it may depend on and be stored.
    most: usize,
    /// How long the tokens shall live that this load comes to depend on.
    pub(crate) token_life: Duration,
    /// Its places among the loads that run at once, or those of the load around it.
    places: Weak<Places>,
    collected: Mutex<Collected>,
}

/// What a load depends on besides its own tags.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) dependencies: Vec<Dependency>,
    /// Why it must not be stored, if something in it cannot be depended on.
    pub(crate) unfillable: Option<Refusal>,
}

impl Frame {
    pub(crate) fn new(
        parent: Option<Arc<Self>>,
        core: &Arc<Core>,
        key: Name,
        token_life: Duration,
        places: Option<&Arc<Places>>,
    ) -> Arc<Self> {
        let token_life = parent.as_ref().map_or(token_life, |parent| token_life.max(parent.token_life));
        let most = core.settings.max_dependencies;
        Arc::new(Self {
            parent,
            core: core.id(),
            key,
            most,
            token_life,
            places: places.map(Arc::downgrade).unwrap_or_default(),
            collected: Mutex::default(),
        })
    }

    /// Whether this load, or one around it, is of `key`. The loads in between rest on one that has no token yet, so they are spoiled.
    pub(crate) fn recurs(&self, core: usize, key: &Name) -> bool {
        if self.core == core && self.key == *key {
            return true;
        }
        let recurs = self.parent.as_ref().is_some_and(|parent| parent.recurs(core, key));
        if recurs {
            self.spoil(Refusal::Undependable);
        }
        recurs
    }

    /// Makes this load depend on what an inner call of the cache `core` depends on.
    pub(crate) fn depend(&self, core: usize, dependencies: &[Dependency]) {
        let mut collected = lock(&self.collected);
        if self.core != core {
            collected.spoil(Refusal::OtherCache);
        }
        for dependency in dependencies {
            if collected.unfillable.is_some() {
                return;
            }
            match collected.dependencies.iter().find(|known| known.register == dependency.register) {
                None if collected.dependencies.len() > self.most => collected.spoil(Refusal::TooManyDependencies),
                None => collected.dependencies.push(dependency.clone()),
                Some(known) if known.token == dependency.token => {}
                // It changed while the load ran: what was read first is stale by now.
                Some(_) => collected.spoil(Refusal::InnerChanged),
            }
        }
    }

    /// Says that something in this load cannot be depended on.
    pub(crate) fn spoil(&self, why: Refusal) {
        lock(&self.collected).spoil(why);
    }

    /// Takes what was collected, at the end of the load.
    pub(crate) fn take(&self) -> Collected {
        std::mem::take(&mut lock(&self.collected))
    }
}

impl Collected {
    /// With one dependency missing, the others are of no use.
    fn spoil(&mut self, why: Refusal) {
        self.dependencies.clear();
        self.unfillable = self.unfillable.or(Some(why));
    }
}
