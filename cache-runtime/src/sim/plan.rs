//! What a run of the simulation is to be, and what came of it.

use std::sync::Arc;

use crate::cache::Builder;
use crate::cache::Cache;
use crate::core::Core;
use crate::core::Rule;
use crate::error::Error;
use crate::flight::Flights;
use crate::sim::history::History;
use crate::sim::history::Violation;
use crate::store::model::Broken;

/// What a run is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// On the in-process store rather than on a remote one.
    pub in_process: bool,
    /// No faults, no evictions, nobody dropped: what is promised only then is checked too.
    pub peaceful: bool,
    /// All mutations are linearizable.
    pub linearizable: bool,
    /// No mutations at all, so that no load is needed twice.
    pub read_only: bool,
    /// The store is away all the time.
    pub away: bool,
    /// Loads read a replica of the database that lags behind, and mutations hold fills back for longer than that.
    pub replica: bool,
    /// Values live shortly, and some readers take them past their time; few loads run at once.
    pub lenient: bool,
    /// Somebody writes past the mutators and then empties the namespace, and the journal holds next to nothing.
    pub clears: bool,
    /// The store comes back with what it held some time ago, as from an old snapshot.
    pub rolls_back: bool,
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
}

/// A rule of the protocol, broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says the rule that it breaks")]
pub enum Mutant {
    TokensCapturedAfterTheLoad,
    FlightJoinedByKeyAlone,
    NoInvalidationOnError,
    InnerDependenciesIgnored,
    OuterLoadJoinedByItsOwnLease,
    FillWithoutLeaseCheck,
    EntryDeletedBeforeLease,
    CounterTokens,
    PendingTokenRepeats,
    LeaseRevivedByARepeatedRequest,
    EntryOfAnotherTypeServed,
    LeaseOfOthersTaken,
    InvalidatedServedPastItsTime,
    LoadsWithoutAPlace,
    GraceForgotten,
    GraceForgottenByTheJournal,
    GraceEndedByAnother,
    OverflowForgotten,
    EpochReadOnce,
    EpochKeptByWhoRemovesIt,
    /// Names of a server that is away are taken by others, until it is back.
    ServersEjected,
    /// What a Memcached has numbered is known by its number alone, whichever run of the server has given it.
    NumbersAlone,
    OneIncarnation,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that happened.
    pub history: History,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
    /// Reads that returned.
    pub reads: usize,
    /// Mutations that returned.
    pub mutations: usize,
    /// Of the reads, those that an entry answered.
    pub hits: u64,
    /// Of the reads, those that another's load answered.
    pub joined: u64,
    /// Of the reads, those that a value past its time answered.
    pub stale: u64,
    /// How often the store was not asked because it did not answer.
    pub shed: u64,
}

/// A cache on a real store whose engine breaks the rule of `mutant`.
///
/// # Errors
///
/// Those of [`Builder::build`].
///
/// # Panics
///
/// When the rule is one of the store.
pub async fn connect_broken(mut builder: Builder, mutant: Mutant) -> Result<Cache, Error> {
    builder.ejects = mutant == Mutant::ServersEjected;
    builder.numbers_alone = mutant == Mutant::NumbersAlone;
    let of_builder = builder.ejects || builder.numbers_alone;
    let of_engine = rule(mutant).is_some() || of_builder || mutant == Mutant::FlightJoinedByKeyAlone;
    assert!(of_engine, "{mutant:?} is a mistake of the store");
    let mut cache = builder.build()?;
    break_rule(cache.core_mut().expect("nobody else has a cache that was just built"), Some(mutant));
    cache.core().store.ready().await;
    Ok(cache)
}

pub(super) fn break_rule(core: &mut Core, mutant: Option<Mutant>) {
    core.broken = mutant.and_then(rule);
    if mutant == Some(Mutant::FlightJoinedByKeyAlone) {
        let mut flights = Flights::new();
        flights.join_by_key_alone = true;
        core.flights = Arc::new(flights);
    }
}

fn rule(mutant: Mutant) -> Option<Rule> {
    match mutant {
        Mutant::TokensCapturedAfterTheLoad => Some(Rule::CaptureBeforeLoad),
        Mutant::OuterLoadJoinedByItsOwnLease => Some(Rule::InheritedLoads),
        Mutant::InnerDependenciesIgnored => Some(Rule::InnerDependencies),
        Mutant::EntryOfAnotherTypeServed => Some(Rule::TypeOfEntry),
        Mutant::LeaseOfOthersTaken => Some(Rule::OneLease),
        Mutant::InvalidatedServedPastItsTime => Some(Rule::StaleStands),
        Mutant::LoadsWithoutAPlace => Some(Rule::Places),
        Mutant::GraceForgotten => Some(Rule::Grace),
        Mutant::OverflowForgotten => Some(Rule::Overflow),
        Mutant::EpochReadOnce => Some(Rule::EpochIsRead),
        Mutant::EpochKeptByWhoRemovesIt => Some(Rule::EpochIsForgotten),
        Mutant::GraceForgottenByTheJournal => Some(Rule::JournaledGrace),
        _ => None,
    }
}

pub(super) fn broken(mutant: Option<Mutant>) -> Broken {
    Broken {
        unfenced_fill: mutant == Some(Mutant::FillWithoutLeaseCheck),
        entry_first: mutant == Some(Mutant::EntryDeletedBeforeLease),
        counter_tokens: mutant == Some(Mutant::CounterTokens),
        repeating_mark_token: mutant == Some(Mutant::PendingTokenRepeats),
        unsalted_lease: mutant == Some(Mutant::LeaseRevivedByARepeatedRequest),
        marks_ended_by_anyone: mutant == Some(Mutant::GraceEndedByAnother),
        one_incarnation: mutant == Some(Mutant::OneIncarnation),
    }
}
