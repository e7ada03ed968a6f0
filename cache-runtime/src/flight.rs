//! At most one load per key in this process, joined only by those it is fresh enough for.
//!
//! Joining any load of the key would hand a caller a value from before a mutation that had returned when the caller came. Two things
//! make a join safe, and there is no third:
//!
//! - the load begins after the caller came; or
//! - the caller saw, after it came, the very lease and tokens in the store that the load holds, and the load rests on nothing else. One that
//!   reads other entries rests on those too, which no lease of its own speaks for: its callers look again when it is stored.
//!
//! Facts that hold:
//!
//! - a flight has one [`Leader`] at a time;
//! - a leader ends once: [`land`](Leader::land) gives everybody the value, [`fail`](Leader::fail) makes one waiter lead and, the second time, lets the rest
//!   load for themselves, and `Drop` makes one waiter lead;
//! - what the leader holds (its *right*, which ends a lease when dropped) goes with the lead.
//!
//! Waiters bring their own deadlines.

mod leader;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::sync::oneshot;

use crate::bulkhead::Places;
pub(crate) use crate::flight::leader::Leader;
use crate::key::Name;
use crate::sync::AtomicU64;
use crate::sync::Mutex;
use crate::sync::lock;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;
use crate::token::Token;

/// A moment of this process: what has a smaller number was before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Tick(u64);

/// Which flight: a key, and what a value of it must be to be shared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FlightKey {
    pub(crate) name: Name,
    /// A right that is handed over serves the tags it was captured for.
    pub(crate) tags: Arc<[Register]>,
    pub(crate) schema: u64,
    pub(crate) version: u32,
}

/// What a load holds in the store, and what another caller must see there to join it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Evidence {
    pub(crate) slot: Slot,
    pub(crate) captured: Vec<Dependency>,
}

/// What was in the key's lease slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    Lease(LeaseId),
    /// A lease whose load captured other tokens than the caller sees. Nobody joins by it.
    Outdated(LeaseId),
    Mark(Token),
}

/// All flights of a cache. `R` is the right that a leader may hold, `L` what a load lands with.
pub(crate) struct Flights<R, L: Clone> {
    shards: [Shard<R, L>; SHARDS],
    ticks: AtomicU64,
    /// Joins whatever flies, as a negative control of the simulation.
    pub(crate) join_by_key_alone: bool,
}

type Shard<R, L> = Mutex<HashMap<FlightKey, Arc<Flight<R, L>>>>;

const SHARDS: usize = 16;

/// One load, or the attempt to be allowed one; and word for its leader that a place is lent.
pub(crate) struct Flight<R, L: Clone>(Mutex<State<R, L>>, Notify);

struct State<R, L: Clone> {
    stage: Stage<L>,
    failures: u32,
    /// Places of loads that wait for this one, for as long as those go on. Whoever leads may have any of them, one leader after the other.
    lent: Vec<Weak<Places>>,
    waiters: VecDeque<Waiter<R, L>>,
}

enum Stage<L> {
    /// Its leader has not begun to load; whatever comes of it is fresh for all who are here by then.
    Acquiring,
    Loading {
        since: Tick,
        evidence: Option<Evidence>,
    },
    /// The value is there, and on its way to the store. Without evidence, only who came before it began may have it.
    Landed {
        since: Tick,
        evidence: Option<Evidence>,
        value: L,
    },
    Over,
}

struct Waiter<R, L: Clone> {
    standing: Standing,
    to: oneshot::Sender<Verdict<R, L>>,
}

/// What a waiter may be given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// What begins after it came.
    Came(Tick),
    /// What it joined by evidence.
    Saw,
    /// Whatever this load brings, which began after it came.
    Fresh,
}

/// How waiting ends.
pub(crate) enum Verdict<R, L: Clone> {
    /// Here is the value.
    Landed(L),
    /// The leader is gone: lead.
    Lead(Leader<R, L>),
    /// Two leaders failed: load for yourself.
    Alone,
    /// What landed is too old for you: read again.
    Retry,
}

/// How a caller that missed comes in.
pub(crate) enum Entered<R, L: Clone> {
    /// Nobody is at it: lead.
    Lead(Leader<R, L>),
    /// Somebody is: wait.
    Wait(oneshot::Receiver<Verdict<R, L>>),
    /// It has just landed.
    Landed(L),
    /// A load is running that began before the caller came. Join it by evidence, or supersede it.
    Older(Arc<Flight<R, L>>),
}

