//! Rules that are broken on purpose, each of which the checks must notice.

use std::time::Duration;

use cache_runtime::sim::Mutant;

use crate::changes::Change;
use crate::checks::judge;
use crate::fleet::Writes;
use crate::run::Scenario;
use crate::run::Store;
use crate::run::run;

/// Whether one of a few short runs breaks `promise`.
fn is_found(scenario: Scenario, promise: &str) {
    is_found_within(ATTEMPTS, Duration::from_millis(1200), scenario, promise);
}

fn is_found_within(attempts: u64, length: Duration, scenario: Scenario, promise: &str) {
    let found = (0..attempts).any(|seed| {
        let history = run(scenario, seed, length);
        judge(&history, scenario.rules()).iter().any(|violation| violation.promise == promise)
    });
    assert!(found, "{scenario:?} breaks {promise}, and nothing notices");
}

const ATTEMPTS: u64 = 10;

fn broken(mutant: Mutant) -> Scenario {
    Scenario { mutant: Some(mutant), ..Scenario::default() }
}

#[test]
fn tokens_captured_after_the_load_break_i1() {
    is_found(Scenario { writes: Writes::ByTag, ..broken(Mutant::TokensCapturedAfterTheLoad) }, "I1");
}

#[test]
fn a_flight_joined_by_its_key_alone_breaks_i1() {
    is_found(Scenario { store: Store::InProcess, ..broken(Mutant::FlightJoinedByKeyAlone) }, "I1");
}

#[test]
fn inner_dependencies_ignored_break_i1n() {
    is_found(Scenario { store: Store::InProcess, ..broken(Mutant::InnerDependenciesIgnored) }, "I1n");
    is_found(broken(Mutant::InnerDependenciesIgnored), "I1n");
}

#[test]
fn mutations_that_are_only_guarded_break_i2() {
    is_found(Scenario { store: Store::InProcess, linearizable: true, ..Scenario::default() }, "I2");
    is_found(Scenario { linearizable: true, ..Scenario::default() }, "I2");
}

#[test]
fn an_entry_of_another_type_breaks_i4() {
    is_found(broken(Mutant::EntryOfAnotherTypeServed), "I4");
}

#[test]
fn a_lease_taken_from_others_breaks_i6() {
    is_found(Scenario { store: Store::InProcess, ..broken(Mutant::LeaseOfOthersTaken) }, "I6");
    is_found(broken(Mutant::LeaseOfOthersTaken), "I6");
}

#[test]
fn an_old_value_of_what_was_invalidated_breaks_i1n() {
    is_found(Scenario { store: Store::InProcess, ..broken(Mutant::InvalidatedServedPastItsTime) }, "I1n");
    is_found(broken(Mutant::InvalidatedServedPastItsTime), "I1n");
}

#[test]
fn loads_without_a_place_break_the_bulkhead() {
    is_found(Scenario { store: Store::InProcess, ..broken(Mutant::LoadsWithoutAPlace) }, "bulkhead");
    is_found(Scenario { cruel: true, ..broken(Mutant::LoadsWithoutAPlace) }, "bulkhead");
}

#[test]
fn servers_whose_names_are_taken_by_others_break_i1() {
    let scenario = Scenario { store: Store::Memcached(3), cruel: true, ..broken(Mutant::ServersEjected) };
    // A server has to be silent for long enough to be given up, and to come back with what it held.
    is_found_within(4 * ATTEMPTS, Duration::from_secs(4), scenario, "I1");
}

#[test]
fn numbers_that_are_given_again_break_i1() {
    // Numbers come again only if few are given: the loads are of four keys on three servers, and nothing but they and their tokens is written.
    let scenario = Scenario { store: Store::Memcached(3), cruel: true, slow: true, ..broken(Mutant::NumbersAlone) };
    is_found_within(ATTEMPTS, Duration::from_secs(7), scenario, "I1");
}

#[test]
fn deletes_that_are_lost_with_their_master_break_i1_if_its_incarnation_does_not_count() {
    let scenario = Scenario { cruel: true, warm: true, changes: Some(&[Change::Unheard]), ..Scenario::default() };
    is_found_within(5, Duration::from_secs(8), Scenario { store: Store::Cluster, ..scenario }, "I1");
    is_found_within(5, Duration::from_secs(8), Scenario { store: Store::Sentinels, ..scenario }, "I1");
}

#[test]
fn old_data_break_i1_if_the_incarnation_of_their_server_does_not_count() {
    let changes = Some(&[Change::Restart { empty: false }][..]);
    let scenario = Scenario { cruel: true, warm: true, changes, ..Scenario::default() };
    is_found_within(ATTEMPTS, Duration::from_secs(2), scenario, "I1");
    is_found_within(ATTEMPTS, Duration::from_secs(2), Scenario { store: Store::Rediss, ..scenario }, "I1");
}
