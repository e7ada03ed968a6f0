//! Invalidations that wait for the end of a transaction.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::context::Context;
use crate::core::Core;
use crate::core::lock;
use crate::explain::Told;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
use crate::invalidation::guard::Guard;
use crate::invalidation::guard::deliver;
use crate::site::Site;
use crate::store::Targets;
use crate::token::Register;
use crate::watch::Mutating;

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
        let mut deferred = lock(&self.0);
        if deferred.ended {
            return None;
        }
        let known = deferred.guards.iter().find(|guard| Arc::ptr_eq(&guard.core, core)).cloned();
        Some(known.unwrap_or_else(|| {
            let guard = Arc::new(Guard::new(core, site));
            deferred.guards.push(guard.clone());
            guard
        }))
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.0).ended
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
