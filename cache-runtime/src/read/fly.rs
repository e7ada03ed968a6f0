//! Flying: joining a load of this process, or leading one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::bulkhead::Places;
use crate::core::Loaded;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Stale;
use crate::flight::Entered;
use crate::flight::Evidence;
use crate::flight::Flight;
use crate::flight::FlightKey;
use crate::flight::Tick;
use crate::flight::Verdict;
use crate::host::within;
use crate::lease::Right;
use crate::policy;
use crate::read::Access;
use crate::read::Caller;
use crate::read::Lead;
use crate::read::Load;
use crate::read::look::Away;
use crate::read::look::Look;
use crate::read::look::Missed;
use crate::read::scout::Scouted;
use crate::read::scout::Step;
use crate::token::Dependency;

type Waiting = oneshot::Receiver<Verdict<Right, Loaded>>;
type Running = Flight<Right, Loaded>;

/// A value or a load, or one more round.
type Turn = Option<Access>;

/// What the look brought, which is no hit.
type Looked<'a> = Result<&'a Missed, Away>;

impl Caller<'_> {
    /// Joins a load of this process, or leads one.
    pub(super) async fn fly(&self, look: Result<Missed, Away>) -> Turn {
        let key = self.flight_key();
        // Inside of another load a value also has to be younger than the key's token, which the look has brought.
        let came = if self.context.frame.is_some() { self.core.flights.tick() } else { self.came };
        match self.core.flights.enter(&key, came) {
            Entered::Older(flight) => self.fly_past(&key, flight, came, looked(&look)).await,
            entered => self.take(entered, looked(&look), None).await,
        }
    }

    /// A load is running that began before this caller came: what does the store say of it?
    async fn fly_past(&self, key: &FlightKey, older: Arc<Running>, came: Tick, look: Looked<'_>) -> Turn {
        let scouted = self.scout_or_not(look).await;
        if let Some(entered) = scouted.evidence.as_ref().and_then(|evidence| older.join(evidence)) {
            return self.take(entered, look, None).await;
        }
        let entered = self.core.flights.supersede(key, &older, came);
        let queues = scouted.evidence.is_none() && matches!(scouted.step, Step::Load(Err(_)));
        if let (Entered::Lead(_), true, Some(end)) = (&entered, queues, older.end()) {
            // Nothing can tell whether that load is fresh enough, so one waits for it to end and loads for all who came meanwhile.
            drop(within(&*self.core.host, self.patience(), end).await);
        }
        self.take(entered, look, Some(scouted)).await
    }

    async fn take(&self, entered: Entered<Right, Loaded>, look: Looked<'_>, scouted: Option<Scouted>) -> Turn {
        match entered {
            Entered::Lead(leader) => Some(self.lead(leader, look, scouted).await),
            Entered::Wait(waiting) => {
                // If there is a lease in it, those who are waited for need it.
                drop(scouted);
                // The load around it may have the place that the leader is waiting for. Where it does not wait for long it needs that itself.
                if let Some(places) = self.context.places().filter(|_| self.soft_deadline().is_none()) {
                    self.core.flights.lend(&self.flight_key(), &places);
                }
                self.wait(waiting, look).await
            }
            Entered::Landed(loaded) => Some(self.joined(loaded, look)),
            // Superseded by another, which flies already: look again.
            Entered::Older(_) => None,
        }
    }

    async fn wait(&self, waiting: Waiting, look: Looked<'_>) -> Turn {
        let soft = self.soft_deadline().map(|deadline| deadline.since(self.core.clock.now()));
        let patience = soft.map_or(self.patience(), |soft| soft.min(self.patience()));
        match within(&*self.core.host, patience, waiting).await {
            Some(Ok(Verdict::Landed(loaded))) => Some(self.joined(loaded, look)),
            Some(Ok(Verdict::Lead(leader))) => Some(self.lead(leader, look, None).await),
            Some(Ok(Verdict::Retry) | Err(_)) => None,
            Some(Ok(Verdict::Alone)) => {
                Some(self.fall_back(Stale::Failed).unwrap_or_else(|| self.bypass(Bypass::OthersFailed)))
            }
            None => {
                let old = soft.and_then(|_| self.fall_back(Stale::Slow));
                Some(old.unwrap_or_else(|| self.bypass(Bypass::Late)))
            }
        }
    }

    /// Another's load brought it. What this call itself depends on was seen before it joined.
    fn joined(&self, mut loaded: Loaded, look: Looked<'_>) -> Access {
        if self.context.frame.is_some() {
            let own = look.ok().and_then(|look| self.captured(look.states.iter().copied()));
            loaded.dependencies =
                loaded.dependencies.zip(own).map(|(loads, own)| loads.iter().cloned().chain(own).collect());
        }
        Access::Have(loaded, Ending::Joined)
    }

    /// Leads a flight: tries for the lease until there is a value, or a reason to load.
    async fn lead(&self, mut leader: Lead, look: Looked<'_>, scouted: Option<Scouted>) -> Access {
        let key_token = look.ok().and_then(|look| self.key_token(look));
        let scouted = match (leader.right.take(), scouted) {
            (Some(right), _) => Scouted::won(right),
            (None, Some(scouted)) => scouted,
            (None, None) => self.scout_or_not(look).await,
        };
        self.lead_on(leader, scouted, key_token).await
    }

    async fn lead_on(&self, mut leader: Lead, mut scouted: Scouted, mut key_token: Option<Dependency>) -> Access {
        let mut pause = policy::Backoff::new(self.core.settings.poll);
        let (mut changed, mut slept) = (false, true);
        let mut places = None;
        self.leads.store(true, Ordering::Relaxed);
        loop {
            match scouted.step {
                Step::Load(right) => {
                    let bypass = right.as_ref().err().copied();
                    leader.right = right.ok();
                    places = places.or_else(|| self.try_place());
                    if let Some(places) = places {
                        let tokens = (scouted.captured, key_token);
                        return self.lead_load(leader, scouted.evidence, bypass, tokens, places);
                    }
                    // Meanwhile others may have the lease. Who held it and waited for a place would be waited for by those who have one.
                    leader.right = None;
                    places = match self.place_of(&leader).await {
                        Ok(places) => Some(places),
                        Err(access) => return access,
                    };
                }
                // Once it was filled in between is news; again and again it is something that is none of ours.
                Step::Again if !std::mem::replace(&mut changed, true) => {}
                Step::Again | Step::Poll => {
                    places = None;
                    slept = self.sleep(pause.next(self.core.host.random())).await;
                }
            }
            if self.is_slow()
                && let Some(old) = self.fall_back(Stale::Slow)
            {
                return old;
            }
            if !slept || self.is_late() {
                let places = match places {
                    Some(places) => places,
                    None => match self.place_of(&leader).await {
                        Ok(places) => places,
                        Err(access) => return access,
                    },
                };
                return self.lead_load(leader, None, Some(Bypass::Late), (None, None), places);
            }
            let sent = self.core.flights.tick();
            let look = match self.look_or_pass_by().await {
                Look::Hit { loaded, .. } => {
                    leader.observe(sent, &loaded);
                    return Access::Have(loaded, Ending::Waited);
                }
                Look::Miss(missed) => Ok(missed),
                Look::Away(away) => Err(away),
            };
            key_token = looked(&look).ok().and_then(|look| self.key_token(look));
            scouted = self.scout_or_not(looked(&look)).await;
        }
    }

    /// A place for the load of `leader`, or that of somebody who waits for it.
    async fn place_of(&self, leader: &Lead) -> Result<Arc<Places>, Access> {
        tokio::select! {
            biased;
            lent = leader.lent() => Ok(lent),
            placed = self.place() => placed,
        }
    }

    /// Loads for everybody who waits.
    fn lead_load(
        &self,
        mut leader: Lead,
        evidence: Option<Evidence>,
        bypass: Option<Bypass>,
        (captured, key_token): (Option<Vec<Dependency>>, Option<Dependency>),
        places: Arc<Places>,
    ) -> Access {
        leader.start(evidence);
        let (leader, places) = (Some(leader), Some(places));
        Access::Load(Box::new(Load { leader, captured, key_token, places, ..self.load(bypass) }))
    }

    /// Sleeps; says whether it did, because a runtime that has ended lets nobody sleep.
    async fn sleep(&self, pause: Duration) -> bool {
        let began = self.core.clock.now();
        self.core.host.sleep(pause).await;
        self.core.clock.now().since(began) >= pause / 2
    }

    pub(super) fn patience(&self) -> Duration {
        self.deadline.since(self.core.clock.now())
    }

    pub(super) fn flight_key(&self) -> FlightKey {
        FlightKey {
            name: self.request.key.clone(),
            tags: self.request.tags.clone(),
            schema: self.request.codec.schema,
            version: self.request.version,
        }
    }
}

fn looked(look: &Result<Missed, Away>) -> Looked<'_> {
    look.as_ref().map_err(|away| *away)
}
