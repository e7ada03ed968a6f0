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
        Self { core: core.clone(), key, lease, captured, _renewals: renewals, ended: false }
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
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        if !self.ended {
            let (core, key, lease) = (self.core.clone(), self.key.clone(), self.lease);
            // If it cannot be given up now it expires by itself.
            self.core.finish(Box::pin(async move { drop(core.store.release(key, lease).await) }));
        }
    }
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
    let (hold, mut ended) = oneshot::channel();
    let (weak, host, key) = (Arc::downgrade(core), core.host.clone(), key.clone());
    let (life, limit) = (core.settings.lease, core.clock.now().after(core.settings.max_load));
    core.host.spawn(Box::pin(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => return,
                () = host.sleep(life / 3) => {}
            }
            let Some(core) = weak.upgrade() else { return };
            if core.clock.now() >= limit || core.store.renew(key.clone(), lease, generation, life).await == Ok(false) {
                return;
            }
        }
    }));
    hold
}
