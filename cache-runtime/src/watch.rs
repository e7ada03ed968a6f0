//! One call as it is watched.
//!
//! What happens is said once, where it is decided. From here it goes to the counters, the metrics, the call's span, and the list of who asked for explanations.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tracing::Level;
use tracing::Span;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::level_filters::STATIC_MAX_LEVEL;

use crate::context::Context;
use crate::core::Core;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Fill;
use crate::explain::Miss;
use crate::explain::Page;
use crate::explain::Refusal;
use crate::explain::Told;
use crate::explain::Trace;
use crate::invalidation::Mode;
use crate::metrics::Happened;
use crate::metrics::Timer;
use crate::site::Site;
use crate::store::Targets;

/// A stored entry of this process answers a call: all that is said of it.
#[inline]
pub(crate) fn hit(core: &Core, site: &'static Site) {
    core.metrics.hit(site);
    if Level::DEBUG <= STATIC_MAX_LEVEL && Level::DEBUG <= LevelFilter::current() {
        show_hit(site);
    }
}

#[cold]
fn show_hit(site: &'static Site) {
    access_span(site).record("outcome", Ending::Hit.name());
}

/// One call of a cached function, from its first look to its end. Dropped without an end, it is told of as dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    core: Arc<Core>,
    pub(crate) site: &'static Site,
    pub(crate) span: Span,
    page: Option<Page>,
    timer: Timer,
    ended: AtomicBool,
}

impl Watch {
    pub(crate) fn call(core: &Arc<Core>, site: &'static Site, context: &Context) -> Self {
        let page = page(site, context);
        let (span, timer) = (access_span(site), Timer::start());
        Self { core: core.clone(), site, span, page, timer, ended: AtomicBool::new(false) }
    }

    pub(crate) fn count(&self, happened: Happened) {
        self.core.metrics.of(self.site).count(happened);
    }

    /// Nothing stored answers it. Counted by who may call the function instead.
    pub(crate) fn missed(&self, why: Miss) {
        self.span.record("missed", why.name());
        if let Some(page) = &self.page {
            page.missed(why);
        }
    }

    /// Its function is called, with the right to store what it returns or without.
    pub(crate) fn loads(&self, bypass: Option<Bypass>) {
        if let Some(why) = bypass {
            self.count(Happened::Bypassed(why));
        }
        self.count(Happened::Loading);
    }

    /// The span of its load.
    pub(crate) fn load_span(&self) -> Span {
        let (module, function) = (self.site.module(), self.site.label());
        tracing::debug_span!(parent: &self.span, "cache_load", module, function)
    }

    /// Under which its own calls are noted.
    pub(crate) fn inside(&self) -> Option<Arc<Trace>> {
        self.page.as_ref().map(|page| Arc::new(page.inside()))
    }

    /// It is over.
    pub(crate) fn end(&self, ending: Ending) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(happened) = Happened::at_the_end(ending) {
            self.count(happened);
        }
        self.core.metrics.of(self.site).request(&self.timer, ending);
        self.close(ending);
    }

    /// The load has ended.
    pub(crate) fn loaded(&self, timer: &Timer) {
        self.core.metrics.of(self.site).load(timer);
    }

    /// The load has ended without anything to store.
    pub(crate) fn brought(&self, fill: Fill) {
        if let Some(page) = &self.page {
            page.fill(fill);
        }
    }

    fn close(&self, ending: Ending) {
        self.span.record("outcome", ending.name());
        if let Ending::Bypassed(why) = ending {
            self.span.record("bypassed", why.name());
        }
        if let Some(page) = &self.page {
            page.end(ending);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.close(Ending::Dropped);
        }
    }
}

/// What a call loaded, on its way to the store, which the call does not wait for.
#[derive(Debug)]
pub(crate) struct Storing {
    core: Arc<Core>,
    site: &'static Site,
    pub(crate) span: Span,
    page: Option<Page>,
}

impl Storing {
    pub(crate) fn new(watch: &Watch) -> Self {
        let (module, function) = (watch.site.module(), watch.site.label());
        let span = tracing::debug_span!(
            parent: &watch.span, "cache_fill", module, function, outcome = Empty, refused = Empty
        );
        if let Some(page) = &watch.page {
            page.begin_filling();
        }
        Self { core: watch.core.clone(), site: watch.site, span, page: watch.page.clone() }
    }

    /// It is stored, or it is not.
    pub(crate) fn end(self, stored: Result<(), Refusal>) {
        let (happened, fill) = match stored {
            Ok(()) => (Happened::Filled, Fill::Stored),
            Err(why) => (Happened::Refused(why), Fill::Refused(why)),
        };
        self.core.metrics.of(self.site).count(happened);
        self.span.record("outcome", fill.name());
        if let Err(why) = stored {
            self.span.record("refused", why.name());
        }
        if let Some(page) = &self.page {
            page.fill(fill);
        }
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        if let Some(page) = &self.page {
            page.end_filling();
        }
    }
}

/// One call of a mutator, from before its body to after it.
#[derive(Debug)]
pub(crate) struct Mutating {
    pub(crate) span: Span,
    page: Option<Page>,
    mode: Mode,
    keys: usize,
    tags: usize,
    ended: bool,
}

impl Mutating {
    pub(crate) fn call<'a>(
        site: &'static Site,
        context: &Context,
        mode: Mode,
        all: impl Iterator<Item = &'a Targets>,
    ) -> Self {
        let (module, function) = (site.module(), site.label());
        let (keys, tags) =
            all.fold((0, 0), |(keys, tags), targets| (keys + targets.keys.len(), tags + targets.tags.len()));
        let span =
            tracing::debug_span!("cache_mutation", module, function, mode = mode.name(), keys, tags, outcome = Empty);
        Self { span, page: page(site, context), mode, keys, tags, ended: false }
    }

    /// Under which the calls of its body are noted.
    pub(crate) fn inside(&self) -> Option<Arc<Trace>> {
        self.page.as_ref().map(|page| Arc::new(page.inside()))
    }

    /// The body's result named `more`.
    pub(crate) fn named(&mut self, more: &Targets) {
        self.keys += more.keys.len();
        self.tags += more.tags.len();
        self.span.record("keys", self.keys).record("tags", self.tags);
    }

    pub(crate) fn end(mut self, told: Told) {
        self.ended = true;
        self.close(Ending::Mutated { mode: self.mode, keys: self.keys, tags: self.tags, told }, told.name());
    }

    fn close(&self, ending: Ending, outcome: &'static str) {
        self.span.record("outcome", outcome);
        if let Some(page) = &self.page {
            page.end(ending);
        }
    }
}

impl Drop for Mutating {
    fn drop(&mut self) {
        if !self.ended {
            self.close(Ending::Dropped, Ending::Dropped.name());
        }
    }
}

fn page(site: &'static Site, context: &Context) -> Option<Page> {
    context.trace.as_ref().and_then(|trace| trace.call(site))
}

fn access_span(site: &'static Site) -> Span {
    tracing::debug_span!(
        "cache_access",
        module = site.module(),
        function = site.label(),
        outcome = Empty,
        missed = Empty,
        bypassed = Empty
    )
}
