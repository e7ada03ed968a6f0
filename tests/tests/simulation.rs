//! The engine over thousands of seeded histories, and a negative control for each rule.
//!
//! A seed that fails prints its history. `SIM_SEED=7 cargo test -p cache-tests --test simulation` runs that one alone, `SIM_SEEDS=100000` more than usual.

use std::env;

use cache_runtime::sim::Mutant;
use cache_runtime::sim::Outcome;
use cache_runtime::sim::Plan;
use cache_runtime::sim::run;

/// Runs many seeds of `plan`.
fn holds(plan: Plan, seeds: u64) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds_of(seeds) {
        let outcome = run(seed, plan);
        if !outcome.violations.is_empty() {
            panic!("seed {seed} of {plan:?}\n{}\n{:#?}", outcome.history, outcome.violations);
        }
        totals.add(&outcome);
    }
    totals
}

fn seeds_of(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(usual),
    }
}

#[derive(Debug, Default)]
struct Totals {
    reads: usize,
    mutations: usize,
    hits: u64,
    joined: u64,
    stale: u64,
    shed: u64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.reads += outcome.reads;
        self.mutations += outcome.mutations;
        self.hits += outcome.hits;
        self.joined += outcome.joined;
        self.stale += outcome.stale;
        self.shed += outcome.shed;
    }
}

/// Whether any of the first seeds finds a violation.
fn is_found(mutant: Mutant, in_process: bool) {
    is_found_in(Plan { mutant: Some(mutant), in_process, ..Plan::default() });
}

fn is_found_in(plan: Plan) {
    let found = (0..2000).find(|&seed| !run(seed, plan).violations.is_empty());
    assert!(found.is_some(), "{:?} breaks the protocol, and nothing notices", plan.mutant);
}

#[test]
fn promises_hold_on_a_remote_store_whatever_goes_wrong() {
    let totals = holds(Plan::default(), 8000);
    assert!(
        env::var("SIM_SEED").is_ok()
            || totals.hits > 1000 && totals.joined > 1000 && totals.mutations > 1000 && totals.shed > 1000,
        "{totals:?}"
    );
}

#[test]
fn promises_hold_in_process_whatever_is_evicted_or_dropped() {
    let totals = holds(Plan { in_process: true, ..Plan::default() }, 8000);
    assert!(
        env::var("SIM_SEED").is_ok() || totals.hits > 1000 && totals.joined > 1000 && totals.mutations > 1000,
        "{totals:?}"
    );
}

#[test]
fn promises_hold_where_values_are_served_past_their_time() {
    for in_process in [false, true] {
        let totals = holds(Plan { lenient: true, in_process, ..Plan::default() }, 3000);
        assert!(env::var("SIM_SEED").is_ok() || totals.stale > 300 && totals.hits > 1000, "{totals:?}");
    }
}

#[test]
fn reads_are_linearizable_with_mutations_that_say_so() {
    holds(Plan { linearizable: true, peaceful: true, ..Plan::default() }, 1000);
    holds(Plan { linearizable: true, peaceful: true, in_process: true, ..Plan::default() }, 1000);
}

#[test]
fn what_a_lagging_replica_said_is_never_served_after_the_grace() {
    holds(Plan { replica: true, ..Plan::default() }, 1000);
    holds(Plan { replica: true, in_process: true, ..Plan::default() }, 1000);
}

#[test]
fn an_emptied_namespace_and_a_full_journal_leave_nothing_behind() {
    holds(Plan { clears: true, ..Plan::default() }, 1000);
    holds(Plan { clears: true, in_process: true, ..Plan::default() }, 1000);
}

#[test]
fn a_store_that_comes_back_with_an_old_snapshot_brings_nothing_back() {
    let totals = holds(Plan { rolls_back: true, ..Plan::default() }, 3000);
    assert!(env::var("SIM_SEED").is_ok() || totals.hits > 1000 && totals.mutations > 1000, "{totals:?}");
    holds(Plan { rolls_back: true, clears: true, ..Plan::default() }, 1000);
    holds(Plan { rolls_back: true, lenient: true, ..Plan::default() }, 1000);
}

#[test]
fn control_one_incarnation() {
    is_found_in(Plan { mutant: Some(Mutant::OneIncarnation), rolls_back: true, ..Plan::default() });
}

#[test]
fn one_load_per_key_in_the_fleet() {
    holds(Plan { read_only: true, peaceful: true, ..Plan::default() }, 1000);
    holds(Plan { read_only: true, peaceful: true, in_process: true, ..Plan::default() }, 1000);
}

#[test]
fn one_load_per_key_and_process_while_the_store_is_away() {
    holds(Plan { read_only: true, peaceful: true, away: true, ..Plan::default() }, 1000);
}

#[test]
fn a_seed_replays() {
    let history = |seed| run(seed, Plan::default()).history.to_string();
    for seed in 0..20 {
        assert_eq!(history(seed), history(seed));
    }
    assert_ne!(history(1), history(2));
}

#[test]
fn control_grace() {
    let replica = Plan { replica: true, ..Plan::default() };
    is_found_in(Plan { mutant: Some(Mutant::GraceForgotten), ..replica });
    is_found_in(Plan { mutant: Some(Mutant::GraceForgotten), in_process: true, ..replica });
    is_found_in(Plan { mutant: Some(Mutant::GraceForgottenByTheJournal), ..replica });
    is_found_in(Plan { mutant: Some(Mutant::GraceEndedByAnother), ..replica });
}

#[test]
fn control_invalidated_served_past_its_time() {
    for in_process in [false, true] {
        let mutant = Some(Mutant::InvalidatedServedPastItsTime);
        is_found_in(Plan { mutant, lenient: true, in_process, ..Plan::default() });
    }
}

#[test]
fn control_loads_without_a_place() {
    for in_process in [false, true] {
        is_found_in(Plan { mutant: Some(Mutant::LoadsWithoutAPlace), lenient: true, in_process, ..Plan::default() });
    }
}

#[test]
fn control_epoch() {
    let clears = Plan { clears: true, ..Plan::default() };
    is_found_in(Plan { mutant: Some(Mutant::OverflowForgotten), ..clears });
    is_found_in(Plan { mutant: Some(Mutant::EpochReadOnce), ..clears });
    is_found_in(Plan { mutant: Some(Mutant::EpochKeptByWhoRemovesIt), ..clears });
}

macro_rules! controls {
    ($($name:ident $mutant:ident $($in_process:literal)*;)*) => {$(
        #[test]
        fn $name() {
            $(is_found(Mutant::$mutant, $in_process);)*
        }
    )*};
}

controls! {
    control_tokens_captured_after_the_load TokensCapturedAfterTheLoad false;
    control_flight_joined_by_key_alone FlightJoinedByKeyAlone false true;
    control_no_invalidation_on_error NoInvalidationOnError false true;
    control_inner_dependencies_ignored InnerDependenciesIgnored false true;
    control_outer_load_joined_by_its_own_lease OuterLoadJoinedByItsOwnLease false true;
    control_fill_without_lease_check FillWithoutLeaseCheck false;
    control_entry_deleted_before_lease EntryDeletedBeforeLease false;
    control_counter_tokens CounterTokens false;
    control_pending_token_repeats PendingTokenRepeats false;
    control_lease_revived_by_a_repeated_request LeaseRevivedByARepeatedRequest false;
}
