//! What a mutation holds while it runs, and how the store is told of its end.
//!
//! Grace is a strict mark in the place of nothing: it invalidates as it is placed, and nothing is stored while it stands. Its id is its own, so no end of a mutation takes it off, neither that of
//! another nor a late command of this one.

mod savepoint;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::core::Core;
use crate::core::Rule;
use crate::core::lock;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
pub(super) use crate::invalidation::guard::savepoint::GivenUp;
use crate::journal;
use crate::metrics::Happened;
use crate::site::Site;
use crate::store::Keeps;
use crate::store::Mark;
use crate::store::StoreError;
use crate::store::Targets;
use crate::tag_sets;
use crate::token::MarkId;
use crate::token::Register;

/// What a mutation holds while it runs.
pub(crate) struct Guard {
    pub(super) core: Arc<Core>,
    pub(super) site: &'static Site,
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
    /// The same, of mutations that may yet say that nothing changed.
    doubtful: Vec<Arc<Targets>>,
    strict: bool,
    until: Option<Moment>,
    /// How long fills stay refused after the end: the longest that one of the mutations has asked for.
    grace: Duration,
}

impl Held {
    fn unmarked(&self) -> Targets {
        let mut targets = self.unmarked.clone();
        self.doubtful.iter().for_each(|doubtful| extend(&mut targets, Targets::clone(doubtful)));
        targets
    }
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

    /// Takes `targets` under guard. If the store cannot be told, the mutation runs unguarded.
    pub(crate) async fn add(&self, targets: Targets, mode: Mode, hold_off: Option<Duration>) {
        if let Err(error) = self.try_add(targets, mode, hold_off).await {
            tracing::warn!(function = self.site.label(), %error, "a mutation runs unguarded; its invalidation comes after it");
        }
    }

