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

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::closing::close;
    use crate::core::Settings;
    use crate::host::SharedHost;
    use crate::host::held::Held;
    use crate::host::held::rest;
    use crate::local::Capacity;
    use crate::local::Local;
    use crate::store::Begin;
    use crate::store::LeaseRequest;
    use crate::store::LeaseState;
    use crate::store::Steal;
    use crate::store::Targets;
    use crate::testing::Faults;
    use crate::testing::Outside;

    /// A lease lives for three of them, and a load may take ten.
    const SECOND: Duration = Duration::from_secs(1);

    struct Rig {
        host: Arc<Held>,
        clock: Clock,
        faults: Faults,
        core: Arc<Core>,
    }

    fn rig() -> Rig {
        let (held, clock, faults) = (Arc::new(Held::new()), Clock::held(), Faults::new());
        let host: SharedHost = held.clone();
        let settings = Settings { lease: 3 * SECOND, max_load: 10 * SECOND, ..Settings::default() };
        let local = Arc::new(Local::new(Capacity::default(), clock.clone()));
        let store = faults.over(Arc::new(Outside(local)), &host, &clock, &settings);
        let core = Arc::new(Core::new(store, host, clock.clone(), settings));
        Rig { host: held, clock, faults, core }
    }

    impl Rig {
        /// Takes the lease, if it is free.
        async fn take(&self) -> Option<LeaseId> {
            let lease = LeaseRequest {
                key: key(),
                id: LeaseId::asked(self.core.host.random()),
                generation: None,
                life: lease_life(&self.core),
                seen: None,
                steal: Steal::Nobodys,
            };
            let begin = Begin { lease: Some(lease), registers: Vec::new(), token_life: SECOND };
            match self.core.store.begin(begin).await.unwrap().lease {
                Some(LeaseState::Won(id)) => Some(id),
                _ => None,
            }
        }

        async fn right(&self) -> Right {
            let right = Right::new(&self.core, key(), self.take().await.unwrap(), Vec::new());
            rest().await;
            right
        }

        async fn pass(&self, time: Duration) {
            self.clock.advance(time);
            self.host.pass(time).await;
        }
    }

    fn key() -> Name {
        Name::new(b"row:7")
    }

    #[tokio::test]
    async fn a_lease_is_renewed_for_as_long_as_a_load_may_take_and_then_expires() {
        let rig = rig();
        let _right = rig.right().await;
        for second in 1..12 {
            rig.pass(SECOND).await;
            assert_eq!(rig.take().await, None, "after {second} seconds");
        }
        // It was renewed for the last time after nine.
        rig.pass(SECOND).await;
        assert!(rig.take().await.is_some());
    }

    #[tokio::test]
    async fn a_renewal_that_fails_is_not_the_last() {
        let rig = rig();
        let _right = rig.right().await;
        rig.faults.fail();
        rig.pass(SECOND).await;
        rig.faults.heal();
        for _ in 2..12 {
            rig.pass(SECOND).await;
            assert_eq!(rig.take().await, None);
        }
    }

    #[tokio::test]
    async fn a_lease_that_is_lost_is_renewed_no_more() {
        let rig = rig();
        let _right = rig.right().await;
        assert_eq!(rig.host.asked(), [SECOND]);
        rig.core.store.revoke(Targets { keys: vec![key()], tags: Vec::new() }, None).await.unwrap();
        rig.pass(SECOND).await;
        assert!(rig.host.asked().is_empty());
    }

    #[tokio::test]
    async fn one_that_is_given_up_is_free_at_once_and_renewed_no_more() {
        let rig = rig();
        drop(rig.right().await);
        rest().await;
        assert!(rig.take().await.is_some());
        rig.host.asked();
        rig.pass(SECOND).await;
        assert!(rig.host.asked().is_empty());
    }

    #[tokio::test]
    async fn one_that_comes_after_the_cache_was_closed_is_given_up_at_once() {
        let rig = rig();
        assert!(close(&rig.core, SECOND).await.is_complete());
        let _right = rig.right().await;
        assert!(rig.take().await.is_some());
    }

    #[tokio::test]
    async fn who_closes_waits_for_no_pause_where_leases_can_be_given_up() {
        let rig = rig();
        let _right = rig.right().await;
        let core = rig.core.clone();
        let closing = tokio::spawn(async move { close(&core, SECOND).await });
        rest().await;
        assert!(closing.is_finished());
        assert!(closing.await.unwrap().is_complete());
        assert!(rig.take().await.is_some());
    }

    #[tokio::test]
    async fn one_that_a_fill_is_about_to_end_is_left_to_that() {
        let rig = rig();
        let right = rig.right().await;
        right.is_filling();
        let core = rig.core.clone();
        let closing = tokio::spawn(async move { close(&core, SECOND).await });
        rest().await;
        assert!(!closing.is_finished());
        right.spend();
        rest().await;
        assert!(closing.is_finished());
        assert!(closing.await.unwrap().is_complete());
        assert_eq!(rig.take().await, None, "it was given up");
    }

    #[tokio::test]
    async fn who_closes_tries_again_after_a_pause_and_says_what_it_did_not_live_to_see() {
        let rig = rig();
        let _right = rig.right().await;
        rig.faults.fail();
        let closed = || {
            let core = rig.core.clone();
            tokio::spawn(async move { close(&core, SECOND).await })
        };
        let first = closed();
        rest().await;
        let pause = Duration::from_millis(50);
        assert_eq!(rig.host.asked().iter().filter(|asked| **asked == pause).count(), 1, "it is tried once in a while");
        rig.pass(SECOND).await;
        assert!(first.is_finished());
        let first = first.await.unwrap();
        assert!(!first.is_complete());
        assert_eq!(first.leases, 1);
        let second = closed();
        rest().await;
        rig.faults.heal();
        rest().await;
        assert!(!second.is_finished());
        rig.pass(pause).await;
        assert!(second.is_finished());
        assert!(second.await.unwrap().is_complete());
    }
}
