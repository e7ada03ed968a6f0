//! Invalidations that wait for the end of a transaction.
//!
//! What holds:
//!
//! - what was collected is under guard until the transaction ends, and then invalidated, but for what was rolled back;
//! - a savepoint that ends, however it does, hands what it collected to the transaction around it, which alone can commit;
//! - from its end on, nothing is collected any more: who comes later is told, and invalidates for himself.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::context::Context;
use crate::core::Core;
use crate::core::lock;
use crate::explain::Told;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
use crate::invalidation::guard::GivenUp;
use crate::invalidation::guard::Guard;
use crate::invalidation::guard::deliver;
use crate::site::Site;
use crate::store::Targets;
use crate::token::Register;
use crate::watch::Mutating;

/// Invalidations that wait for the end of a transaction: a guard for each cache.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    /// The transaction that this is a savepoint of. It is locked after this one, never before.
    outer: Option<Arc<Self>>,
    deferred: Mutex<Deferred>,
}

#[derive(Debug, Default)]
struct Deferred {
    guards: Vec<Arc<Guard>>,
    /// Of what was rolled back. Reads inside go on to pass by the cache for it: what else was changed there, nobody knows.
    rolled_back: Vec<Arc<Guard>>,
    /// How many names were in the records that were handed out last.
    recorded: Option<usize>,
    ended: bool,
}

/// What was collected, by the namespaces of the caches.
pub(super) type Collection = BTreeMap<Arc<str>, InOne>;

/// What was collected in one namespace.
#[derive(Debug, Default)]
pub(super) struct InOne {
    pub(super) registers: BTreeSet<Register>,
    /// The longest that one of the mutations has asked for.
    pub(super) grace: Duration,
}

impl Deferral {
    /// A transaction, or a savepoint of `outer`.
    pub(super) fn within(outer: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { outer, deferred: Mutex::default() })
    }

    /// Takes `targets` under the transaction's guard; `false` if the transaction has ended already.
    pub(super) async fn enlist(
        &self,
        core: &Arc<Core>,
        site: &'static Site,
        targets: Targets,
        how: (Mode, Option<Duration>),
        grace: Duration,
    ) -> bool {
        let Some(guard) = self.guard(core, site) else { return false };
        guard.hold_back(grace);
        guard.add(targets, how.0, how.1).await;
        true
    }

    /// The transaction's guard for one cache, or `None` if the transaction has ended already.
    pub(super) fn guard(&self, core: &Arc<Core>, site: &'static Site) -> Option<Arc<Guard>> {
        let mut deferred = lock(&self.deferred);
        if deferred.ended {
            drop(deferred);
            return self.outer.as_ref()?.guard(core, site);
        }
        if let Some(known) = deferred.of(core) {
            return Some(known.clone());
        }
        let outer = self.outer.as_ref().and_then(|outer| outer.guard(core, site));
        let guard = Arc::new(outer.map_or_else(|| Guard::new(core, site), |outer| outer.savepoint(site)));
        deferred.guards.push(guard.clone());
        Some(guard)
    }

    /// Whether nobody collects here any more, nor around it.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.deferred).ended && self.outer.as_ref().is_none_or(|outer| outer.has_ended())
    }

    /// Whether one of these was changed by the transaction, and perhaps rolled back.
    pub(crate) fn covers(&self, core: &Arc<Core>, registers: &[Register]) -> bool {
        let here = {
            let deferred = lock(&self.deferred);
            let mut guards = deferred.guards.iter().chain(&deferred.rolled_back);
            guards.any(|guard| Arc::ptr_eq(&guard.core, core) && guard.covers(registers))
        };
        // What moves outwards meanwhile is found there.
        here || self.outer.as_ref().is_some_and(|outer| outer.covers(core, registers))
    }

    /// What was collected so far and not rolled back, to be recorded.
    pub(super) fn record(&self) -> Collection {
        let mut deferred = lock(&self.deferred);
        let collection = deferred.collection();
        deferred.recorded = Some(size(&collection));
        collection
    }

    /// Takes out what was collected so far, because it was rolled back, and returns the marks that nobody needs any more.
    pub(super) fn roll_back(&self) -> Vec<GivenUp> {
        let mut deferred = lock(&self.deferred);
        deferred.recorded = None;
        let guards = std::mem::take(&mut deferred.guards);
        let marks = guards.iter().map(|guard| guard.give_up(&self.marked_around(&guard.core))).collect();
        deferred.rolled_back.extend(guards);
        marks
    }

    /// What the transactions around this one have marked in one cache.
    fn marked_around(&self, core: &Arc<Core>) -> BTreeSet<Register> {
        let Some(outer) = &self.outer else { return BTreeSet::new() };
        let mut marked = outer.marked_around(core);
        let deferred = lock(&outer.deferred);
        deferred
            .guards
            .iter()
            .filter(|guard| Arc::ptr_eq(&guard.core, core))
            .for_each(|guard| guard.marked(&mut marked));
        marked
    }

    /// Ends it, and returns what is to be invalidated now: of a savepoint nothing, unless the transaction around it has ended.
    pub(super) fn end(&self) -> Vec<Arc<Guard>> {
        let mut deferred = lock(&self.deferred);
        if std::mem::replace(&mut deferred.ended, true) {
            return Vec::new();
        }
        deferred.tell_of_unrecorded();
        let (guards, rolled_back) = (std::mem::take(&mut deferred.guards), std::mem::take(&mut deferred.rolled_back));
        match &self.outer {
            // Under the lock, so that who looks here and then there misses nothing.
            Some(outer) => outer.adopt(guards, rolled_back),
            None => guards,
        }
    }

    /// Takes over what a savepoint collected; returns it if there is nobody to take it over.
    fn adopt(&self, guards: Vec<Arc<Guard>>, rolled_back: Vec<Arc<Guard>>) -> Vec<Arc<Guard>> {
        let mut deferred = lock(&self.deferred);
        if deferred.ended {
            drop(deferred);
            return match &self.outer {
                Some(outer) => outer.adopt(guards, rolled_back),
                None => guards,
            };
        }
        guards.into_iter().for_each(|guard| deferred.take_in(guard));
        deferred.rolled_back.extend(rolled_back);
        Vec::new()
    }
}

