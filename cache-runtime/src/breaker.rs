//! A breaker: whether a store, or one node of it, is asked at all.
//!
//! Asking a store that does not answer costs every call its deadline. So after some failures in a row, or one answer that did not come in time, the breaker opens:
//! calls are shed at once, at the cost of a load and a comparison. After a pause one call, the probe, is let through. Its success closes the breaker; its failure opens it again for
//! twice as long, up to the longest pause. Pauses are shortened by chance, so that the processes of a fleet do not probe in step.
//!
//! What holds:
//!
//! - while it is open, at most one call at a time is under way to the store, but for invalidations: telling the store that something is stale is worth every try;
//! - while this process owes the store invalidations, no other call is the probe: the store is told what is stale before it is read again. Once it has answered that, what it may go on to refuse
//!   keeps nobody else from it.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::core::lock;
use crate::debt::Debt;
use crate::host::SharedHost;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Failures in a row that open it.
    pub(crate) failures: u32,
    /// The longest pause between two probes.
    pub(crate) pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(1) }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Limits,
    clock: Clock,
    host: SharedHost,
    debt: Debt,
    /// Failures since the last success, while it is closed.
    failures: AtomicU32,
    is_open: AtomicBool,
    /// What matters while it is open.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// When the next probe may go.
    until: Moment,
    /// The pause after the next failure.
    pause: Duration,
    is_probed: bool,
    /// When an invalidation was first answered since it opened, or since the last that was not.
    told: Option<Moment>,
}

/// What a call came to, as far as the health of the store goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered.
    Well,
    /// It failed.
    Failing,
    /// It did not answer in time.
    Late,
    /// There is nobody to ask, which is known at once.
    Gone,
}

/// The right to ask the store once. Dropped without an end, it says nothing of the store.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Given while the breaker was closed.
    Usual,
    /// The one that finds out.
    Probe,
    /// Given whatever the state.
    Urgent,
}

impl Breaker {
    pub(crate) fn new(limits: Limits, clock: Clock, host: SharedHost, debt: Debt) -> Self {
        Self {
            limits,
            clock,
            host,
            debt,
            failures: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            open: Mutex::default(),
        }
    }

    /// Lets a call through, or sheds it.
    #[inline]
    pub(crate) fn admit(&self) -> Option<Pass<'_>> {
        if !self.is_open.load(Ordering::Acquire) {
            return Some(Pass { breaker: self, kind: Kind::Usual });
        }
        self.probe()
    }

    /// Lets an invalidation through.
    pub(crate) fn admit_urgent(&self) -> Pass<'_> {
        let kind = if self.is_open.load(Ordering::Acquire) { Kind::Urgent } else { Kind::Usual };
        Pass { breaker: self, kind }
    }

    /// Whether calls are shed.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Lets the next probe go at once.
    #[cfg(feature = "test-util")]
    pub(crate) fn hurry(&self) {
        lock(&self.open).until = Moment::default();
    }

    #[cold]
    fn probe(&self) -> Option<Pass<'_>> {
        let mut open = lock(&self.open);
        if !self.is_open.load(Ordering::Acquire) {
            return Some(Pass { breaker: self, kind: Kind::Usual });
        }
        let now = self.clock.now();
        if open.is_probed || now < open.until {
            return None;
        }
        if self.debt.is_owed() && open.told.is_none_or(|told| now < told.after(FIRST_PAUSE)) {
            // Who delivers is the probe, and has as long as a failed one takes to be tried again.
            open.until = now.after(FIRST_PAUSE);
            self.debt.call();
            return None;
        }
        open.is_probed = true;
        Some(Pass { breaker: self, kind: Kind::Probe })
    }

    /// Opens it until the store has been told what it is owed, which is now its own: nobody has failed.
    #[cfg(feature = "redis")]
    pub(crate) fn hold(&self) {
        let mut open = lock(&self.open);
        if !self.is_open.swap(true, Ordering::AcqRel) {
            *open =
                Open { until: self.clock.now(), pause: self.limits.pause / 4, is_probed: open.is_probed, told: None };
        }
    }

    fn ended(&self, kind: Kind, health: Health) {
        match (kind, health) {
            (Kind::Usual, Health::Well) => {
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
            }
            (Kind::Usual, Health::Failing) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if failures >= self.limits.failures {
                    self.trip(kind, health);
                }
            }
            (Kind::Usual, Health::Late | Health::Gone) => self.trip(kind, health),
            (Kind::Probe | Kind::Urgent, Health::Well) => self.close(kind),
            (Kind::Probe, _) => self.trip(kind, health),
            (Kind::Urgent, _) => self.still_failing(),
        }
    }

    fn trip(&self, kind: Kind, health: Health) {
        let mut open = lock(&self.open);
        let was_open = self.is_open.swap(true, Ordering::AcqRel);
        if kind == Kind::Probe {
            open.is_probed = false;
        } else if was_open {
            // One of those that were under way when it opened.
            return;
        }
        if !was_open {
            open.told = None;
        }
        let pause = if was_open { open.pause } else { self.limits.pause / 8 };
        open.pause = (pause * 2).min(self.limits.pause);
        let chance = (self.host.random() >> 75) as f64 / (1_u64 << 53) as f64;
        // Of nobody who is there nobody has to be spared: the way there says when it is open again.
        let pause = if health == Health::Gone { Duration::ZERO } else { pause.mul_f64(0.75 + 0.25 * chance) };
        open.until = self.clock.now().after(pause);
        if !was_open {
            tracing::warn!(?health, "the store is not asked for a while: calls load, and nothing is stored");
        }
    }

    /// An invalidation was not answered either.
    fn still_failing(&self) {
        let mut open = lock(&self.open);
        open.told = None;
        if self.is_open.load(Ordering::Acquire) && !open.is_probed {
            open.until = open.until.max(self.clock.now().after(open.pause));
            open.pause = (open.pause * 2).min(self.limits.pause);
        }
    }

    fn close(&self, kind: Kind) {
        let mut open = lock(&self.open);
        if kind == Kind::Probe {
            open.is_probed = false;
        }
        if kind == Kind::Urgent && self.debt.is_owed() {
            // With more to deliver, this was the first of it and not the last. What the server refuses for good holds nobody up for longer than that takes.
            open.told.get_or_insert(self.clock.now());
        } else if self.is_open.swap(false, Ordering::AcqRel) {
            self.failures.store(0, Ordering::Relaxed);
            tracing::info!("the store answers again");
        }
        open.until = open.until.min(self.clock.now());
    }
}

impl Pass<'_> {
    /// Says what the call came to.
    #[inline]
    pub(crate) fn end(mut self, health: Health) {
        let kind = std::mem::replace(&mut self.kind, Kind::Usual);
        self.breaker.ended(kind, health);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.kind == Kind::Probe {
            lock(&self.breaker.open).is_probed = false;
        }
    }
}

/// How long those who deliver have before they are called again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
