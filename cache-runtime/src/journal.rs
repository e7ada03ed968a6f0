//! Invalidations that could not be delivered yet.
//!
//! A mutation whose invalidation the store did not confirm is `Deferred`, never `Applied`. It stays here until a later attempt is confirmed, and what is left of its grace
//! by then is delivered with it.
//!
//! What is kept is bounded. Beyond, all of it is replaced by one invalidation that is as good as all of them: that of the namespace's [epoch](crate::epoch). Until it is delivered this process uses
//! nothing of the cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Moment;
use crate::core::Core;
use crate::core::Rule;
use crate::core::lock;
use crate::debt::Debt;
use crate::epoch;
use crate::invalidation::forget_epoch;
use crate::invalidation::tell;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Register;

/// What is still to be delivered.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    /// Whether there is anything.
    debt: Debt,
    /// How often something was taken off.
    deliveries: AtomicU64,
    /// Tells who waits that something was delivered.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    registers: BTreeMap<Register, Undelivered>,
    invalidations: u64,
    /// How many were taken off since the delivering began.
    delivered: usize,
    delivering: bool,
    /// Where the next attempt begins, so that what is refused holds up nothing behind it.
    from: Option<Register>,
    /// How many are to be tried by themselves, because together they were refused.
    singly: usize,
}

impl Kept {
    /// Whether all of the namespace is to be invalidated.
    fn is_everything(&self) -> bool {
        self.registers.contains_key(&epoch::register())
    }

    fn note(&mut self, register: Register, grace: Moment) {
        let grace = self.registers.get(&register).map_or(grace, |known| known.grace.max(grace));
        self.registers.insert(register, Undelivered { number: self.invalidations, grace });
    }

    /// Keeps one in the place of all.
    fn give_up(&mut self) {
        if !self.is_everything() {
            let undelivered = self.registers.len();
            tracing::error!(
                undelivered,
                "more invalidations are undelivered than the journal holds; the namespace will be emptied in their place"
            );
        }
        let grace = self.registers.values().map(|known| known.grace).max().unwrap_or_default();
        self.registers.clear();
        self.note(epoch::register(), grace);
    }
}

/// What is still to be said of one key or tag.
#[derive(Clone, Copy, Debug)]
struct Undelivered {
    /// The number of the invalidation that was kept last.
    number: u64,
    /// Until when its fills are to be refused.
    grace: Moment,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Journal {
    #[cfg(any(feature = "redis", feature = "memcached", feature = "test-util", feature = "sim"))]
    /// One whose contents are the `debt` of this process.
    pub(crate) fn new(debt: Debt) -> Self {
        Self { debt, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.kept).registers.len()
    }

    /// Whether anything is still to be delivered.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.debt.is_owed()
    }

