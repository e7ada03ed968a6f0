//! The write path: how a mutation makes stale what it changes.
//!
//! A mutation is *guarded*: before its body it marks what it will invalidate, and when it ends, however it ends, it clears the marks and invalidates.
//! What is filled while a mark stands is filled under the mark's own token and dies with it, so a mutator that is killed between its commit and
//! the clearing leaves nothing stale for longer than its marks live.
//!
//! A body that is dropped or panics half-way may still commit a moment later. Nobody can say when, so what it marked is marked anew and left
//! to expire.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::around::Around;
use crate::cache::Cache;
use crate::clock::Moment;
use crate::context::Context;
use crate::core::Core;
use crate::core::lock;
use crate::entry::rendered_names;
use crate::host::Task;
use crate::journal;
use crate::key::KeyPart;
use crate::key::Text;
use crate::site::Site;
use crate::site::Templates;
use crate::store::Keeps;
use crate::store::Mark;
use crate::store::Targets;
use crate::token::MarkId;
use crate::token::Register;

/// How a mutation guards what it invalidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Marks before the body, clears after it. Meanwhile reads go on, shared under the mark, and what they store dies when the body ends.
    #[default]
    Guarded,
    /// As `Guarded`, and meanwhile nothing is stored at all and no load is joined that is not fresh for sure: reads through the cache are linearizable with the mutation, while it ends within its hold-off.
    Linearizable,
    /// Only clears after the body: one round trip less, and a mutator that is killed between its commit and the clearing leaves stale entries until they expire.
    After,
}

/// What became of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an invalidation that was deferred is not in force yet"]
pub enum Delivery {
    /// The store has confirmed it: no read that starts now is given what it made stale.
    Applied,
    /// It is not in force yet: the store could not be told, and is tried again (see [`Cache::pending`]), or it waits for the end of
    /// [`Cache::defer_invalidations`]. Until then others may be given what it made stale.
    Deferred,
}

/// An invalidation: what to invalidate and how. The sentence that `#[invalidates]` prints.
///
/// [`Cache::invalidation`] begins one.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Mode, Site};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// static RENAME: Site = Site::invalidates("shop", "rename").keys(&["user:{id}"]).tags(&["users"]);
///
/// let cache = Cache::memory();
/// let renamed = cache
///     .invalidation(&RENAME)
///     .keys(&[&7])
///     .mode(Mode::Linearizable)
///     .run(async { "renamed in the database" })
///     .await;
/// assert_eq!(renamed, "renamed in the database");
/// # });
/// ```
#[must_use = "an invalidation does nothing until it is run or applied"]
pub struct Invalidation {
    cache: Cache,
    site: &'static Site,
    keys: Option<Text>,
    tags: Option<Text>,
    mode: Mode,
    hold_off: Option<Duration>,
    in_transaction: bool,
}

