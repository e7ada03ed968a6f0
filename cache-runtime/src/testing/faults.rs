//! The hand that makes a store fail.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;
use std::time::Duration;

use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::core::Settings;
use crate::core::lock;
use crate::host::SharedHost;
use crate::store::Store;
use crate::testing::unreliable::Unreliable;

/// What is wrong with the store of a cache, as a test says it. Clones are the same.
///
/// [`Builder::faults`](crate::Builder::faults) puts it between a cache and its store. The store may be a Redis, or the in-process one: that cannot fail by itself, so the cache then treats it as one that
/// is outside of the process. Values are encoded, entries are stored beside the caller, and what cannot be delivered is [`pending`](crate::Cache::pending).
///
/// At first nothing is wrong. What is said adds up until [`heal`](Self::heal). An operation that fails has done nothing.
///
/// # Examples
///
/// ```
/// use cache_runtime::testing::Faults;
/// use cache_runtime::{Cache, Delivery};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let faults = Faults::new();
/// let cache = Cache::builder().faults(&faults).build()?;
///
/// faults.fail_invalidations();
/// assert_eq!(cache.invalidate("user:7").await, Delivery::Deferred);
///
/// faults.heal();
/// assert_eq!(cache.invalidate("user:7").await, Delivery::Applied);
/// # Ok::<(), cache_runtime::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Wrong>>, Arc<Mutex<Vec<Weak<Breaker>>>>);

/// What an operation of a store is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Read,
    /// Taking, renewing and giving up the right to store, and storing.
    Fill,
    /// Marking and invalidating.
    Invalidate,
}

#[derive(Debug, Default)]
struct Wrong {
    reads: bool,
    fills: bool,
    invalidations: bool,
    pace: Pace,
}

/// How long an operation takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Pace {
    #[default]
    AtOnce,
    /// So long by the clock of the cache.
    Slow(Duration),
    /// Until it is healed.
    Hanging,
}

impl Faults {
    /// A store with which nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on every operation of the store fails at once, as if it were not there.
    pub fn fail(&self) {
        let mut wrong = lock(&self.0);
        (wrong.reads, wrong.fills, wrong.invalidations) = (true, true, true);
    }

    /// From here on looking for an entry fails: each call loads, and has no right to store what it brings.
    pub fn fail_reads(&self) {
        lock(&self.0).reads = true;
    }

    /// From here on entries are read, and none is stored.
    pub fn fail_fills(&self) {
        lock(&self.0).fills = true;
    }

    /// From here on mutations are neither guarded, nor can the store be told of them: what they invalidate is [`pending`](crate::Cache::pending), and read past the cache.
    pub fn fail_invalidations(&self) {
        lock(&self.0).invalidations = true;
    }

    /// From here on every operation takes `delay`, by the clock of the cache: on a held one, until the test has moved it so far. None takes longer than the cache's
    /// [`op_timeout`](crate::Builder::op_timeout), which is real time: then it fails.
    pub fn slow(&self, delay: Duration) {
        lock(&self.0).pace = Pace::Slow(delay);
    }

    /// From here on no operation answers. Each fails when the cache's [`op_timeout`](crate::Builder::op_timeout) has passed, or goes on at [`heal`](Self::heal).
    pub fn hang(&self) {
        lock(&self.0).pace = Pace::Hanging;
    }

    /// Nothing is wrong any more. What hangs goes on; what was not delivered is tried again, which [`settled`](super::settled) waits for.
    pub fn heal(&self) {
        *lock(&self.0) = Wrong::default();
        lock(&self.1).iter().filter_map(Weak::upgrade).for_each(|breaker| breaker.hurry());
    }

    /// Lets `breaker` find out at once that the store is well again.
    pub(crate) fn hurries(&self, breaker: &Arc<Breaker>) {
        lock(&self.1).push(Arc::downgrade(breaker));
    }

    /// How long an operation takes, or `None` if it fails.
    pub(super) fn pace(&self, purpose: Purpose) -> Option<Pace> {
        let wrong = lock(&self.0);
        let fails = match purpose {
            Purpose::Read => wrong.reads,
            Purpose::Fill => wrong.fills,
            Purpose::Invalidate => wrong.invalidations,
        };
        (!fails).then_some(wrong.pace)
    }

    /// Puts itself between a cache and its `store`.
    pub(crate) fn over(
        &self,
        store: Arc<dyn Store>,
        host: &SharedHost,
        clock: &Clock,
        settings: &Settings,
    ) -> Arc<dyn Store> {
        let (faults, host, clock) = (self.clone(), host.clone(), clock.clone());
        Arc::new(Unreliable { store, faults, host, clock, limit: settings.op_timeout })
    }
}
