//! The right to fill one key: taken before the load, renewed while it runs, ended once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::core::Core;
use crate::key::Name;
use crate::store::Keeps;
use crate::token::Dependency;
use crate::token::Generation;
use crate::token::LeaseId;

/// A lease that was asked for. If the answer is not taken, because there was none or nobody waits for it any more, it is given up: it would keep others waiting.
#[derive(Debug)]
pub(crate) struct Asked {
    core: Arc<Core>,
    key: Name,
    id: LeaseId,
    answered: bool,
}

impl Asked {
    pub(crate) fn new(core: &Arc<Core>, key: Name) -> Self {
        let id = LeaseId::asked(core.host.random());
        Self { core: core.clone(), key, id, answered: false }
    }

    pub(crate) fn id(&self) -> LeaseId {
        self.id
    }

    /// The answer is taken.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            let_go(&self.core, self.key.clone(), self.id);
        }
    }
}

/// A lease that is held, and everything that was captured with it.
///
/// Dropping it gives the lease up. It may change hands: what was captured was captured before any load under it.
#[derive(Debug)]
pub(crate) struct Right {
    core: Arc<Core>,
    key: Name,
    pub(crate) lease: LeaseId,
    pub(crate) captured: Vec<Dependency>,
    /// Dropped with the right, which ends the renewals.
    _renewals: Option<oneshot::Sender<()>>,
    ended: bool,
}

impl Right {
    pub(crate) fn new(core: &Arc<Core>, key: Name, lease: LeaseId, captured: Vec<Dependency>) -> Self {
        let outside = core.store.keeps() == Keeps::Bytes;
        let renewals = outside.then(|| renew(core, &key, lease, Generation::of(&captured)));
        if outside && core.closing.hold(key.clone(), lease) {
            // Nothing is stored any more.
            let_go(core, key.clone(), lease);
        }
        Self { core: core.clone(), key, lease, captured, _renewals: renewals, ended: false }
    }

    /// A fill is about to end it.
    pub(crate) fn is_filling(&self) {
        self.core.closing.is_ending(self.lease);
    }

    /// Tells the store what was captured, which was not known yet when the lease was taken, so that others can see when it is out of date.
    pub(crate) fn announce(&self) {
        let (core, key, lease) = (self.core.clone(), self.key.clone(), self.lease);
        let (generation, life) = (Generation::of(&self.captured), lease_life(&self.core));
        // If it cannot be told now, the first renewal tells it.
        self.core.finish(Box::pin(async move { drop(core.store.renew(key, lease, generation, life).await) }));
    }

    /// Ends it without giving the lease up, because a fill does.
    pub(crate) fn spend(mut self) {
        self.ended = true;
        self.core.closing.ended(self.lease, true);
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        if !self.ended {
            let_go(&self.core, self.key.clone(), self.lease);
        }
    }
}

/// Gives a lease up, off the caller's path. If that does not succeed it expires by itself.
pub(crate) fn let_go(core: &Arc<Core>, key: Name, lease: LeaseId) {
    core.closing.is_ending(lease);
    let of = core.clone();
    core.finish(Box::pin(async move {
        let released = of.store.release(key, lease).await;
        of.closing.ended(lease, released.is_ok());
    }));
}

/// How long a lease is taken for: in process, where it dies with its holder, for as long as a load may last.
pub(crate) fn lease_life(core: &Core) -> Duration {
    match core.store.keeps() {
        Keeps::Bytes => core.settings.lease,
        Keeps::Values => core.settings.max_load,
    }
}

/// Renews the lease until the sender is dropped, it is lost, or a load has taken as long as it may.
fn renew(core: &Arc<Core>, key: &Name, lease: LeaseId, generation: Generation) -> oneshot::Sender<()> {
    let (key, life) = (key.clone(), core.settings.lease);
    let limit = core.clock.now().after(core.settings.max_load);
    core.keep_on(life / 3, move |core| {
        let key = key.clone();
        Box::pin(async move {
            core.clock.now() < limit && core.store.renew(key, lease, generation, life).await != Ok(false)
        })
    })
}