impl Invalidation {
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        Self { cache, site, keys: None, tags: None, mode: Mode::default(), hold_off: None, in_transaction: false }
    }

    /// Fills the placeholders of the site's keys, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn keys(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.keys = Some(rendered(self.site.key_templates(), parts));
        self
    }

    /// Fills the placeholders of the site's tags, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.tags = Some(rendered(self.site.tag_templates(), parts));
        self
    }

    /// How what is invalidated is guarded meanwhile. Defaults to [`Mode::Guarded`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The longest the mutation stays guarded. Defaults to what the cache was built with, which defaults to 60 seconds.
    pub fn hold_off(mut self, hold_off: Duration) -> Self {
        self.hold_off = Some(hold_off);
        self
    }

    /// Says that the body runs inside of a database transaction, which is committed after it returned.
    ///
    /// Inside of [`Cache::defer_invalidations`] the invalidation waits for the end of that. Elsewhere nobody can say when the commit comes: the marks are left
    /// to expire by themselves, some seconds later, and an event says so.
    pub fn in_transaction(mut self) -> Self {
        self.in_transaction = true;
        self
    }

    /// Runs `body`, the mutation, and invalidates however it ends: with a value, an error, a panic, or dropped half-way.
    ///
    /// Once this has returned, no read that starts later is given a value from before the mutation, unless the store could not be told; see [`Cache::pending`].
    ///
    /// # Errors
    ///
    /// Only those of `body`. It runs whether the store can be told or not.
    ///
    /// # Cancel safety
    ///
    /// A body dropped half-way may still commit a moment later, so what it changes stays marked for some seconds.
    pub fn run<F: Future>(self, body: F) -> impl Future<Output = F::Output> {
        let span = tracing::debug_span!("cache_mutation", module = self.site.module(), function = self.site.function());
        Around::new(Box::pin(self.begin().instrument(span)), body, Begun::end)
    }

    async fn begin(self) -> Begun {
        let targets = self.targets();
        if let Some(deferral) = Context::current().deferral {
            let how = (self.mode, self.hold_off);
            let core = self.cache.core();
            if deferral.enlist(core, self.site, targets.clone(), how).await {
                return Begun::Enlisted(Enlisted { deferral, core: core.clone(), site: self.site, targets });
            }
        }
        let guard = Guard::new(self.cache.core(), self.site);
        guard.add(targets, self.mode, self.hold_off).await;
        if self.in_transaction { Begun::Uncommitted(guard) } else { Begun::Guarded(guard) }
    }

    /// Invalidates at once, with no body to wait for; inside of [`Cache::defer_invalidations`], at the end of that.
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn apply(self) -> Delivery {
        invalidate(self.cache.core(), self.site, self.targets()).await
    }

    #[track_caller]
    fn targets(&self) -> Targets {
        Targets {
            keys: rendered_names(self.site.key_templates(), self.keys.as_deref()),
            tags: rendered_names(self.site.tag_templates(), self.tags.as_deref()),
        }
    }
}

/// How a mutation was begun.
enum Begun {
    /// The transaction it is a part of invalidates at its end.
    Enlisted(Enlisted),
    Guarded(Guard),
    /// It is a part of a transaction that nobody told us of.
    Uncommitted(Guard),
}

