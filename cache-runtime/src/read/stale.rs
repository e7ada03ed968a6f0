//! Entries past their time: who is given one, and who refreshes it.
//!
//! An entry past its time is of use only if it would be a hit but for that: everything it depends on still stands. So whoever is given one sees no mutation undone that had returned before.
//! The one exception has to be asked for by name.
//!
//! Of the callers that find an entry in need of a refresh, the one that gets the lease refreshes it. The others are given the entry at once, and never wait.

use std::sync::Arc;
use std::time::Duration;

use crate::bulkhead::Overloaded;
use crate::bulkhead::Places;
use crate::clock::Moment;
use crate::context::Context;
use crate::core::Core;
use crate::core::Loaded;
use crate::core::Rule;
use crate::core::lock;
use crate::explain::Ending;
use crate::explain::Miss;
use crate::explain::Stale;
use crate::flight::Entered;
use crate::flight::Evidence;
use crate::flight::Slot;
use crate::host::within;
use crate::metrics::Happened;
use crate::read::Access;
use crate::read::Caller;
use crate::read::Load;
use crate::read::Request;
use crate::read::look::Missed;
use crate::read::scout::Step;
use crate::store::Keeps;
use crate::store::Steal;

/// An entry that is no hit, and may be of use all the same.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) loaded: Loaded,
    /// How long its time has been up.
    pub(crate) by: Duration,
    /// Whether something that it depends on was invalidated.
    pub(crate) invalidated: bool,
}

/// What a call returns if nothing better comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Fallback {
    pub(crate) loaded: Loaded,
    /// Whether it is a hit that was to be refreshed before its time.
    is_fresh: bool,
    /// Whether it is known to be out of date, so that only an error is worse.
    invalidated: bool,
}

impl Fallback {
    /// How a call ends that returns it, for this reason.
    pub(crate) fn ending(&self, why: Stale) -> Ending {
        if self.is_fresh { Ending::Hit } else { Ending::Stale(why) }
    }

    fn served(self, why: Stale) -> Access {
        let ending = self.ending(why);
        Access::Have(self.loaded, ending)
    }
}

