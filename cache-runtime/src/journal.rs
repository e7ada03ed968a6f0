//! Invalidations that could not be delivered yet.
//!
//! A mutation whose invalidation the store did not confirm is `Deferred`, never `Applied`. It stays here until a later attempt is confirmed, and what is left of its grace
//! by then is delivered with it.
//!
//! What is kept is bounded. Beyond, all of it is replaced by one invalidation that is as good as all of them: that of the namespace's [epoch](crate::epoch). Until it is delivered this process uses
//! nothing of the cache.
//!
//! Each node of a store is delivered to by itself, so that one that is away holds up none of the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Moment;
use crate::core::Core;
use crate::core::Rule;
use crate::core::lock;
use crate::debt::Debts;
use crate::epoch;
use crate::invalidation::forget_epoch;
use crate::invalidation::tell;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Register;

/// What is still to be delivered.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    /// Whether there is anything.
    is_busy: AtomicBool,
    /// What of it is owed to whom.
    debts: Debts,
    /// How often something was taken off.
    deliveries: AtomicU64,
    /// Tells who waits that something was delivered.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    /// What is to be delivered to each node, and where there are several, then what is to be delivered to all of them.
    parts: Vec<Part>,
    invalidations: u64,
}

/// What is delivered by itself.
#[derive(Clone, Debug, Default)]
struct Part {
    registers: BTreeMap<Register, Undelivered>,
    /// How many were taken off since the delivering began.
    delivered: usize,
    delivering: bool,
    /// Where the next attempt begins, so that what is refused holds up nothing behind it.
    from: Option<Register>,
    /// How many are to be tried by themselves, because together they were refused.
    singly: usize,
}

impl Kept {
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.registers.len()).sum()
    }

    /// Whether all of the namespace is to be invalidated. It is what is delivered last.
    fn is_everything(&self) -> bool {
        self.parts.last().is_some_and(|part| part.registers.contains_key(&epoch::register()))
    }

    fn note(&mut self, register: Register, grace: Moment, debts: &Debts) {
        let (number, part) = (self.invalidations, debts.part(&register));
        let registers = &mut self.parts[part].registers;
        let known = registers.get(&register);
        if known.is_none() {
            debts.owe(&register, part);
        }
        let grace = known.map_or(grace, |known| known.grace.max(grace));
        registers.insert(register, Undelivered { number, grace });
    }

    /// Keeps one in the place of all.
    fn give_up(&mut self, debts: &Debts) {
        if !self.is_everything() {
            let undelivered = self.len();
            tracing::error!(
                undelivered,
                "more invalidations are undelivered than the journal holds; the namespace will be emptied in their place"
            );
        }
        let known = self.parts.iter().flat_map(|part| part.registers.values());
        let grace = known.map(|known| known.grace).max().unwrap_or_default();
        self.parts.iter_mut().for_each(|part| part.registers.clear());
        debts.forgive();
        self.note(epoch::register(), grace, debts);
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
    /// One whose contents are the `debts` of this process.
    pub(crate) fn new(debts: Debts) -> Self {
        Self {
            kept: Mutex::new(Kept { parts: vec![Part::default(); debts.parts()], invalidations: 0 }),
            is_busy: AtomicBool::new(false),
            debts,
            deliveries: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.kept).len()
    }

    /// What of it is owed to which node of the store.
    pub(crate) fn debts(&self) -> &Debts {
        &self.debts
    }

    /// Whether anything is still to be delivered.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Whether one of these is still to be delivered, so that this process must not use its entries.
    pub(crate) fn holds<'a>(&self, registers: impl IntoIterator<Item = &'a Register>) -> bool {
        if !self.is_busy() {
            return false;
        }
        let kept = lock(&self.kept);
        let mut registers = registers.into_iter();
        kept.is_everything()
            || registers.any(|register| kept.parts[self.debts.part(register)].registers.contains_key(register))
    }

    /// How often something was delivered so far.
    #[inline]
    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::SeqCst)
    }

    /// Keeps `targets`, whose fills are to be refused until `grace`, and says what somebody has to start delivering.
    fn keep(&self, targets: &Targets, grace: Moment, capacity: usize) -> Vec<usize> {
        let mut kept = lock(&self.kept);
        kept.invalidations += 1;
        for register in registers(targets) {
            kept.note(register, grace, &self.debts);
        }
        if kept.is_everything() || kept.len() > capacity {
            kept.give_up(&self.debts);
        }
        self.is_busy.store(true, Ordering::Release);
        begin(&mut kept)
    }

    /// The next few of a part, and the number of the last invalidation they can speak for; `None` ends the delivering.
    fn next(&self, part: usize, now: Moment) -> Option<Next> {
        let mut all = lock(&self.kept);
        let last = all.invalidations;
        let kept = &mut all.parts[part];
        if kept.registers.is_empty() {
            kept.delivering = false;
            let delivered = std::mem::take(&mut kept.delivered);
            let is_all = all.len() == 0;
            drop(all);
            if is_all {
                tracing::info!(delivered, "all deferred invalidations were delivered");
            }
            return None;
        }
        let from = kept.from.clone().filter(|from| kept.registers.range(from..).next().is_some());
        let behind =
            from.as_ref().map_or_else(|| kept.registers.range::<Register, _>(..), |from| kept.registers.range(from..));
        // Those with grace and those without are told otherwise.
        let with_grace = behind.clone().next().is_some_and(|(_, first)| first.grace > now);
        let mut next = Next { targets: Targets::default(), grace: Duration::ZERO, last, behind: None };
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
    fn strike(&self, part: usize, targets: &Targets, last: u64) {
        let mut all = lock(&self.kept);
        // Before anything is gone, so that who finds it gone also finds this changed.
        self.deliveries.fetch_add(1, Ordering::SeqCst);
        let kept = &mut all.parts[part];
        for register in registers(targets) {
            if kept.registers.get(&register).is_some_and(|known| known.number <= last) {
                kept.registers.remove(&register);
                kept.delivered += 1;
                // Whoever finds nothing owed is let through to the node.
                self.debts.pay(&register);
            }
        }
        self.is_busy.store(all.len() > 0, Ordering::Release);
        drop(all);
        self.changed.notify_waiters();
    }

    /// The store has answered that it does not do it: what is behind is tried before that is tried again, and what was refused together one by one.
    fn refused(&self, part: usize, next: &Next) {
        let kept = &mut lock(&self.kept).parts[part];
        if next.targets.len() > 1 {
            kept.singly = next.targets.len();
        } else {
            kept.singly = kept.singly.saturating_sub(1);
            kept.from = next.behind.clone();
        }
    }

    /// The store has done it.
    fn done(&self, part: usize, next: &Next) {
        let kept = &mut lock(&self.kept).parts[part];
        kept.singly = kept.singly.saturating_sub(1);
        kept.from = next.behind.clone();
    }

    /// What is left that nobody delivers; who is told so delivers.
    fn goes_on(&self) -> Vec<usize> {
        begin(&mut lock(&self.kept))
    }

    /// Nobody delivers any more.
    fn stop(&self, part: usize) {
        lock(&self.kept).parts[part].delivering = false;
    }
}