    /// Whether one of these is still to be delivered, so that this process must not use its entries.
    pub(crate) fn holds<'a>(&self, registers: impl IntoIterator<Item = &'a Register>) -> bool {
        if !self.is_busy() {
            return false;
        }
        let kept = lock(&self.kept);
        !kept.registers.is_empty()
            && (kept.is_everything() || registers.into_iter().any(|register| kept.registers.contains_key(register)))
    }

    /// How often something was delivered so far.
    #[inline]
    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::SeqCst)
    }

    /// Keeps `targets`, whose fills are to be refused until `grace`, and says whether somebody has to start delivering.
    fn keep(&self, targets: &Targets, grace: Moment, capacity: usize) -> bool {
        let mut kept = lock(&self.kept);
        self.debt.set(true);
        kept.invalidations += 1;
        for register in registers(targets) {
            kept.note(register, grace);
        }
        if kept.is_everything() || kept.registers.len() > capacity {
            kept.give_up();
        }
        !std::mem::replace(&mut kept.delivering, true)
    }

    /// The next few, and the number of the last invalidation they can speak for; `None` ends the delivering.
    fn next(&self, now: Moment) -> Option<Next> {
        let mut kept = lock(&self.kept);
        if kept.registers.is_empty() {
            kept.delivering = false;
            let delivered = std::mem::take(&mut kept.delivered);
            drop(kept);
            tracing::info!(delivered, "all deferred invalidations were delivered");
            return None;
        }
        let from = kept.from.clone().filter(|from| kept.registers.range(from..).next().is_some());
        let behind =
            from.as_ref().map_or_else(|| kept.registers.range::<Register, _>(..), |from| kept.registers.range(from..));
        // Those with grace and those without are told otherwise.
        let with_grace = behind.clone().next().is_some_and(|(_, first)| first.grace > now);
        let mut next =
            Next { targets: Targets::default(), grace: Duration::ZERO, last: kept.invalidations, behind: None };
        let most = if kept.singly > 0 { 1 } else { Targets::BATCH };
        let mut alike = behind.filter(|(_, known)| (known.grace > now) == with_grace);
        for (register, known) in alike.by_ref().take(most) {
            next.grace = next.grace.max(known.grace.since(now));
            match register {
                Register::Key(key) => next.targets.keys.push(key.clone()),
                Register::Tag(tag) => next.targets.tags.push(tag.clone()),
            }
        }
        next.behind = alike.next().map(|(register, _)| register.clone());
        drop(alike);
        Some(next)
    }

    /// Takes off what was delivered, but for what was invalidated once more meanwhile.
    fn strike(&self, targets: &Targets, last: u64) {
        let mut kept = lock(&self.kept);
        // Before anything is gone, so that who finds it gone also finds this changed.
        self.deliveries.fetch_add(1, Ordering::SeqCst);
        for register in registers(targets) {
            if kept.registers.get(&register).is_some_and(|known| known.number <= last) {
                kept.registers.remove(&register);
                kept.delivered += 1;
            }
        }
        // Whoever finds nothing pending is let through to the store.
        self.debt.set(!kept.registers.is_empty());
        drop(kept);
        self.changed.notify_waiters();
    }

    /// The store has answered that it does not do it: what is behind is tried before that is tried again, and what was refused together one by one.
    fn refused(&self, next: &Next) {
        let mut kept = lock(&self.kept);
        if next.targets.len() > 1 {
            kept.singly = next.targets.len();
        } else {
            kept.singly = kept.singly.saturating_sub(1);
            kept.from = next.behind.clone();
        }
    }

    /// The store has done it.
    fn done(&self, next: &Next) {
        let mut kept = lock(&self.kept);
        kept.singly = kept.singly.saturating_sub(1);
        kept.from = next.behind.clone();
    }

    /// Whether something is left that nobody delivers; who is told so delivers.
    fn goes_on(&self) -> bool {
        let mut kept = lock(&self.kept);
        !kept.registers.is_empty() && !std::mem::replace(&mut kept.delivering, true)
    }

    /// Nobody delivers any more.
    fn stop(&self) {
        lock(&self.kept).delivering = false;
    }
}

/// What is delivered in one attempt.
struct Next {
    targets: Targets,
    /// How long fills of it stay refused from now on.
    grace: Duration,
    last: u64,
    /// What comes after it.
    behind: Option<Register>,
}

/// Keeps `targets` and tries again, beside the caller, until they are delivered or the cache is gone. Their fills stay refused for `grace` from now on.
pub(crate) fn defer(core: &Arc<Core>, targets: &Targets, grace: Duration) {
    let grace = if core.breaks(Rule::JournaledGrace) { Duration::ZERO } else { grace };
    if core.breaks(Rule::Overflow) && core.journal.len() + targets.len() > capacity(core) {
        return;
    }
    let starts = core.journal.keep(targets, core.clock.now().after(grace), capacity(core));
    core.metrics.pending(core.journal.len());
    if starts {
        start(core);
    }
}

/// Ends when nothing is left to be delivered. Until then it is tried, also after the cache is closed.
pub(crate) async fn drained(core: &Arc<Core>) {
    let journal = &core.journal;
    if journal.goes_on() {
        start(core);
    }
    journal.debt.call();
    loop {
        let mut changed = std::pin::pin!(journal.changed.notified());
        changed.as_mut().enable();
        if journal.len() == 0 {
            return;
        }
        changed.await;
    }
}