impl Caller<'_> {
    /// Whether an entry past its time is served while somebody refreshes it.
    pub(super) fn may_revalidate(&self, missed: &Missed) -> bool {
        let window = self.request.stale.while_revalidate;
        let past = missed.past.as_ref();
        past.is_some_and(|past| !past.invalidated && past.by < window) && self.context.no_fill.is_none()
    }

    /// Refreshes an entry, if it is for this caller to do, or is given it as it is.
    pub(super) async fn revalidate(&self, missed: &Missed, loaded: Loaded) -> Access {
        let fallback = Fallback { loaded, is_fresh: missed.why == Miss::Early, invalidated: false };
        match self.elected(missed).await {
            Some(mut load) => {
                self.missed(missed.why);
                load.fallback = Some(fallback);
                Access::Load(load)
            }
            None => {
                if !fallback.is_fresh {
                    self.watch.missed(missed.why);
                }
                fallback.served(Stale::Revalidating)
            }
        }
    }

    /// The load, if nobody else is at it, here or elsewhere, and there is a place for it.
    async fn elected(&self, missed: &Missed) -> Option<Box<Load>> {
        // Of its own, also inside of another load: that may go on meanwhile.
        let places = self.free_place()?;
        let Entered::Lead(mut leader) = self.core.flights.enter(&self.flight_key(), self.came) else { return None };
        let scouted = self.scout(missed, Steal::Nobodys).await;
        let Step::Load(Ok(right)) = scouted.step else { return None };
        let captured = right.captured.clone();
        leader.start(Some(Evidence { slot: Slot::Lease(right.lease), captured: captured.clone() }));
        leader.right = Some(right);
        let load = self.load(None);
        let key_token = self.key_token(missed);
        Some(Box::new(Load {
            leader: Some(leader),
            captured: Some(captured),
            key_token,
            places: Some(places),
            refreshes: true,
            ..load
        }))
    }

    /// Notes what the last look has found that may be of use if loading comes to nothing.
    pub(super) fn note_past(&self, past: Option<&Past>) {
        let stale = &self.request.stale;
        let of_use = |past: &&Past| past.by < stale.if_error && (!past.invalidated || stale.even_invalidated);
        *lock(&self.past) = past.filter(of_use).cloned();
    }

    /// What to return if loading comes to nothing.
    pub(super) fn fallback(&self) -> Option<Fallback> {
        let past = lock(&self.past).clone();
        past.map(|past| Fallback { loaded: past.loaded, is_fresh: false, invalidated: past.invalidated })
    }

    /// The same as an answer.
    pub(super) fn fall_back(&self, why: Stale) -> Option<Access> {
        let is_an_error = why == Stale::Failed || (why == Stale::Overloaded && self.request.rejects);
        let fallback = self.fallback().filter(|fallback| is_an_error || !fallback.invalidated);
        fallback.map(|fallback| fallback.served(why))
    }

    /// When the caller has waited long enough to rather have an old value, if there is one.
    pub(super) fn soft_deadline(&self) -> Option<Moment> {
        let soft = self.request.stale.soft_timeout?;
        let is_worth_it = lock(&self.past).as_ref().is_some_and(|past| !past.invalidated);
        is_worth_it.then(|| self.began.after(soft))
    }

    pub(super) fn is_slow(&self) -> bool {
        self.soft_deadline().is_some_and(|deadline| self.core.clock.now() >= deadline)
    }

    /// A place among the loads that may run at once, or what becomes of the call without one.
    pub(super) async fn place(&self) -> Result<Arc<Places>, Access> {
        if let Some(places) = self.own_places() {
            return Ok(places);
        }
        let entering = enter(self.core, self.request, self.context);
        // Whoever has waited for others' loads has so much less time to wait for a place.
        let soft = self.soft_deadline().map(|deadline| deadline.since(self.core.clock.now()));
        let patience = soft.map_or(self.patience(), |soft| soft.min(self.patience()));
        let entered = within(&*self.core.host, patience, entering).await;
        let is_slow = soft.is_some_and(|soft| soft <= patience);
        if let (None, true, Some(old)) = (&entered, is_slow, self.fall_back(Stale::Slow)) {
            return Err(old);
        }
        match entered.unwrap_or(Err(Overloaded)) {
            Ok(places) => Ok(places),
            Err(Overloaded) => self.overloaded().map_or_else(|| Ok(Arc::default()), Err),
        }
    }

    pub(super) fn try_place(&self) -> Option<Arc<Places>> {
        self.own_places().or_else(|| self.free_place())
    }

    fn free_place(&self) -> Option<Arc<Places>> {
        if self.core.breaks(Rule::Places) {
            return Some(Arc::default());
        }
        self.core.bulkheads.try_enter(self.request.site, self.request.max_loads).map(Arc::new)
    }

    /// Those of the load around the call, which rests while this one runs, unless they are lent.
    fn own_places(&self) -> Option<Arc<Places>> {
        let around = self.context.places().filter(|places| !places.are_lent());
        around.or_else(|| self.core.breaks(Rule::Places).then(Arc::default))
    }

    fn overloaded(&self) -> Option<Access> {
        self.watch.count(Happened::Overloaded);
        let rejected = || self.request.rejects.then_some(Access::Rejected);
        self.fall_back(Stale::Overloaded).or_else(rejected)
    }

    /// Puts off the end of an entry that dies of not being read.
    pub(super) fn touch(&self, remaining: Duration) {
        let Some(idle) = self.request.stale.idle else { return };
        let (key, now) = (&self.request.key, self.core.clock.now());
        let is_early = |last: &Moment| now < last.after(idle / 8);
        if self.core.store.keeps() == Keeps::Bytes && self.core.touched.get(key).as_ref().is_some_and(is_early) {
            return;
        }
        self.core.touched.insert(key.clone(), now);
        let life = self.request.stale.life(remaining);
        let (store, key) = (self.core.store.clone(), key.clone());
        self.core.finish(Box::pin(async move {
            // Otherwise it dies a little early.
            let _ = store.touch(key, life).await;
        }));
    }
}

/// A place like everybody else's, or those of the load around the call as soon as whoever borrowed them gives them back.
pub(super) async fn enter(core: &Core, request: &Request, context: &Context) -> Result<Arc<Places>, Overloaded> {
    let entering = core.bulkheads.enter(&*core.host, request.site, request.max_loads);
    match context.places() {
        Some(places) => tokio::select! {
            biased;
            () = places.given_back() => Ok(places),
            entered = entering => entered.map(Arc::new),
        },
        None => entering.await.map(Arc::new),
    }
}
