//! The one who loads for everybody who waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Weak;

use crate::bulkhead::Places;
use crate::flight::Evidence;
use crate::flight::Flight;
use crate::flight::FlightKey;
use crate::flight::Flights;
use crate::flight::Stage;
use crate::flight::Standing;
use crate::flight::Tick;
use crate::flight::Verdict;
use crate::flight::Waiter;
use crate::sync::lock;

/// The right to load for everybody who waits, and the duty to end their waiting.
pub(crate) struct Leader<R, L: Clone> {
    pub(super) flights: Arc<Flights<R, L>>,
    pub(super) key: FlightKey,
    pub(super) flight: Arc<Flight<R, L>>,
    /// The lease, once there is one.
    pub(crate) right: Option<R>,
    pub(super) over: bool,
}

impl<R, L: Clone> Leader<R, L> {
    /// Ends with the places that somebody [lends](Flights::lend), be it that the leader before this one had them already.
    pub(crate) async fn lent(&self) -> Arc<Places> {
        loop {
            let offered: Vec<Arc<Places>> = lock(&self.flight.0).lent.iter().filter_map(Weak::upgrade).collect();
            if let Some(borrowed) = offered.iter().find_map(Places::borrow) {
                return borrowed;
            }
            match offered.first() {
                // Another flight has them, and gives them back.
                Some(places) => tokio::select! {
                    () = self.flight.1.notified() => {}
                    () = places.given_back() => {}
                },
                None => self.flight.1.notified().await,
            }
        }
    }

    /// Begins to load. All who wait by now came before.
    pub(crate) fn start(&mut self, evidence: Option<Evidence>) {
        let mut state = lock(&self.flight.0);
        // Under the lock, so nobody in the queue came after it.
        let since = self.flights.tick();
        for waiter in &mut state.waiters {
            waiter.standing = Standing::Fresh;
        }
        state.stage = Stage::Loading { since, evidence };
    }

    /// Gives those who may have it what the load brought, and keeps it for those who come while `self` lives on to store it. Of a load that
    /// `inherits`, whoever joined by evidence looks again when `self` ends.
    pub(crate) fn land(&mut self, value: L, inherits: bool) {
        let mut state = lock(&self.flight.0);
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        let (since, evidence) = match stage {
            Stage::Loading { since, evidence } => (since, evidence.filter(|_| !inherits)),
            Stage::Acquiring | Stage::Landed { .. } | Stage::Over => (self.flights.tick(), None),
        };
        state.stage = Stage::Landed { since, evidence, value: value.clone() };
        let all = std::mem::take(&mut state.waiters);
        let (later, now) = all.into_iter().partition(|waiter| inherits && waiter.standing == Standing::Saw);
        state.waiters = later;
        drop(state);
        deliver(now, since, &value);
    }

    /// Gives what was read from the store, by a read sent at `sent`, to those who came before that.
    pub(crate) fn observe(mut self, sent: Tick, value: &L) {
        let waiters = self.end();
        deliver(waiters, sent, value);
    }

    /// The load failed: the first time one waiter leads, the second time all load for themselves.
    pub(crate) fn fail(mut self) {
        if self.count_failure() > 1 {
            self.give_up();
        }
        // Otherwise `Drop` hands the lead over.
    }

    fn count_failure(&self) -> u32 {
        let mut state = lock(&self.flight.0);
        state.failures += 1;
        state.failures
    }

    fn give_up(&mut self) {
        for waiter in self.end() {
            // One that is gone needs no answer.
            let _ = waiter.to.send(Verdict::Alone);
        }
    }

    /// Takes the flight off the map, so that nobody comes in any more.
    fn end(&mut self) -> VecDeque<Waiter<R, L>> {
        self.over = true;
        self.flights.forget(&self.key, &self.flight);
        let mut state = lock(&self.flight.0);
        state.stage = Stage::Over;
        std::mem::take(&mut state.waiters)
    }

    /// The next one who still waits for a load; ends the flight if there is none.
    fn successor(&mut self) -> Option<Waiter<R, L>> {
        {
            let mut state = lock(&self.flight.0);
            let landed = matches!(state.stage, Stage::Landed { .. });
            while let Some(waiter) = if landed { None } else { state.waiters.pop_front() } {
                if !waiter.to.is_closed() {
                    state.stage = Stage::Acquiring;
                    return Some(waiter);
                }
            }
        }
        // Whoever comes in between is found here and must not be left waiting, and whoever waited for a landed value to be stored looks again.
        for waiter in self.end() {
            let _ = waiter.to.send(Verdict::Retry);
        }
        None
    }
}

impl<R, L: Clone> Drop for Leader<R, L> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if std::thread::panicking() && self.count_failure() > 1 {
            self.give_up();
            return;
        }
        let Some(waiter) = self.successor() else { return };
        let next = self.flights.leader(&self.key, self.flight.clone(), self.right.take());
        // If it is gone by now, the lead comes back in the error and is dropped, which hands it on.
        drop(waiter.to.send(Verdict::Lead(next)));
    }
}

fn deliver<R, L: Clone>(waiters: VecDeque<Waiter<R, L>>, since: Tick, value: &L) {
    for waiter in waiters {
        let fresh = match waiter.standing {
            Standing::Came(came) => came < since,
            Standing::Saw | Standing::Fresh => true,
        };
        let verdict = if fresh { Verdict::Landed(value.clone()) } else { Verdict::Retry };
        // One that is gone needs no answer.
        let _ = waiter.to.send(verdict);
    }
}
