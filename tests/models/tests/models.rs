//! What can happen when threads meet, over thousands of interleavings of each.
//!
//! A failure prints a schedule, and `shuttle::replay` with that plays it again.

use cache_models::model;

/// Runs `model` under schedules that are drawn at random, and under some that starve threads.
fn holds(model: fn()) {
    let mut config = shuttle::Config::new();
    // A panic that is shown with all its frames needs more than the usual.
    config.stack_size = 1 << 20;
    let random = shuttle::scheduler::RandomScheduler::new(1500);
    shuttle::Runner::new(random, config.clone()).run(model);
    shuttle::Runner::new(shuttle::scheduler::PctScheduler::new(3, 1000), config).run(model);
}

/// Whether some interleaving makes `model` fail.
fn fails(model: fn()) -> bool {
    std::panic::catch_unwind(|| holds(model)).is_err()
}

#[test]
fn a_token_is_never_taken_for_alive_by_the_time_of_another() {
    holds(model::cells::a_token_dies_with_its_time);
}

#[test]
fn a_token_that_was_killed_stays_dead() {
    holds(model::cells::what_is_killed_stays_dead);
}

#[test]
fn one_of_those_who_come_together_loads() {
    holds(model::flights::one_loads_for_all);
}

#[test]
fn nobody_is_stranded_whoever_fails_or_is_dropped() {
    holds(model::flights::nobody_is_stranded);
}

#[test]
fn nobody_is_given_what_was_loaded_before_it_came() {
    holds(|| model::flights::values_are_fresh(false));
}

#[test]
fn control_a_flight_joined_by_its_key_alone() {
    assert!(fails(|| model::flights::values_are_fresh(true)));
}

#[test]
fn after_an_invalidation_no_old_entry_is_served() {
    holds(|| model::store::nothing_stale_survives(false, true));
    holds(|| model::store::nothing_stale_survives(true, true));
}

#[test]
fn no_old_value_is_read_with_a_token_that_is_younger() {
    holds(model::store::a_value_and_the_token_of_its_key_belong_together);
}

#[test]
fn control_an_entry_that_depends_on_nothing() {
    assert!(fails(|| model::store::nothing_stale_survives(true, false)));
}