impl<R, L: Clone> Flights<R, L> {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), ticks: AtomicU64::new(1), join_by_key_alone: false }
    }

    /// A new moment, later than all before.
    pub(crate) fn tick(&self) -> Tick {
        Tick(self.ticks.fetch_add(1, Ordering::SeqCst))
    }

    /// Comes in as a caller that `came` at that moment and has missed since.
    pub(crate) fn enter(self: &Arc<Self>, key: &FlightKey, came: Tick) -> Entered<R, L> {
        let mut shard = lock(self.shard(key));
        match shard.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                let flight = vacant.insert(Flight::new()).clone();
                Entered::Lead(self.leader(key, flight, None))
            }
            Entry::Occupied(occupied) => {
                let flight = occupied.get().clone();
                drop(shard);
                self.enter_flight(key, flight, came)
            }
        }
    }

    fn enter_flight(self: &Arc<Self>, key: &FlightKey, flight: Arc<Flight<R, L>>, came: Tick) -> Entered<R, L> {
        let mut state = lock(&flight.0);
        match &state.stage {
            Stage::Over => {
                drop(state);
                self.supersede(key, &flight, came)
            }
            Stage::Acquiring => Entered::Wait(state.wait(Standing::Came(came))),
            Stage::Loading { since, .. } if *since > came || self.join_by_key_alone => {
                Entered::Wait(state.wait(Standing::Fresh))
            }
            Stage::Landed { since, value, .. } if *since > came || self.join_by_key_alone => {
                Entered::Landed(value.clone())
            }
            Stage::Loading { .. } | Stage::Landed { .. } => {
                drop(state);
                Entered::Older(flight)
            }
        }
    }

    /// Puts a new flight in the place of `older`, whose load is of no use to this caller; what `older` brings is still its waiters'.
    pub(crate) fn supersede(self: &Arc<Self>, key: &FlightKey, older: &Arc<Flight<R, L>>, came: Tick) -> Entered<R, L> {
        let mut shard = lock(self.shard(key));
        match shard.get(key) {
            Some(current) if !Arc::ptr_eq(current, older) => {
                drop(shard);
                self.enter(key, came)
            }
            _ => {
                let flight = Flight::new();
                shard.insert(key.clone(), flight.clone());
                Entered::Lead(self.leader(key, flight, None))
            }
        }
    }

    fn leader(self: &Arc<Self>, key: &FlightKey, flight: Arc<Flight<R, L>>, right: Option<R>) -> Leader<R, L> {
        Leader { flights: self.clone(), key: key.clone(), flight, right, over: false }
    }

    /// Lends `places` to the leader of a flight, which may be waiting for some, by a load that waits for it and needs none meanwhile.
    pub(crate) fn lend(&self, key: &FlightKey, places: &Arc<Places>) {
        let flight = lock(self.shard(key)).get(key).cloned();
        if let Some(flight) = flight {
            let mut state = lock(&flight.0);
            state.lent.retain(|lent| lent.strong_count() > 0);
            state.lent.push(Arc::downgrade(places));
            drop(state);
            flight.1.notify_one();
        }
    }

    fn forget(&self, key: &FlightKey, flight: &Arc<Flight<R, L>>) {
        let mut shard = lock(self.shard(key));
        if shard.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.remove(key);
        }
    }

    fn shard(&self, key: &FlightKey) -> &Shard<R, L> {
        let hash = xxhash_rust::xxh3::xxh3_64(key.name.as_str().as_bytes());
        &self.shards[hash as usize % SHARDS]
    }

    /// How many keys are being loaded.
    #[cfg(any(feature = "sim", feature = "test-util"))]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

impl<R, L: Clone> Flight<R, L> {
    fn new() -> Arc<Self> {
        let stage = Stage::Acquiring;
        Arc::new(Self(
            Mutex::new(State { stage, failures: 0, lent: Vec::new(), waiters: VecDeque::new() }),
            Notify::new(),
        ))
    }

    /// Joins by what the caller saw in the store after it came; `None` if this load does not hold the same.
    pub(crate) fn join(&self, seen: &Evidence) -> Option<Entered<R, L>> {
        let mut state = lock(&self.0);
        match &state.stage {
            Stage::Loading { evidence: Some(held), .. } if held == seen => {
                Some(Entered::Wait(state.wait(Standing::Saw)))
            }
            Stage::Landed { evidence: Some(held), value, .. } if held == seen => Some(Entered::Landed(value.clone())),
            _ => None,
        }
    }

    /// Waits for its end, whatever that brings: the verdict is `Retry`, or the lead of it, for which the caller has no use.
    pub(crate) fn end(&self) -> Option<oneshot::Receiver<Verdict<R, L>>> {
        let mut state = lock(&self.0);
        match state.stage {
            Stage::Over | Stage::Landed { .. } => None,
            // Came at the end of time: no value is fresh enough.
            Stage::Acquiring | Stage::Loading { .. } => Some(state.wait(Standing::Came(Tick(u64::MAX)))),
        }
    }
}

impl<R, L: Clone> State<R, L> {
    fn wait(&mut self, standing: Standing) -> oneshot::Receiver<Verdict<R, L>> {
        // Waiters that gave up are cleared out here, so that the queue is no longer than there are callers.
        if self.waiters.len() == self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.to.is_closed());
        }
        let (to, from) = oneshot::channel();
        self.waiters.push_back(Waiter { standing, to });
        from
    }
}

impl<R, L: Clone> fmt::Debug for Flights<R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
