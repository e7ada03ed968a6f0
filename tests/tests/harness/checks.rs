//! Whether what happened was allowed to.
//!
//! Values are numbers of commits, so they are ordered, and every promise is a comparison. A promise that needs something says so here:
//!
//! - *I1*, *I1n* (nested): a read that begins after a mutator returned sees its commit. If the mutator's process had invalidations left to deliver, that holds in this
//!   process at once, and in the others when it has delivered them. Excused is a read that begins while two servers take themselves for the same master, as the documentation says. Nothing else is: neither
//!   what the store forgot, nor what reached it twice or late.
//! - *killed*, *dropped*: a mutation that was cut off is in force when its marks have expired. Only where the store loses nothing, and not for one that places no marks.
//! - *I2*: no read is older than a commit, or than another read, that ended before it began. Only where all mutations are linearizable and the store loses nothing.
//! - *I4*: a value is of the row that was asked for, and of a commit that had begun.
//! - *I5*: no read takes longer than its bound; and in no process do more loads run than its *bulkhead* has places, but for those that have waited for one as long as they may.
//! - *I6*: two loads of one key overlap only if a mutation of the row was under way since the first one began. Only where the store loses nothing.
//! - *I7*: no call is stranded.
//! - *I8*: no value is older than its time to live.
//! - *I9*: an error is of a read of the database that failed meanwhile.
//! - *I10*: when nothing goes wrong any more, every process delivers what it owes; and when all have, every mutation that returned is in force, but for those that a killed process still owed.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use crate::database::CALM;
use crate::database::QUIET;
use crate::history::Event;
use crate::history::Row;
use crate::history::Seen;
use crate::history::Time;
use crate::history::What;
use crate::workload::CALM_TTL;

/// What a run promises beyond what always holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The store loses nothing and answers.
    pub(crate) kind: bool,
    /// Reads are claimed to be linearizable.
    pub(crate) linearizable: bool,
    /// How long marks live.
    pub(crate) guard: Duration,
    /// The most that a read takes, for each cached function that lies between it and the database.
    pub(crate) bound: Duration,
    /// The most loads that a process may have under way.
    pub(crate) max_loads: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) at: Time,
    pub(crate) row: Option<Row>,
    pub(crate) what: String,
}

/// What a busy machine may add to the time in which something is to happen by itself.
const SLACK: Duration = Duration::from_millis(800);
/// How long before its load a lease may have been taken, that was handed over.
const HANDED_OVER: Duration = Duration::from_millis(300);