impl Begun {
    fn end(self) -> Option<Task> {
        match self {
            // Dropping it sees to a transaction that has ended too early.
            Self::Enlisted(enlisted) => {
                drop(enlisted);
                None
            }
            Self::Guarded(guard) => Some(Box::pin(async move {
                let _ = guard.clear().await;
            })),
            Self::Uncommitted(guard) => {
                tracing::warn!(
                    function = guard.site.function(),
                    "a mutation inside of a transaction has returned before the commit; run it inside of `defer_invalidations`"
                );
                None
            }
        }
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation")
            .field("function", &self.site.function())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn rendered(templates: &Templates, parts: &[&dyn KeyPart]) -> Text {
    let takes = templates.placeholders();
    assert!(takes == parts.len(), "the templates take {takes} parts, not {}", parts.len());
    let mut out = Text::new();
    templates.render(parts, &mut out);
    out
}

/// What a mutation holds while it runs.
pub(crate) struct Guard {
    core: Arc<Core>,
    site: &'static Site,
    id: MarkId,
    held: Arc<Mutex<Held>>,
    /// Dropped with the guard, which ends the renewals.
    renewals: Mutex<Option<oneshot::Sender<()>>>,
    cleared: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    marked: Targets,
    /// To be invalidated only afterwards.
    unmarked: Targets,
    strict: bool,
    until: Option<Moment>,
}

impl Guard {
    pub(crate) fn new(core: &Arc<Core>, site: &'static Site) -> Self {
        let id = MarkId(core.host.random());
        Self {
            core: core.clone(),
            site,
            id,
            held: Arc::default(),
            renewals: Mutex::default(),
            cleared: AtomicBool::new(false),
        }
    }

    /// Takes `targets` under guard.
    pub(crate) async fn add(&self, targets: Targets, mode: Mode, hold_off: Option<Duration>) {
        if mode == Mode::After {
            extend(&mut lock(&self.held).unmarked, targets);
            return;
        }
        let hold_off = hold_off.unwrap_or(self.core.settings.hold_off);
        let strict = {
            let mut held = lock(&self.held);
            extend(&mut held.marked, targets.clone());
            held.strict |= mode == Mode::Linearizable;
            held.until = held.until.max(Some(self.core.clock.now().after(hold_off)));
            held.strict
        };
        self.keep_renewing();
        let mark = Mark { id: self.id, life: life(&self.core, hold_off), strict, renew: false };
        if let Err(error) = self.core.store.mark(targets, mark).await {
            tracing::warn!(function = self.site.function(), %error, "a mutation runs unguarded; its invalidation comes after it");
        }
    }

    /// Whether one of these is under guard.
    fn covers(&self, registers: &[Register]) -> bool {
        let held = lock(&self.held);
        registers.iter().any(|register| match register {
            Register::Key(key) => held.marked.keys.contains(key) || held.unmarked.keys.contains(key),
            Register::Tag(tag) => held.marked.tags.contains(tag) || held.unmarked.tags.contains(tag),
        })
    }

    /// Invalidates everything and takes the marks off.
    pub(crate) async fn clear(&self) -> Delivery {
        lock(&self.renewals).take();
        let (targets, outlived) = {
            let held = lock(&self.held);
            let mut targets = held.marked.clone();
            extend(&mut targets, held.unmarked.clone());
            (targets, held.until.is_some_and(|until| until < self.core.clock.now()))
        };
        if outlived {
            tracing::warn!(
                function = self.site.function(),
                "a mutation ran longer than its hold-off, unguarded at the end"
            );
        }
        let delivery = deliver(&self.core, self.site, targets, Some(self.id)).await;
        self.cleared.store(true, Ordering::Release);
        delivery
    }

    fn keep_renewing(&self) {
        let mut renewals = lock(&self.renewals);
        if renewals.is_none() && self.core.store.keeps() == Keeps::Bytes {
            *renewals = Some(renew(&self.core, self.id, self.held.clone()));
        }
    }
}

impl Drop for Guard {
    /// The body did not end: it may yet commit.
    fn drop(&mut self) {
        if *self.cleared.get_mut() {
            return;
        }
        let held = std::mem::take(&mut *lock(&self.held));
        let (core, site, id) = (self.core.clone(), self.site, self.id);
        if !held.marked.is_empty() {
            let mark = Mark { id, life: core.settings.guard, strict: held.strict, renew: false };
            let core = core.clone();
            self.core.finish(Box::pin(async move {
                if core.store.mark(held.marked.clone(), mark).await.is_err() {
                    let _ = deliver(&core, site, held.marked, None).await;
                }
            }));
        }
        if !held.unmarked.is_empty() {
            self.core.finish(Box::pin(clear_twice(core, site, held.unmarked)));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("function", &self.site.function()).finish_non_exhaustive()
    }
}

/// Clears now, and once more when a body dropped just now has had time to commit.
async fn clear_twice(core: Arc<Core>, site: &'static Site, targets: Targets) {
    let _ = deliver(&core, site, targets.clone(), None).await;
    let (host, again) = (core.host.clone(), core.settings.guard);
    host.spawn(Box::pin(async move {
        core.host.sleep(again).await;
        let _ = deliver(&core, site, targets, None).await;
    }));
}

/// Tells the store; what it does not confirm goes to the journal.
pub(crate) async fn deliver(
    core: &Arc<Core>,
    site: &'static Site,
    targets: Targets,
    ended: Option<MarkId>,
) -> Delivery {
    if targets.is_empty() {
        return Delivery::Applied;
    }
    // If the caller goes before the store has answered, the journal has it already.
    let journaled = Journaled { core, targets: &targets, confirmed: false };
    let result = core.store.revoke(targets.clone(), ended).await;
    journaled.end(result.is_ok());
    let counters = core.metrics.of(site);
    match result {
        Ok(()) => {
            counters.applied.add();
            Delivery::Applied
        }
        Err(error) => {
            counters.deferred.add();
            tracing::warn!(function = site.function(), %error, "an invalidation is deferred");
            Delivery::Deferred
        }
    }
}

/// Sends what was not confirmed to the journal, also when the future that waits for the confirmation is dropped.
struct Journaled<'a> {
    core: &'a Arc<Core>,
    targets: &'a Targets,
    confirmed: bool,
}

impl Journaled<'_> {
    fn end(mut self, confirmed: bool) {
        self.confirmed = confirmed;
    }
}

impl Drop for Journaled<'_> {
    fn drop(&mut self) {
        if !self.confirmed {
            journal::defer(self.core, self.targets);
        }
    }
}

