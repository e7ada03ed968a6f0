//! Invalidations that could not be delivered yet.
//!
//! A mutation whose invalidation the store did not confirm is `Deferred`, never `Applied`. It stays here until a later attempt is confirmed, and what is left of its grace
//! by then is delivered with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Moment;
use crate::core::Core;
use crate::core::Rule;
use crate::core::lock;
use crate::debt::Debt;
use crate::invalidation::tell;
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
}

#[derive(Debug, Default)]
struct Kept {
    registers: BTreeMap<Register, Undelivered>,
    invalidations: u64,
    /// How many were taken off since the delivering began.
    delivered: usize,
    delivering: bool,
}

/// What is still to be said of one key or tag.
#[derive(Clone, Copy, Debug)]
struct Undelivered {
    /// The number of the invalidation that was kept last.
    number: u64,
    /// Until when its fills are to be refused.
    grace: Moment,
}

/// How many keys and tags are kept at most. What does not fit is lost to the journal and stale until its time-to-live, which an event says.
const MOST: usize = 100_000;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Journal {
    #[cfg(any(feature = "redis", feature = "test-util", feature = "sim"))]
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
        !kept.registers.is_empty() && registers.into_iter().any(|register| kept.registers.contains_key(register))
    }

    /// How often something was delivered so far.
    #[inline]
    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::SeqCst)
    }

    /// Keeps `targets`, whose fills are to be refused until `grace`, and says whether somebody has to start delivering.
    fn keep(&self, targets: &Targets, grace: Moment) -> bool {
        let mut kept = lock(&self.kept);
        self.debt.set(true);
        for register in registers(targets) {
            if kept.registers.len() >= MOST {
                tracing::error!(
                    "more invalidations are undelivered than the journal holds; entries may be stale until they expire"
                );
                break;
            }
            kept.invalidations += 1;
            let number = kept.invalidations;
            let known = kept.registers.get(&register).map_or(grace, |known| known.grace.max(grace));
            kept.registers.insert(register, Undelivered { number, grace: known });
        }
        !std::mem::replace(&mut kept.delivering, true)
    }

    /// The next few, and the number of the last invalidation they can speak for; `None` ends the delivering.
    fn next(&self, now: Moment) -> Option<Next> {
        let mut kept = lock(&self.kept);
        if kept.registers.is_empty() {
            kept.delivering = false;
            self.debt.set(false);
            let delivered = std::mem::take(&mut kept.delivered);
            drop(kept);
            tracing::info!(delivered, "all deferred invalidations were delivered");
            return None;
        }
        // Those with grace and those without are told otherwise.
        let with_grace = kept.registers.values().next().is_some_and(|first| first.grace > now);
        let mut next = Next { targets: Targets::default(), grace: Duration::ZERO, last: kept.invalidations };
        let alike = kept.registers.iter().filter(|(_, known)| (known.grace > now) == with_grace);
        for (register, known) in alike.take(Targets::BATCH) {
            next.grace = next.grace.max(known.grace.since(now));
            match register {
                Register::Key(key) => next.targets.keys.push(key.clone()),
                Register::Tag(tag) => next.targets.tags.push(tag.clone()),
            }
        }
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
    }
}

/// What is delivered in one attempt.
struct Next {
    targets: Targets,
    /// How long fills of it stay refused from now on.
    grace: Duration,
    last: u64,
}

/// Keeps `targets` and tries again, beside the caller, until they are delivered or the cache is gone. Their fills stay refused for `grace` from now on.
pub(crate) fn defer(core: &Arc<Core>, targets: &Targets, grace: Duration) {
    let grace = if core.breaks(Rule::JournaledGrace) { Duration::ZERO } else { grace };
    let starts = core.journal.keep(targets, core.clock.now().after(grace));
    core.metrics.pending(core.journal.len());
    if starts {
        let weak = Arc::downgrade(core);
        let (host, debt) = (core.host.clone(), core.journal.debt.clone());
        core.host.spawn(Box::pin(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                // Sooner, if somebody has reason to think that the store is back.
                tokio::select! {
                    biased;
                    () = debt.called() => {}
                    () = host.sleep(pause) => {}
                }
                let Some(core) = weak.upgrade() else { return };
                let Some(next) = core.journal.next(core.clock.now()) else { return };
                match tell(&core, &next.targets, None, next.grace).await {
                    Ok(()) => {
                        core.journal.strike(&next.targets, next.last);
                        core.metrics.pending(core.journal.len());
                        pause = Duration::ZERO;
                    }
                    Err(_) => pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                }
            }
        }));
    }
}

fn registers(targets: &Targets) -> impl Iterator<Item = Register> {
    let keys = targets.keys.iter().cloned().map(Register::Key);
    keys.chain(targets.tags.iter().cloned().map(Register::Tag))
}
