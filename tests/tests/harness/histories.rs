//! Histories written by hand, each of which breaks one promise.

use std::time::Duration;

use crate::checks::Rules;
use crate::checks::judge;
use crate::database::CALM;
use crate::history::Event;
use crate::history::Row;
use crate::history::Seen;
use crate::history::Time;
use crate::history::What;
use crate::history::around;

const GUARD: Duration = Duration::from_millis(100);
const KIND: Rules = Rules { kind: true, linearizable: false, guard: GUARD, bound: BOUND, max_loads: 3 };
const BOUND: Duration = Duration::from_millis(2000);
const STRICT: Rules = Rules { linearizable: true, ..KIND };
const CRUEL: Rules = Rules { kind: false, ..KIND };

/// What happened in `process`, in milliseconds.
fn event(process: u32, from: u64, till: u64, what: What) -> Event {
    let time = |millis: u64| Time((1000 + millis) * 1_000_000);
    Event { from: time(from), till: time(till), process, what }
}

fn commit(row: Row, number: u64, at: u64) -> Event {
    event(0, at, at + 1, What::Commit { row, number, mutation: 100 * row + number })
}

fn began(process: u32, row: Row, number: u64, at: u64) -> Event {
    event(process, at, at, What::Began { row, mutation: 100 * row + number, after: false })
}

fn returned(process: u32, row: Row, number: u64, at: u64, pending: bool) -> Event {
    event(process, at - 1, at, What::Returned { row, mutation: 100 * row + number, number, pending })
}

fn read(process: u32, row: Row, number: u64, from: u64) -> Event {
    nested(process, row, number, from, 1)
}

fn nested(process: u32, row: Row, number: u64, from: u64, depth: u64) -> Event {
    let saw = vec![Seen { asked: row, row, number }];
    event(process, from, from + 5, What::Read { call: format!("row:{row}"), depth, saw })
}

fn load(process: u32, from: u64, till: u64) -> Event {
    event(process, from, till, What::Load { key: "calm:9".to_owned(), row: 9 })
}

#[track_caller]
fn breaks(rules: Rules, events: &[Event], promises: &[&str]) {
    let broken: Vec<&str> = judge(events, rules).into_iter().map(|violation| violation.promise).collect();
    assert_eq!(broken, promises);
}

#[test]
fn an_old_value_after_a_mutator_returned_breaks_i1() {
    let written = [commit(1, 1, 10), returned(1, 1, 1, 20, false)];
    breaks(CRUEL, &[&written[..], &[read(2, 1, 1, 30), read(2, 1, 0, 15), read(2, 2, 0, 30)]].concat(), &[]);
    breaks(CRUEL, &[&written[..], &[read(2, 1, 0, 30)]].concat(), &["I1"]);
    breaks(CRUEL, &[&written[..], &[nested(2, 1, 0, 30, 2)]].concat(), &["I1n"]);
}

#[test]
fn only_a_read_that_begins_while_there_are_two_masters_may_be_old() {
    let written = [commit(1, 1, 10), returned(1, 1, 1, 20, false), event(0, 25, 35, What::Divided)];
    breaks(CRUEL, &[&written[..], &[read(2, 1, 0, 25), read(2, 1, 0, 35)]].concat(), &[]);
    breaks(CRUEL, &[&written[..], &[read(2, 1, 0, 24), read(2, 1, 0, 36)]].concat(), &["I1", "I1"]);
    let later = [event(0, 40, 40, What::Healed), event(1, 41, 42, What::Rested), event(0, 43, 99, What::Divided)];
    breaks(CRUEL, &[&written[..], &later, &[read(2, 1, 0, 50)]].concat(), &["I10"]);
}

