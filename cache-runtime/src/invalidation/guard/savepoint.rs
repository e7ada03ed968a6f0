//! A guard of a savepoint: a part of the transaction's guard that can be given up alone.
//!
//! Both place their marks under one id, so that handing what a savepoint collected to the transaction around it tells the store nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::core::Core;
use crate::core::lock;
use crate::invalidation::deferral::Collection;
use crate::invalidation::guard::Guard;
use crate::invalidation::guard::extend;
use crate::invalidation::guard::revoke_all;
use crate::site::Site;
use crate::store::Targets;
use crate::token::MarkId;
use crate::token::Register;

impl Guard {
    /// A guard within this one.
    pub(in crate::invalidation) fn savepoint(&self, site: &'static Site) -> Self {
        let mut inner = Self::new(&self.core, site);
        inner.id = self.id;
        // What is marked strictly out here stays so, when it is marked again in there.
        lock(&inner.held).strict = lock(&self.held).strict;
        inner
    }

    /// Takes over what a guard within this one holds.
    pub(in crate::invalidation) fn absorb(&self, inner: Self) {
        let within = std::mem::take(&mut *lock(&inner.held));
        let renews = !within.marked.is_empty();
        {
            let mut held = lock(&self.held);
            extend(&mut held.marked, within.marked);
            extend(&mut held.unmarked, within.unmarked);
            held.doubtful.extend(within.doubtful);
            held.strict |= within.strict;
            held.until = held.until.max(within.until);
            held.grace = held.grace.max(within.grace);
        }
        if renews {
            self.keep_renewing();
        }
    }

    /// Ends without invalidating what was only collected, and returns its marks but for what is marked around it too.
    pub(in crate::invalidation) fn give_up(&self, around: &BTreeSet<Register>) -> GivenUp {
        lock(&self.renewals).take();
        self.cleared.store(true, Ordering::Release);
        let mut marked = BTreeSet::new();
        self.marked(&mut marked);
        let marked = Targets::from_iter(marked.difference(around).cloned());
        GivenUp { core: self.core.clone(), site: self.site, id: self.id, marked }
    }

    /// Adds what it has marked.
    pub(in crate::invalidation) fn marked(&self, registers: &mut BTreeSet<Register>) {
        registers.extend(lock(&self.held).marked.registers());
    }

    /// Adds all that it is to invalidate.
    pub(in crate::invalidation) fn collect(&self, collection: &mut Collection) {
        let held = lock(&self.held);
        let here = collection.entry(self.core.settings.namespace.clone()).or_default();
        here.registers.extend(held.marked.registers());
        here.registers.extend(held.unmarked().registers());
        here.grace = here.grace.max(held.grace);
    }
}

/// Marks of a mutation that was rolled back.
#[derive(Debug)]
pub(in crate::invalidation) struct GivenUp {
    core: Arc<Core>,
    site: &'static Site,
    id: MarkId,
    marked: Targets,
}

impl GivenUp {
    /// Takes them off. What was stored under them goes with them. Nobody renews them, so one that stays expires by itself.
    pub(in crate::invalidation) async fn clear(self) {
        if let Err(error) = revoke_all(&self.core, &self.marked, Some(self.id)).await {
            tracing::warn!(function = self.site.label(), %error, "the marks of what was rolled back are left to expire");
        }
    }
}