fn start(core: &Arc<Core>) {
    let weak = Arc::downgrade(core);
    let (host, debt) = (core.host.clone(), core.journal.debt.clone());
    core.host.spawn(Box::pin(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            // Sooner, if somebody has reason to think that the store is back.
            tokio::select! {
                biased;
                () = debt.called() => {}
                () = host.sleep(jittered(pause, host.random())) => {}
            }
            let Some(core) = weak.upgrade() else { return };
            if core.closing.is_over() {
                return core.journal.stop();
            }
            let Some(next) = core.journal.next(core.clock.now()) else { return };
            match tell(&core, &next.targets, None, next.grace).await {
                Ok(()) => {
                    // As long as it is kept here nobody reads, so nobody knows it again before that.
                    if next.targets == Targets::everything() {
                        forget_epoch(&core);
                    }
                    core.journal.strike(&next.targets, next.last);
                    core.journal.done(&next);
                    core.metrics.pending(core.journal.len());
                    pause = Duration::ZERO;
                }
                Err(StoreError::Refused(_)) => {
                    core.journal.refused(&next);
                    pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                }
                Err(_) => pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            }
        }
    }));
}

/// Between half of `pause` and all of it, so that processes which lost the store together do not come back to it together.
fn jittered(pause: Duration, chance: u128) -> Duration {
    pause / 2 + (pause / 2).mul_f64(f64::from(chance as u32) / f64::from(u32::MAX))
}

fn capacity(core: &Core) -> usize {
    core.settings.journal_capacity
}

fn registers(targets: &Targets) -> impl Iterator<Item = Register> {
    let keys = targets.keys.iter().cloned().map(Register::Key);
    keys.chain(targets.tags.iter().cloned().map(Register::Tag))
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::core::Settings;
    use crate::host::Host;
    use crate::host::SharedHost;
    use crate::host::Task;
    use crate::key::Name;
    use crate::local::Capacity;
    use crate::local::Local;
    use crate::testing::Faults;
    use crate::testing::Outside;

    /// Where nobody who sleeps wakes up.
    #[derive(Debug)]
    struct Sleeping;

    impl Host for Sleeping {
        fn spawn(&self, task: Task) {
            tokio::spawn(task);
        }

        fn sleep(&self, _: Duration) -> Task {
            Box::pin(std::future::pending())
        }

        fn random(&self) -> u128 {
            rand::random()
        }
    }

    fn core(faults: &Faults) -> Arc<Core> {
        let (host, clock): (SharedHost, _) = (Arc::new(Sleeping), Clock::held());
        let local = Arc::new(Local::new(Capacity::default(), clock.clone()));
        let store = faults.over(Arc::new(Outside(local)), &host, &clock, &Settings::default());
        Arc::new(Core::new(store, host, clock, Settings::default()))
    }

    fn tags(tags: std::ops::Range<usize>) -> Targets {
        let tags = tags.map(|tag| Name::new(format!("t{tag}").as_bytes())).collect();
        Targets { keys: Vec::new(), tags }
    }

    /// Lets everything run that can.
    async fn rest() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_delivers_tries_at_once_when_woken() {
        let faults = Faults::new();
        let core = core(&faults);
        faults.fail();
        defer(&core, &tags(0..1), Duration::ZERO);
        rest().await;
        core.journal.debt.call();
        rest().await;
        assert_eq!(core.journal.len(), 1);
        faults.heal();
        rest().await;
        assert_eq!(core.journal.len(), 1, "it sleeps");
        core.journal.debt.call();
        rest().await;
        assert_eq!(core.journal.len(), 0);
    }

    #[test]
    fn pauses_are_spread_and_no_longer_than_said() {
        let pause = Duration::from_secs(2);
        let spread: Vec<_> = (0..1000).map(|_| jittered(pause, rand::random())).collect();
        assert!(spread.iter().all(|one| (pause / 2..=pause).contains(one)));
        assert!(spread.iter().max().unwrap().saturating_sub(*spread.iter().min().unwrap()) > pause / 4);
    }
}
