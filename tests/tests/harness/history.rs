//! What happened, in all processes, by one clock.

use std::fmt;
use std::time::Duration;

use rustix::time::ClockId;
use serde::Deserialize;
use serde::Serialize;

/// The name of a row of the database.
pub(crate) type Row = u64;

/// Nanoseconds of the machine's monotonic clock, which all of its processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Time(pub(crate) u64);

/// Something that happened in `process` between two moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) from: Time,
    pub(crate) till: Time,
    pub(crate) process: u32,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// A cached call returned these commits. `depth` is how many cached functions lie between the caller and the database, itself included.
    Read { call: String, depth: u64, saw: Vec<Seen> },
    /// Commit `number` of `row` by `mutation`. Only the database records these.
    Commit { row: Row, number: u64, mutation: u64 },
    /// A mutator was called. With `after` it marks nothing before its body.
    Began { row: Row, mutation: u64, after: bool },
    /// A mutator returned. `pending` says that its process had invalidations left to deliver.
    Returned { row: Row, mutation: u64, number: u64, pending: bool },
    /// The future of a mutator was dropped.
    Dropped { row: Row, mutation: u64 },
    /// Since `from` the process had nothing left to deliver.
    Delivered,
    /// A load of `row` under `key` began and ended, or was dropped.
    Load { key: String, row: Row },
    /// The database did not answer a read of `row`.
    Failed { row: Row },
    /// A cached call of `row` returned an error.
    Erred { row: Row },
    /// A call did not end by its deadline.
    Stranded { call: String },
    /// The process was killed.
    Killed,
    /// The store lost what it held, or something did not reach it.
    Fault(String),
    /// Two servers may have taken themselves for the same master.
    Divided,
    /// From here on nothing goes wrong any more.
    Healed,
    /// The process has delivered everything that it owed.
    Rested,
    /// What the caches of a process counted, and how many loads of it ran at one time.
    Tally {
        hits: u64,
        joined: u64,
        stale: u64,
        fills: u64,
        applied: u64,
        deferred: u64,
        overloaded: u64,
        most_loads: u64,
    },
    /// How much memory the process had.
    Memory { kib: u64 },
}

/// One row as a read saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The row that was asked for.
    pub(crate) asked: Row,
    /// The row that the value says it is of.
    pub(crate) row: Row,
    /// The commit that it was made of.
    pub(crate) number: u64,
}

impl Time {
    /// Now.
    pub(crate) fn now() -> Self {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        // Neither is negative on a machine that runs.
        Self(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_nanos() as u64))
    }
}

impl Event {
    /// How long it took.
    pub(crate) fn length(&self) -> Duration {
        self.till.since(self.from)
    }

    /// What began at `from` and ends now.
    pub(crate) fn since(from: Time, process: u32, what: What) -> Self {
        Self { from, till: Time::now(), process, what }
    }
}

/// The events around one moment, one line each, in milliseconds from the first of all.
pub(crate) fn around(events: &[Event], at: Time, row: Option<Row>) -> String {
    let reach = Duration::from_millis(40);
    let zero = events.iter().map(|event| event.from).min().unwrap_or(at);
    let near = |event: &&Event| event.till >= at.before(reach) && event.from <= at.after(reach / 8);
    let mut near: Vec<&Event> = events.iter().filter(near).filter(|event| concerns(event, row)).collect();
    near.sort_by_key(|event| event.till);
    let lines = near.len().saturating_sub(MOST_LINES);
    near[lines..].iter().map(|event| format!("{}\n", Line { event, zero })).collect()
}

fn concerns(event: &Event, row: Option<Row>) -> bool {
    let Some(row) = row else { return true };
    match &event.what {
        What::Read { saw, .. } => saw.iter().any(|seen| seen.asked == row),
        What::Commit { row: of, .. }
        | What::Began { row: of, .. }
        | What::Returned { row: of, .. }
        | What::Dropped { row: of, .. }
        | What::Failed { row: of }
        | What::Erred { row: of }
        | What::Load { row: of, .. } => *of == row,
        What::Memory { .. } => false,
        _ => true,
    }
}

const MOST_LINES: usize = 200;

struct Line<'a> {
    event: &'a Event,
    zero: Time,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Time| time.0.saturating_sub(self.zero.0) as f64 / 1e6;
        let Event { from, till, process, what } = self.event;
        write!(f, "{:>10.3} {:>10.3}  #{process} {what:?}", millis(*from), millis(*till))
    }
}