#[test]
fn what_could_not_be_delivered_binds_its_own_process_at_once_and_others_later() {
    let written = [commit(1, 1, 10), returned(1, 1, 1, 20, true)];
    breaks(CRUEL, &[&written[..], &[read(2, 1, 0, 30)]].concat(), &[]);
    breaks(CRUEL, &[&written[..], &[read(1, 1, 0, 30)]].concat(), &["I1"]);
    let early = event(1, 19, 21, What::Delivered);
    breaks(CRUEL, &[&written[..], &[early, read(2, 1, 0, 30)]].concat(), &[]);
    let of_another = event(3, 21, 22, What::Delivered);
    breaks(CRUEL, &[&written[..], &[of_another, read(2, 1, 0, 30)]].concat(), &[]);
    let delivered = event(1, 21, 25, What::Delivered);
    breaks(CRUEL, &[&written[..], &[delivered.clone(), read(2, 1, 0, 24)]].concat(), &[]);
    breaks(CRUEL, &[&written[..], &[delivered, read(2, 1, 0, 30)]].concat(), &["I1"]);
}

#[test]
fn what_was_cut_off_is_in_force_when_its_marks_have_expired() {
    let dropped = event(1, 5, 20, What::Dropped { row: 1, mutation: 101 });
    let killed = event(1, 20, 20, What::Killed);
    let late = 20 + 100 + 800 + 10;
    for (end, promise) in [(dropped, "dropped"), (killed, "killed")] {
        let written = [began(1, 1, 1, 5), commit(1, 1, 10), end];
        breaks(KIND, &[&written[..], &[read(2, 1, 0, 500)]].concat(), &[]);
        breaks(KIND, &[&written[..], &[read(2, 1, 0, late)]].concat(), &[promise]);
        breaks(CRUEL, &[&written[..], &[read(2, 1, 0, late)]].concat(), &[]);
    }
    let unmarked = event(1, 5, 5, What::Began { row: 1, mutation: 101, after: true });
    breaks(KIND, &[unmarked, commit(1, 1, 10), event(1, 20, 20, What::Killed), read(2, 1, 0, late)], &[]);
}

#[test]
fn a_read_that_goes_back_breaks_i2() {
    let back = [commit(1, 1, 10), read(1, 1, 1, 11), read(2, 1, 0, 30)];
    breaks(STRICT, &back, &["I2"]);
    breaks(KIND, &back, &[]);
    breaks(STRICT, &[commit(1, 1, 10), read(2, 1, 0, 30)], &["I2"]);
    breaks(STRICT, &[commit(1, 1, 10), read(1, 1, 1, 9), read(2, 1, 0, 10)], &[]);
}

#[test]
fn a_value_of_no_commit_of_its_row_breaks_i4() {
    breaks(CRUEL, &[commit(1, 1, 10), read(1, 1, 2, 20)], &["I4"]);
    breaks(CRUEL, &[commit(1, 1, 10), read(1, 2, 1, 20)], &["I4"]);
    breaks(CRUEL, &[commit(1, 1, 30), read(1, 1, 1, 20)], &["I4"]);
    let saw = vec![Seen { asked: 2, row: 1, number: 1 }];
    let of_another = event(1, 20, 21, What::Read { call: "row:2".to_owned(), depth: 1, saw });
    breaks(CRUEL, &[commit(1, 1, 10), of_another], &["I4"]);
}

#[test]
fn two_loads_at_one_time_break_i6() {
    breaks(KIND, &[load(1, 1000, 1010), load(2, 1005, 1015)], &["I6"]);
    breaks(KIND, &[load(1, 1000, 1020), load(2, 1001, 1002), load(1, 1010, 1015)], &["I6", "I6"]);
    breaks(KIND, &[load(1, 1000, 1010), load(2, 1010, 1015)], &[]);
    breaks(CRUEL, &[load(1, 1000, 1010), load(2, 1005, 1015)], &[]);
}

#[test]
fn a_mutation_excuses_loads_of_its_row_while_it_is_under_way() {
    let loads = [load(1, 1000, 1010), load(2, 1005, 1015)];
    let mutation =
        |row, from, till| [began(1, row, 1, from), commit(row, 1, from + 1), returned(1, row, 1, till, false)];
    breaks(KIND, &[&mutation(9, 995, 1007)[..], &loads].concat(), &[]);
    breaks(KIND, &[&mutation(9, 1006, 1009)[..], &loads].concat(), &["I6"]);
    breaks(KIND, &[&mutation(9, 500, 600)[..], &loads].concat(), &["I6"]);
    breaks(KIND, &[&mutation(10, 995, 1007)[..], &loads].concat(), &["I6"]);
    let killed = event(1, 600, 600, What::Killed);
    breaks(KIND, &[&[began(1, 9, 1, 500), killed][..], &loads].concat(), &[]);
}