    /// Takes `targets` under guard, and says if the store could not be told.
    pub(super) async fn try_add(
        &self,
        targets: Targets,
        mode: Mode,
        hold_off: Option<Duration>,
    ) -> Result<(), StoreError> {
        if mode == Mode::After {
            self.add_unmarked(targets);
            return Ok(());
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
        let mark = Mark { id: self.id, life: life(&self.core, hold_off), strict, renew: false, late: false };
        mark_all(&self.core, &targets, mark).await
    }

    /// Lets fills stay refused for so long after the end.
    pub(super) fn hold_back(&self, grace: Duration) {
        let mut held = lock(&self.held);
        held.grace = held.grace.max(grace);
    }

    /// Takes `targets` to be invalidated afterwards.
    pub(super) fn add_unmarked(&self, targets: Targets) {
        extend(&mut lock(&self.held).unmarked, targets);
    }

    /// The same, unless they are withdrawn before.
    pub(super) fn add_doubtful(&self, targets: Arc<Targets>) {
        lock(&self.held).doubtful.push(targets);
    }

    /// Takes back what [`add_doubtful`](Self::add_doubtful) was given.
    pub(super) fn withdraw(&self, targets: &Arc<Targets>) {
        lock(&self.held).doubtful.retain(|doubtful| !Arc::ptr_eq(doubtful, targets));
    }

    /// Ends without invalidating anything, where nothing was marked.
    pub(super) fn dismiss(mut self) {
        *self.cleared.get_mut() = true;
    }

    /// Ends where the body is not run. What was marked has changed nothing, so marks that cannot be taken off now are left to expire.
    pub(super) fn call_off(self) {
        let marked = std::mem::take(&mut *lock(&self.held)).marked;
        let (core, id) = (self.core.clone(), self.id);
        self.core.finish(Box::pin(async move { drop(revoke_all(&core, &marked, Some(id)).await) }));
    }

    /// Whether one of these is under guard.
    pub(super) fn covers(&self, registers: &[Register]) -> bool {
        let held = lock(&self.held);
        let mut all = [&held.marked, &held.unmarked].into_iter().chain(held.doubtful.iter().map(|targets| &**targets));
        all.any(|targets| {
            registers.iter().any(|register| match register {
                Register::Key(key) => targets.keys.contains(key),
                Register::Tag(tag) => targets.tags.contains(tag),
            })
        })
    }

    /// Invalidates everything and takes the marks off.
    pub(crate) async fn clear(&self) -> Delivery {
        lock(&self.renewals).take();
        let (targets, outlived, grace) = {
            let held = lock(&self.held);
            let mut targets = held.marked.clone();
            extend(&mut targets, held.unmarked());
            (targets, held.until.is_some_and(|until| until < self.core.clock.now()), held.grace)
        };
        if outlived {
            tracing::warn!(
                function = self.site.label(),
                "a mutation ran longer than its hold-off, unguarded at the end"
            );
        }
        let delivery = deliver(&self.core, self.site, targets, Some(self.id), grace).await;
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
        let unmarked = held.unmarked();
        let (core, site, id, grace) = (self.core.clone(), self.site, self.id, held.grace);
        if !held.marked.is_empty() {
            let late = late_grace(&core, grace);
            let life = late.unwrap_or(core.settings.guard);
            let mark = Mark { id, life, strict: held.strict || late.is_some(), renew: false, late: true };
            let (core, promised) = (core.clone(), core.promising(held.marked.len()));
            self.core.finish(Box::pin(async move {
                if mark_all(&core, &held.marked, mark).await.is_err() {
                    let _ = deliver(&core, site, held.marked, None, late.unwrap_or_default()).await;
                }
                drop(promised);
            }));
        }
        if !unmarked.is_empty() {
            self.core.finish(Box::pin(clear_late(core, site, unmarked, grace)));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("function", &self.site.function()).finish_non_exhaustive()
    }
}

/// How long fills stay refused when a body was dropped just now, which has some time to commit, and its grace after that.
fn late_grace(core: &Core, grace: Duration) -> Option<Duration> {
    (!grace.is_zero()).then(|| core.settings.guard.saturating_add(grace))
}

/// Clears now, and once more when a body dropped just now has had time to commit. With grace, once is enough: it stands for all of that.
pub(super) async fn clear_late(core: Arc<Core>, site: &'static Site, targets: Targets, grace: Duration) {
    if let Some(grace) = late_grace(&core, grace) {
        let _ = deliver(&core, site, targets, None, grace).await;
        return;
    }
    let promised = core.promising(targets.len());
    let _ = deliver(&core, site, targets.clone(), None, grace).await;
    let (host, again) = (core.host.clone(), core.settings.guard);
    host.spawn(Box::pin(async move {
        tokio::select! {
            () = core.host.sleep(again) => drop(deliver(&core, site, targets, None, grace).await),
            // A mark of that length is as good, and nobody has to live for it.
            () = core.closing.closed() => drop(deliver(&core, site, targets, None, again).await),
        }
        drop(promised);
    }));
}

/// Tells the store; what it does not confirm goes to the journal.
pub(crate) async fn deliver(
    core: &Arc<Core>,
    site: &'static Site,
    targets: Targets,
    ended: Option<MarkId>,
    grace: Duration,
) -> Delivery {
    if targets.is_empty() {
        return Delivery::Applied;
    }
    // If the caller goes before the store has answered, the journal has it already.
    let journaled = Journaled { core, targets: &targets, grace, confirmed: false };
    let result = tell(core, &targets, ended, grace).await;
    journaled.end(result.is_ok());
    let tally = core.metrics.of(site);
    match result {
        Ok(()) => {
            tally.count(Happened::Applied);
            core.metrics.local_entries(|| core.local.as_ref().map(|local| local.len()));
            Delivery::Applied
        }
        Err(error) => {
            tally.count(Happened::Deferred);
            tracing::warn!(function = site.label(), %error, "an invalidation is deferred");
            Delivery::Deferred
        }
    }
}

/// Invalidates, takes `ended` off the marks, and holds fills back for `grace` from now on.
pub(crate) async fn tell(
    core: &Arc<Core>,
    targets: &Targets,
    ended: Option<MarkId>,
    grace: Duration,
) -> Result<(), StoreError> {
    tell_all(core, targets, ended, grace).await?;
    tag_sets::invalidated(core, &targets.tags);
    Ok(())
}

async fn tell_all(core: &Core, targets: &Targets, ended: Option<MarkId>, grace: Duration) -> Result<(), StoreError> {
    if grace.is_zero() || core.breaks(Rule::Grace) {
        return revoke_all(core, targets, ended).await;
    }
    // Clocks count whole milliseconds, and cut off.
    let life = grace.saturating_add(Duration::from_millis(1));
    let mark = Mark { id: MarkId(core.host.random()), life, strict: true, renew: false, late: true };
    if ended.is_none() {
        return mark_all(core, targets, mark).await;
    }
    // In whichever order: between the two is a moment that both of them invalidate.
    let (marked, revoked) = tokio::join!(mark_all(core, targets, mark), revoke_all(core, targets, ended));
    marked.and(revoked)
}

/// Marks in batches, each with the store's whole deadline.
async fn mark_all(core: &Core, targets: &Targets, mark: Mark) -> Result<(), StoreError> {
    for batch in targets.batches() {
        core.store.mark(batch, mark).await?;
    }
    Ok(())
}

/// Revokes in batches, each with the store's whole deadline.
async fn revoke_all(core: &Core, targets: &Targets, ended: Option<MarkId>) -> Result<(), StoreError> {
    for batch in targets.batches() {
        core.store.revoke(batch, ended).await?;
    }
    Ok(())
}

/// Sends what was not confirmed to the journal, also when the future that waits for the confirmation is dropped.
struct Journaled<'a> {
    core: &'a Arc<Core>,
    targets: &'a Targets,
    grace: Duration,
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
            journal::defer(self.core, self.targets, self.grace);
        }
    }
}

/// Renews the marks until the sender is dropped or the hold-off has passed.
fn renew(core: &Arc<Core>, id: MarkId, held: Arc<Mutex<Held>>) -> oneshot::Sender<()> {
    core.keep_on(core.settings.guard / 3, move |core| {
        let held = held.clone();
        Box::pin(async move {
            let (targets, strict, until) = {
                let held = lock(&held);
                (held.marked.clone(), held.strict, held.until)
            };
            let left = until.map_or(Duration::ZERO, |until| until.since(core.clock.now()));
            if left.is_zero() {
                return false;
            }
            // One that fails is tried again at the next turn, while the mark lives on.
            let mark = Mark { id, life: life(&core, left), strict, renew: true, late: false };
            let _ = mark_all(&core, &targets, mark).await;
            true
        })
    })
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
