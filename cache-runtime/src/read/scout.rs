//! Scouting: creating the tokens that are missing and trying for the lease.

use crate::core::Rule;
use crate::epoch;
use crate::explain::Bypass;
use crate::flight::Evidence;
use crate::flight::Slot;
use crate::lease::Asked;
use crate::lease::Right;
use crate::lease::lease_life;
use crate::metrics::Happened;
use crate::metrics::Operation;
use crate::read::Caller;
use crate::read::look::Away;
use crate::read::look::Missed;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Steal;
use crate::store::StoreError;
use crate::token::Dependency;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::Register;
use crate::token::State;

/// What a try for the lease came to.
pub(super) struct Scouted {
    pub(super) step: Step,
    /// What others have to see to join.
    pub(super) evidence: Option<Evidence>,
    /// The tokens of the call's tags, if they may be used.
    pub(super) captured: Option<Vec<Dependency>>,
}

/// How to go on.
pub(super) enum Step {
    /// Load, with the right to fill or without, for a reason.
    Load(Result<Right, Bypass>),
    /// Another loads: look again in a while.
    Poll,
    /// Another has just filled: look again.
    Again,
}

impl Scouted {
    /// With a right that is at hand.
    pub(super) fn won(right: Right) -> Self {
        let captured = right.captured.clone();
        let evidence = Evidence { slot: Slot::Lease(right.lease), captured: captured.clone() };
        Self { step: Step::Load(Ok(right)), evidence: Some(evidence), captured: Some(captured) }
    }

    /// Nothing is known: load, without the right to fill.
    const fn blind(why: Bypass) -> Self {
        Self { step: Step::Load(Err(why)), evidence: None, captured: None }
    }
}

impl Caller<'_> {
    pub(super) async fn scout_or_not(&self, look: Result<&Missed, Away>) -> Scouted {
        match look {
            Ok(missed) => self.scout_twice(missed).await,
            Err(away) => Scouted::blind(away.bypass()),
        }
    }

    /// Tries for the lease, and takes it from a load that is seen to be out of date.
    async fn scout_twice(&self, missed: &Missed) -> Scouted {
        let steal = if self.core.breaks(Rule::OneLease) { Steal::Anybodys } else { Steal::Nobodys };
        let scouted = self.scout(missed, steal).await;
        match (&scouted.step, outdated(&scouted)) {
            (Step::Poll, Some(lease)) => self.scout(missed, Steal::From(lease)).await,
            _ => scouted,
        }
    }

    pub(super) async fn scout(&self, missed: &Missed, steal: Steal) -> Scouted {
        let asked = Asked::new(self.core, self.request.key.clone());
        let before = self.tokens(&missed.states);
        match self.core.store.begin(self.begin(missed, asked.id(), before.as_deref(), steal)).await {
            Ok(begun) => {
                let scouted = self.weigh(missed, before.as_deref(), begun);
                asked.answered();
                scouted
            }
            Err(StoreError::Shed) => Scouted::blind(Bypass::Shed),
            Err(error) => {
                self.watch.count(Happened::StoreFailed(Operation::Begin));
                tracing::debug!(function = self.request.site.label(), %error, "the store did not give a lease");
                Scouted::blind(Bypass::StoreAway)
            }
        }
    }

    fn begin(&self, missed: &Missed, id: LeaseId, tokens: Option<&[Dependency]>, steal: Steal) -> Begin {
        let lease = LeaseRequest {
            key: self.request.key.clone(),
            id,
            generation: tokens.map(Generation::of),
            life: lease_life(self.core),
            seen: missed.seen,
            steal,
        };
        let registers = self.missing(&missed.states);
        let token_life = epoch::life(&registers, self.request.token_life);
        Begin { lease: Some(lease), registers, token_life }
    }

    /// The call's tags that have no token yet, and the epoch likewise.
    fn missing(&self, states: &[State]) -> Vec<Register> {
        let tags = self.captures().iter().zip(states);
        tags.filter(|(_, state)| **state == State::Absent).map(|(tag, _)| tag.clone()).collect()
    }

    /// The tokens of the call's tags, if each has one that may be used.
    fn tokens(&self, states: &[State]) -> Option<Vec<Dependency>> {
        let tags = self.captures().iter().zip(states);
        tags.map(|(tag, state)| state.usable().map(|token| Dependency { register: tag.clone(), token })).collect()
    }

    fn weigh(&self, missed: &Missed, before: Option<&[Dependency]>, begun: Begun) -> Scouted {
        let mut created = begun.states.into_iter();
        let mut now = |state: &State| match state {
            State::Absent => created.next().unwrap_or(State::Absent),
            state => *state,
        };
        let states: Vec<State> = missed.states.iter().take(self.captures().len()).map(&mut now).collect();
        let captured = self.tokens(&states);
        let evidence = |slot| captured.clone().map(|captured| Evidence { slot, captured });
        let (step, evidence) = match (begun.lease, &captured) {
            (Some(LeaseState::Won(id)), captured) => {
                let right = Right::new(self.core, self.request.key.clone(), id, captured.clone().unwrap_or_default());
                if before.is_none() && captured.is_some() {
                    right.announce();
                }
                // Without tokens there is nothing to fill with; dropping the right gives the lease up.
                (
                    Step::Load(if captured.is_some() { Ok(right) } else { Err(Bypass::Mutating) }),
                    evidence(Slot::Lease(id)),
                )
            }
            (Some(LeaseState::Held { id, generation }), Some(tokens)) => {
                let outdated = generation.is_some_and(|generation| generation != Generation::of(tokens));
                let slot = if outdated { Slot::Outdated(id) } else { Slot::Lease(id) };
                (Step::Poll, evidence(slot))
            }
            (Some(LeaseState::Changed), Some(_)) => (Step::Again, None),
            (Some(LeaseState::Marked { token, strict: false }), Some(_)) => {
                (Step::Load(Err(Bypass::Mutating)), evidence(Slot::Mark(token)))
            }
            (None, _) => return Scouted::blind(Bypass::StoreAway),
            // Of its key, or of a tag that has no token meanwhile.
            (Some(LeaseState::Marked { strict: true, .. }), _) | (_, None) => return Scouted::blind(Bypass::Mutating),
        };
        Scouted { step, evidence, captured }
    }
}

/// The lease of a load that captured other tokens than these.
fn outdated(scouted: &Scouted) -> Option<LeaseId> {
    match scouted.evidence.as_ref()?.slot {
        Slot::Outdated(lease) => Some(lease),
        Slot::Lease(_) | Slot::Mark(_) => None,
    }
}