#[test]
fn a_call_without_an_end_breaks_i7() {
    breaks(CRUEL, &[event(1, 0, 9000, What::Stranded { call: "all".to_owned() })], &["I7"]);
}

#[test]
fn a_value_past_its_time_breaks_i8() {
    breaks(CRUEL, &[commit(CALM, 1, 10), read(1, CALM, 0, 200)], &[]);
    breaks(CRUEL, &[commit(CALM, 1, 10), read(1, CALM, 0, 480)], &["I8"]);
    breaks(CRUEL, &[commit(1, 1, 10), read(1, 1, 0, 480)], &[]);
}

#[test]
fn a_read_that_takes_too_long_breaks_i5() {
    let long = |depth, till| {
        let saw = vec![Seen { asked: 1, row: 1, number: 0 }];
        event(1, 100, till, What::Read { call: "row:1".to_owned(), depth, saw })
    };
    breaks(CRUEL, &[long(1, 2000), long(2, 4000)], &[]);
    breaks(CRUEL, &[long(1, 2200)], &["I5"]);
    let stopped = |process| event(process, 500, 1000, What::Fault("stopped".to_owned()));
    breaks(CRUEL, &[long(1, 2200), stopped(1)], &[]);
    breaks(CRUEL, &[long(1, 2200), stopped(2)], &["I5"]);
}

#[test]
fn more_loads_than_places_break_the_bulkhead() {
    let tally = |most_loads| What::Tally {
        hits: 0,
        joined: 0,
        stale: 0,
        fills: 0,
        applied: 0,
        deferred: 0,
        overloaded: 0,
        most_loads,
    };
    breaks(CRUEL, &[event(1, 0, 1, tally(3))], &[]);
    breaks(CRUEL, &[event(1, 0, 1, tally(4))], &["bulkhead"]);
}

#[test]
fn an_error_without_a_failure_breaks_i9() {
    let (erred, failed) =
        (event(1, 100, 120, What::Erred { row: 1 }), |row, at| event(0, at, at, What::Failed { row }));
    breaks(CRUEL, &[erred.clone(), failed(1, 110)], &[]);
    breaks(CRUEL, &[erred.clone(), failed(1, 90)], &["I9"]);
    breaks(CRUEL, &[erred, failed(2, 110)], &["I9"]);
}

#[test]
fn what_does_not_converge_breaks_i10() {
    let rested = |process, at| event(process, at, at, What::Rested);
    let (healed, written) = (event(0, 100, 100, What::Healed), [commit(1, 1, 10), returned(1, 1, 1, 20, true)]);
    breaks(CRUEL, &[healed.clone(), rested(1, 200), rested(2, 8000)], &[]);
    breaks(CRUEL, &[healed.clone(), rested(1, 200), rested(2, 8200)], &["I10"]);
    let all = [&written[..], &[healed, rested(1, 150), rested(2, 200)]].concat();
    breaks(CRUEL, &[&all[..], &[read(2, 1, 0, 190)]].concat(), &[]);
    breaks(CRUEL, &[&all[..], &[read(2, 1, 0, 210)]].concat(), &["I10"]);
    let killed = event(1, 30, 31, What::Killed);
    breaks(CRUEL, &[&all[..], &[killed, read(2, 1, 0, 210)]].concat(), &[]);
}

#[test]
fn what_is_shown_of_a_history_is_what_happened_around_the_violation() {
    let events = [read(1, 1, 7, 100), read(1, 2, 8, 100), read(1, 1, 9, 900)];
    let shown = around(&events, events[0].from, Some(1));
    assert!(shown.contains("number: 7") && !shown.contains("number: 8") && !shown.contains("number: 9"), "{shown}");
}