/// Renews the marks until the sender is dropped or the hold-off has passed.
fn renew(core: &Arc<Core>, id: MarkId, held: Arc<Mutex<Held>>) -> oneshot::Sender<()> {
    let (hold, mut ended) = oneshot::channel();
    let (weak, host, pause) = (Arc::downgrade(core), core.host.clone(), core.settings.guard / 3);
    core.host.spawn(Box::pin(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => return,
                () = host.sleep(pause) => {}
            }
            let Some(core) = weak.upgrade() else { return };
            let (targets, strict, until) = {
                let held = lock(&held);
                (held.marked.clone(), held.strict, held.until)
            };
            let left = until.map_or(Duration::ZERO, |until| until.since(core.clock.now()));
            if left.is_zero() {
                return;
            }
            // One that fails is tried again at the next turn, while the mark lives on.
            let mark = Mark { id, life: life(&core, left), strict, renew: true };
            let _ = core.store.mark(targets, mark).await;
        }
    }));
    hold
}

/// How long a mark lives: in process, where it dies with its mutation, for all of the hold-off.
fn life(core: &Core, left: Duration) -> Duration {
    match core.store.keeps() {
        Keeps::Bytes => left.min(core.settings.guard),
        Keeps::Values => left,
    }
}

fn extend(targets: &mut Targets, more: Targets) {
    let Targets { keys, tags } = more;
    let new_keys: Vec<_> = keys.into_iter().filter(|key| !targets.keys.contains(key)).collect();
    let new_tags: Vec<_> = tags.into_iter().filter(|tag| !targets.tags.contains(tag)).collect();
    targets.keys.extend(new_keys);
    targets.tags.extend(new_tags);
}

/// Invalidations that wait for the end of a transaction: a guard for each cache.
#[derive(Debug, Default)]
pub(crate) struct Deferral(Mutex<Deferred>);

#[derive(Debug, Default)]
struct Deferred {
    guards: Vec<Arc<Guard>>,
    ended: bool,
}

impl Deferral {
    /// Takes `targets` under the transaction's guard; `false` if the transaction has ended already.
    async fn enlist(
        &self,
        core: &Arc<Core>,
        site: &'static Site,
        targets: Targets,
        how: (Mode, Option<Duration>),
    ) -> bool {
        let guard = {
            let mut deferred = lock(&self.0);
            if deferred.ended {
                return false;
            }
            let known = deferred.guards.iter().find(|guard| Arc::ptr_eq(&guard.core, core)).cloned();
            known.unwrap_or_else(|| {
                let guard = Arc::new(Guard::new(core, site));
                deferred.guards.push(guard.clone());
                guard
            })
        };
        guard.add(targets, how.0, how.1).await;
        true
    }

    /// Whether one of these is to be invalidated at the end.
    pub(crate) fn covers(&self, core: &Arc<Core>, registers: &[Register]) -> bool {
        lock(&self.0).guards.iter().any(|guard| Arc::ptr_eq(&guard.core, core) && guard.covers(registers))
    }

    /// Invalidates all of it.
    pub(crate) async fn end(&self) -> Delivery {
        let guards = {
            let mut deferred = lock(&self.0);
            deferred.ended = true;
            std::mem::take(&mut deferred.guards)
        };
        let mut delivery = Delivery::Applied;
        for guard in guards {
            if guard.clear().await == Delivery::Deferred {
                delivery = Delivery::Deferred;
            }
        }
        delivery
    }
}

/// A mutation that a transaction will invalidate, if it has not ended before the mutation has.
struct Enlisted {
    deferral: Arc<Deferral>,
    core: Arc<Core>,
    site: &'static Site,
    targets: Targets,
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        if lock(&self.deferral.0).ended {
            let targets = std::mem::take(&mut self.targets);
            self.core.finish(Box::pin(clear_twice(self.core.clone(), self.site, targets)));
        }
    }
}

/// Invalidates `targets`: at the end of the transaction that this task is inside of, or at once.
pub(crate) async fn invalidate(core: &Arc<Core>, site: &'static Site, targets: Targets) -> Delivery {
    if let Some(deferral) = Context::current().deferral
        && deferral.enlist(core, site, targets.clone(), (Mode::Guarded, None)).await
    {
        return Delivery::Deferred;
    }
    deliver(core, site, targets, None).await
}
