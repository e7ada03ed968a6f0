//! The right to fill one key: taken before the load, renewed while it runs, ended once.

use std::sync::Arc;

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
        // In process a lease dies with its holder, and is taken for as long as a load may last.
        let outside = core.store.keeps() == Keeps::Bytes;
        let renewals = outside.then(|| renew(core, &key, lease, Generation::of(&captured)));
        Self { core: core.clone(), key, lease, captured, _renewals: renewals, ended: false }
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
