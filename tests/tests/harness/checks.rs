//! Whether what happened was allowed to.
//!
//! Values are numbers of commits, so they are ordered, and every promise is a comparison. A promise that needs something says so here:
//!
//! - *I1*, *I1n* (nested): a read that begins after a mutator returned sees its commit. If the mutator's process had invalidations left to deliver, that holds in this
//!   process at once, and in the others when it has delivered them. Nothing else is excused: neither what the store forgot, nor what reached it twice or late.
//! - *killed*, *dropped*: a mutation that was cut off is in force when its marks have expired. Only where the store loses nothing, and not for one that places no marks.
//! - *I2*: no read is older than a commit, or than another read, that ended before it began. Only where all mutations are linearizable and the store loses nothing.
//! - *I4*: a value is of the row that was asked for, and of a commit that had begun.
//! - *I6*: two loads of one key overlap only if a mutation of the row was under way since the first one began. Only where the store loses nothing.
//! - *I7*: no call is stranded.
//! - *I8*: no value is older than its time to live.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use crate::database::CALM;
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
    let mut violations = Vec::new();
    let mut next = floors.into_iter().peekable();
    for (read, depth, saw) in reads {
        while let Some(floor) = next.next_if(|floor| floor.at < read.from) {
            let least = least.entry((floor.row, floor.process, floor.promise)).or_default();
            *least = floor.number.max(*least);
        }
        for seen in saw {
            for ((_, process, promise), least) in least.range((seen.asked, None, "")..(seen.asked + 1, None, "")) {
                let binds = process.is_none_or(|process| process == read.process);
                if binds && seen.number < *least {
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
        What::Commit { row, number, .. } if row >= CALM => {
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