/// The promises that `events` break.
pub(crate) fn judge(events: &[Event], rules: Rules) -> Vec<Violation> {
    let mut violations = stale_reads(events, rules);
    violations.extend(inventions(events));
    violations.extend(stranded(events));
    violations.extend(long_waits(events, rules));
    violations.extend(crowds(events, rules));
    violations.extend(stored_errors(events));
    violations.extend(slow_to_converge(events));
    if rules.kind {
        violations.extend(needless_loads(events, rules));
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}

/// From `at` on no read in `process`, or in none at all, may see less than `number` of `row`.
struct Floor {
    at: Time,
    process: Option<u32>,
    row: Row,
    number: u64,
    promise: &'static str,
}

fn stale_reads(events: &[Event], rules: Rules) -> Vec<Violation> {
    let mut floors = returned(events);
    floors.extend(expired(events));
    floors.extend(at_rest(events));
    if rules.kind {
        floors.extend(cut_off(events, rules.guard));
    }
    if rules.linearizable {
        floors.extend(seen_before(events));
    }
    floors.sort_by_key(|floor| floor.at);
    let mut reads: Vec<(&Event, u64, &[Seen])> = events.iter().filter_map(as_read).collect();
    reads.sort_by_key(|(event, ..)| event.from);
    let mut least = BTreeMap::<(Row, Option<u32>, &'static str), u64>::new();
    let divided: Vec<&Event> = events.iter().filter(|event| event.what == What::Divided).collect();
    let mut violations = Vec::new();
    let mut next = floors.into_iter().peekable();
    for (read, depth, saw) in reads {
        while let Some(floor) = next.next_if(|floor| floor.at < read.from) {
            let least = least.entry((floor.row, floor.process, floor.promise)).or_default();
            *least = floor.number.max(*least);
        }
        for seen in saw {
            for ((_, process, promise), least) in least.range((seen.asked, None, "")..(seen.asked + 1, None, "")) {
                let is_excused = || divided.iter().any(|event| event.from <= read.from && read.from <= event.till);
                let binds = process.is_none_or(|process| process == read.process);
                if binds && seen.number < *least && !(*promise == "I1" && is_excused()) {
                    violations.push(too_old(read, depth, seen, promise, *least));
                }
            }
        }
    }
    violations
}

fn as_read(event: &Event) -> Option<(&Event, u64, &[Seen])> {
    match &event.what {
        What::Read { depth, saw, .. } => Some((event, *depth, saw)),
        _ => None,
    }
}

fn too_old(read: &Event, depth: u64, seen: &Seen, promise: &'static str, least: u64) -> Violation {
    let promise = if promise == "I1" && depth > 1 { "I1n" } else { promise };
    let what = format!("{:?} is older than commit {least}, by which it is bound: {read:?}", seen);
    Violation { promise, at: read.from, row: Some(seen.asked), what }
}

/// Of mutators that returned.
fn returned(events: &[Event]) -> Vec<Floor> {
    let deliveries: Vec<&Event> = events.iter().filter(|event| event.what == What::Delivered).collect();
    let delivered = |process: u32, after: Time| {
        let later = deliveries.iter().filter(|delivery| delivery.process == process && delivery.from >= after);
        later.map(|delivery| delivery.till).min()
    };
    let mut floors = Vec::new();
    for event in events {
        let What::Returned { row, number, pending, .. } = event.what else { continue };
        let floor = |at, process| Floor { at, process, row, number, promise: "I1" };
        if pending {
            floors.push(floor(event.till, Some(event.process)));
            floors.extend(delivered(event.process, event.till).map(|at| floor(at, None)));
        } else {
            floors.push(floor(event.till, None));
        }
    }
    floors
}

/// Of mutations that were dropped or killed half-way.
fn cut_off(events: &[Event], guard: Duration) -> Vec<Floor> {
    let killed = killed(events);
    let mut ends = HashMap::<u64, Option<Time>>::new();
    let mut marked = HashMap::<u64, u32>::new();
    for event in events {
        match event.what {
            What::Returned { mutation, .. } => drop(ends.insert(mutation, None)),
            What::Dropped { mutation, .. } => drop(ends.insert(mutation, Some(event.till))),
            What::Began { mutation, after: false, .. } => drop(marked.insert(mutation, event.process)),
            _ => {}
        }
    }
    let mut floors = Vec::new();
    for event in events {
        let What::Commit { row, number, mutation } = event.what else { continue };
        let Some(process) = marked.get(&mutation) else { continue };
        let (end, promise) = match ends.get(&mutation) {
            Some(None) => continue,
            Some(Some(dropped)) => (Some(*dropped), "dropped"),
            None => (killed.get(process).copied(), "killed"),
        };
        let Some(end) = end else { continue };
        let at = end.max(event.till).after(guard + SLACK);
        floors.push(Floor { at, process: None, row, number, promise });
    }
    floors
}

fn killed(events: &[Event]) -> HashMap<u32, Time> {
    let killed = events.iter().filter(|event| event.what == What::Killed);
    killed.map(|event| (event.process, event.till)).collect()
}

/// Of entries whose time is over, where that is soon enough to be seen.
fn expired(events: &[Event]) -> Vec<Floor> {
    let commits = events.iter().filter_map(|event| match event.what {
        What::Commit { row, number, .. } if (CALM..QUIET).contains(&row) => {
            Some(Floor { at: event.till.after(CALM_TTL + SLACK / 4), process: None, row, number, promise: "I8" })
        }
        _ => None,
    });
    commits.collect()
}

/// Of everything that was committed or read before.
fn seen_before(events: &[Event]) -> Vec<Floor> {
    let mut floors = Vec::new();
    for event in events {
        let at = event.till;
        let mut floor = |row, number| floors.push(Floor { at, process: None, row, number, promise: "I2" });
        match &event.what {
            What::Commit { row, number, .. } => floor(*row, *number),
            What::Read { saw, .. } => saw.iter().for_each(|seen| floor(seen.asked, seen.number)),
            _ => {}
        }
    }
    floors
}

fn inventions(events: &[Event]) -> Vec<Violation> {
    let mut began = HashMap::<(Row, u64), Time>::new();
    for event in events {
        if let What::Commit { row, number, .. } = event.what {
            began.insert((row, number), event.from);
        }
    }
    let real = |seen: &Seen, by: Time| {
        let committed = seen.number == 0 || began.get(&(seen.row, seen.number)).is_some_and(|began| *began < by);
        committed && seen.row == seen.asked
    };
    let mut violations = Vec::new();
    for (read, _, saw) in events.iter().filter_map(as_read) {
        for seen in saw.iter().filter(|seen| !real(seen, read.till)) {
            let what = format!("{seen:?} was never committed: {read:?}");
            violations.push(Violation { promise: "I4", at: read.from, row: Some(seen.asked), what });
        }
    }
    violations
}

fn stranded(events: &[Event]) -> Vec<Violation> {
    let stranded = events.iter().filter(|event| matches!(event.what, What::Stranded { .. }));
    stranded.map(|event| Violation { promise: "I7", at: event.till, row: None, what: format!("{event:?}") }).collect()
}

/// Reads that took longer than they may, the time not counted in which their process was stopped.
fn long_waits(events: &[Event], rules: Rules) -> Vec<Violation> {
    let stops: Vec<&Event> = events.iter().filter(|event| event.process != 0 && is_fault(event)).collect();
    let mut violations = Vec::new();
    for (read, depth, _) in events.iter().filter_map(as_read) {
        let during = |stop: &&&Event| stop.process == read.process && stop.from < read.till && stop.till > read.from;
        let bound = rules.bound * depth as u32;
        if read.length() > bound + stops.iter().filter(during).map(|stop| stop.length()).sum::<Duration>() {
            let what = format!("{:?} is longer than {bound:?}: {read:?}", read.length());
            violations.push(Violation { promise: "I5", at: read.from, row: None, what });
        }
    }
    violations
}

fn is_fault(event: &Event) -> bool {
    matches!(event.what, What::Fault(_))
}

/// Processes that loaded more at one time than there were places.
fn crowds(events: &[Event], rules: Rules) -> Vec<Violation> {
    // Who has waited for a place as long as it may loads all the same.
    let crowd = |event: &&Event| match event.what {
        What::Tally { most_loads, overloaded, .. } => most_loads > rules.max_loads + overloaded,
        _ => false,
    };
    let crowds = events.iter().filter(crowd);
    let what = |event: &Event| format!("more than {} loads at one time: {event:?}", rules.max_loads);
    crowds.map(|event| Violation { promise: "bulkhead", at: event.till, row: None, what: what(event) }).collect()
}

fn stored_errors(events: &[Event]) -> Vec<Violation> {
    let mut failures = HashMap::<Row, Vec<Time>>::new();
    for event in events {
        if let What::Failed { row } = event.what {
            failures.entry(row).or_default().push(event.till);
        }
    }
    let mut violations = Vec::new();
    for event in events {
        let What::Erred { row } = event.what else { continue };
        let meanwhile = |at: &Time| *at >= event.from && *at <= event.till;
        if !failures.get(&row).is_some_and(|failures| failures.iter().any(meanwhile)) {
            let what = format!("an error, and no read of the database failed: {event:?}");
            violations.push(Violation { promise: "I9", at: event.from, row: Some(row), what });
        }
    }
    violations
}

/// Processes that still owe something long after everything was well.
fn slow_to_converge(events: &[Event]) -> Vec<Violation> {
    let Some(healed) = healed(events) else { return Vec::new() };
    let late = |event: &&Event| event.what == What::Rested && event.till > healed.after(CONVERGENCE);
    let what = |event: &Event| format!("{:?} after all was well: {event:?}", event.till.since(healed));
    let late = events.iter().filter(late);
    late.map(|event| Violation { promise: "I10", at: event.till, row: None, what: what(event) }).collect()
}

/// When everything was well again.
pub(crate) fn healed(events: &[Event]) -> Option<Time> {
    events.iter().find(|event| event.what == What::Healed).map(|event| event.till)
}

/// Of mutators that had returned, when nobody owes anything any more.
fn at_rest(events: &[Event]) -> Vec<Floor> {
    let rested = events.iter().filter(|event| event.what == What::Rested).map(|event| event.till).max();
    let (Some(at), true) = (rested, healed(events).is_some()) else { return Vec::new() };
    let killed = killed(events);
    let floors = events.iter().filter_map(|event| match event.what {
        What::Returned { pending: true, .. } if killed.contains_key(&event.process) => None,
        What::Returned { row, number, .. } => Some(Floor { at, process: None, row, number, promise: "I10" }),
        _ => None,
    });
    floors.collect()
}

/// The longest pauses of a breaker and of a journal, an attempt to connect, and what a busy machine adds to them.
const CONVERGENCE: Duration = Duration::from_secs(8);

fn needless_loads(events: &[Event], rules: Rules) -> Vec<Violation> {
    let unsettled = unsettled(events, rules);
    let mut loads = BTreeMap::<&str, Vec<(&Event, Row)>>::new();
    for event in events {
        if let What::Load { key, row } = &event.what {
            loads.entry(key).or_default().push((event, *row));
        }
    }
    let mut violations = Vec::new();
    for loads in loads.values_mut() {
        loads.sort_by_key(|(load, _)| load.from);
        for at in 1..loads.len() {
            let (load, row) = loads[at];
            let running = loads[..at].iter().rev().take(MOST_ABREAST).find(|(other, _)| other.till > load.from);
            let Some((other, _)) = running else { continue };
            let since = other.from.before(HANDED_OVER);
            let excused = unsettled.iter().any(|(of, from, till)| *of == row && *from <= load.from && *till >= since);
            if !excused {
                let what = format!("two loads at one time: {other:?} and {load:?}");
                violations.push(Violation { promise: "I6", at: load.from, row: Some(row), what });
            }
        }
    }
    violations
}

/// When mutations of which rows were under way.
fn unsettled(events: &[Event], rules: Rules) -> Vec<(Row, Time, Time)> {
    let killed = killed(events);
    let mut ends = HashMap::<u64, Time>::new();
    for event in events {
        match event.what {
            What::Returned { mutation, .. } => drop(ends.insert(mutation, event.till)),
            What::Dropped { mutation, .. } => drop(ends.insert(mutation, event.till.after(rules.guard + SLACK))),
            _ => {}
        }
    }
    let mut unsettled = Vec::new();
    for event in events {
        let What::Began { row, mutation, .. } = event.what else { continue };
        let of_killed = || killed.get(&event.process).map(|at| at.after(rules.guard + SLACK));
        let end = ends.get(&mutation).copied().or_else(of_killed).unwrap_or(Time(u64::MAX));
        unsettled.push((row, event.from, end));
    }
    unsettled
}

/// How many earlier loads of a key are looked at.
const MOST_ABREAST: usize = 16;