/// The parts of which something is to be delivered and nobody does; from now on somebody does.
fn begin(kept: &mut Kept) -> Vec<usize> {
    let idle = |part: &mut Part| !part.registers.is_empty() && !std::mem::replace(&mut part.delivering, true);
    kept.parts.iter_mut().enumerate().filter_map(|(at, part)| idle(part).then_some(at)).collect()
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
    let parts = core.journal.keep(targets, core.clock.now().after(grace), capacity(core));
    core.metrics.pending(core.journal.len());
    parts.into_iter().for_each(|part| start(core, part));
}

/// Ends when nothing is left to be delivered. Until then it is tried, also after the cache is closed.
pub(crate) async fn drained(core: &Arc<Core>) {
    let journal = &core.journal;
    journal.goes_on().into_iter().for_each(|part| start(core, part));
    (0..journal.debts.parts()).for_each(|part| journal.debts.call(part));
    loop {
        let changed = journal.changed.notified();
        if journal.len() == 0 {
            return;
        }
        changed.await;
    }
}

/// Delivers a part of what is kept, beside the caller, until nothing of it is left.
fn start(core: &Arc<Core>, part: usize) {
    let weak = Arc::downgrade(core);
    let (host, debts) = (core.host.clone(), core.journal.debts.clone());
    core.host.spawn(Box::pin(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            // Sooner, if somebody has reason to think that the store is back.
            tokio::select! {
                biased;
                () = debts.called(part) => {}
                () = host.sleep(jittered(pause, host.random())) => {}
            }
            let Some(core) = weak.upgrade() else { return };
            if core.closing.is_over() {
                return core.journal.stop(part);
            }
            let Some(next) = core.journal.next(part, core.clock.now()) else { return };
            match tell(&core, &next.targets, None, next.grace).await {
                Ok(()) => {
                    // As long as it is kept here nobody reads, so nobody knows it again before that.
                    if next.targets == Targets::everything() {
                        forget_epoch(&core);
                    }
                    core.journal.strike(part, &next.targets, next.last);
                    core.journal.done(part, &next);
                    core.metrics.pending(core.journal.len());
                    pause = Duration::ZERO;
                }
                Err(StoreError::Refused(_)) => {
                    core.journal.refused(part, &next);
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
mod tests;