impl Deferred {
    fn of(&self, core: &Arc<Core>) -> Option<&Arc<Guard>> {
        self.guards.iter().find(|guard| Arc::ptr_eq(&guard.core, core))
    }

    fn take_in(&mut self, guard: Arc<Guard>) {
        let Some(own) = self.of(&guard.core).cloned() else { return self.guards.push(guard) };
        // Whoever else has it may yet add to it.
        match Arc::try_unwrap(guard) {
            Ok(guard) => own.absorb(guard),
            Err(guard) => self.guards.push(guard),
        }
    }

    fn collection(&self) -> Collection {
        let mut collection = Collection::new();
        self.guards.iter().for_each(|guard| guard.collect(&mut collection));
        collection
    }

    fn tell_of_unrecorded(&self) {
        let Some(recorded) = self.recorded else { return };
        let unrecorded = size(&self.collection()).saturating_sub(recorded);
        if unrecorded > 0 {
            tracing::warn!(
                unrecorded,
                "a transaction has invalidated more after its records were taken; take them when all mutators have run"
            );
        }
    }
}

fn size(collection: &Collection) -> usize {
    collection.values().map(|one| one.registers.len()).sum()
}

/// Invalidates `targets`: at the end of the transaction that this task is inside of, or at once.
pub(crate) async fn invalidate(core: &Arc<Core>, site: &'static Site, targets: Targets) -> Delivery {
    invalidate_all(site, vec![(core.clone(), targets)], Duration::ZERO).await
}

/// The same in several caches, as one mutation.
pub(super) async fn invalidate_all(site: &'static Site, all: Vec<(Arc<Core>, Targets)>, grace: Duration) -> Delivery {
    let context = Context::current();
    let watch = Mutating::call(site, &context, Mode::After, all.iter().map(|(_, targets)| targets));
    let mut told = Told::Applied;
    for (core, targets) in all {
        told = told.worse(invalidate_one(&core, site, targets, grace, &context).await);
    }
    watch.end(told);
    if told == Told::Applied { Delivery::Applied } else { Delivery::Deferred }
}

async fn invalidate_one(
    core: &Arc<Core>,
    site: &'static Site,
    targets: Targets,
    grace: Duration,
    context: &Context,
) -> Told {
    if let Some(deferral) = &context.deferral
        && deferral.enlist(core, site, targets.clone(), (Mode::Guarded, None), grace).await
    {
        return Told::AtTheEnd;
    }
    deliver(core, site, targets, None, grace).await.into()
}
