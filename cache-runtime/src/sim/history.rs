//! What happened, and whether it was allowed to.
//!
//! Values are the numbers of commits, so they are ordered and unique, and every promise is a comparison: no search for an order is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::core::lock;

/// A record of everything that happened, in one order that agrees with real time.
#[derive(Debug, Default)]
pub struct History {
    clock: AtomicU64,
    events: Mutex<Vec<Event>>,
}

/// The name of a row of the database.
pub(crate) type Row = u64;

/// Something that happened, between two ticks of the history's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    from: u64,
    till: u64,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A read returned these commits of these rows.
    Read {
        who: String,
        saw: Vec<(Row, u64)>,
    },
    Commit {
        row: Row,
        number: u64,
    },
    /// An invalidation of everything that depends on this commit was confirmed.
    Invalidated {
        row: Row,
        number: u64,
    },
    Load {
        key: String,
    },
    Note(String),
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl History {
    /// A moment: earlier than all that are taken later.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// A read that began at `from` returns now.
    pub fn read(&self, who: &str, from: u64, saw: Vec<(Row, u64)>) {
        self.push(from, What::Read { who: who.to_owned(), saw });
    }

    /// Commit `number` of `row` happened between `from` and now.
    pub fn commit(&self, from: u64, row: Row, number: u64) {
        self.push(from, What::Commit { row, number });
    }

    /// The invalidation that belongs to a commit is confirmed.
    pub fn invalidated(&self, row: Row, number: u64) {
        self.push(self.tick(), What::Invalidated { row, number });
    }

    /// A load of `key` that began at `from` ends now.
    pub fn load(&self, from: u64, key: &str) {
        self.push(from, What::Load { key: key.to_owned() });
    }

    /// Anything else worth reading in a failure.
    pub fn note(&self, text: impl Into<String>) {
        self.push(self.tick(), What::Note(text.into()));
    }

    /// Hands the record over.
    pub(crate) fn take(&self) -> Self {
        Self { clock: AtomicU64::new(self.tick()), events: Mutex::new(std::mem::take(&mut lock(&self.events))) }
    }

    fn push(&self, from: u64, what: What) {
        let event = Event { from, till: self.tick(), what };
        lock(&self.events).push(event);
    }

    /// The promises that what happened has broken.
    ///
    /// - I1: no read that begins after an invalidation was confirmed returns anything older than its commit.
    /// - I4: no read returns what was not committed.
    /// - I2, if `linearizable`: no read returns anything older than what was committed before it began, or than what an earlier read returned.
    pub fn violations(&self, linearizable: bool) -> Vec<Violation> {
        let mut events = lock(&self.events).clone();
        events.sort_by_key(|event| event.till);
        let commits = Commits::new(&events);
        let mut floor = Floor::default();
        let mut violations = Vec::new();
        let mut reads: Vec<&Event> = events.iter().filter(|event| matches!(event.what, What::Read { .. })).collect();
        reads.sort_by_key(|read| read.from);
        let mut before = events.iter().peekable();
        for read in reads {
            while let Some(event) = before.next_if(|event| event.till < read.from) {
                floor.raise(event, linearizable);
            }
            let What::Read { who, saw } = &read.what else { continue };
            for &(row, number) in saw {
                let least = floor.of(row);
                if number < least {
                    violations.push(Violation(format!("{who} began at {} and was given commit {number} of row {row}, after commit {least} was in force", read.from)));
                }
                let most = commits.before(row, read.till);
                if number > most {
                    violations.push(Violation(format!(
                        "{who} was given commit {number} of row {row}, of which there were {most}"
                    )));
                }
            }
        }
        violations
    }

    /// The most loads of one key that ran at one time, and how many there were in all.
    pub fn loads(&self) -> BTreeMap<String, (usize, usize)> {
        let mut loads = BTreeMap::<String, Vec<(u64, u64)>>::new();
        for event in lock(&self.events).iter() {
            if let What::Load { key } = &event.what {
                loads.entry(key.clone()).or_default().push((event.from, event.till));
            }
        }
        let most = |spans: &Vec<(u64, u64)>| {
            let overlap = |at: u64| spans.iter().filter(|(from, till)| *from <= at && at < *till).count();
            spans.iter().map(|(from, _)| overlap(*from)).max().unwrap_or(0)
        };
        loads.into_iter().map(|(key, spans)| (key, (most(&spans), spans.len()))).collect()
    }
}

/// The oldest commit of each row that may still be read.
#[derive(Default)]
struct Floor(BTreeMap<Row, u64>);

impl Floor {
    fn raise(&mut self, event: &Event, linearizable: bool) {
        match &event.what {
            What::Invalidated { row, number } => self.raise_row(*row, *number),
            What::Commit { row, number } if linearizable => self.raise_row(*row, *number),
            What::Read { saw, .. } if linearizable => {
                saw.iter().for_each(|(row, number)| self.raise_row(*row, *number))
            }
            _ => {}
        }
    }

    fn raise_row(&mut self, row: Row, number: u64) {
        let floor = self.0.entry(row).or_default();
        *floor = number.max(*floor);
    }

    fn of(&self, row: Row) -> u64 {
        self.0.get(&row).copied().unwrap_or(0)
    }
}

/// The commits of each row by the moment they began, each with the highest number so far.
struct Commits(BTreeMap<Row, Vec<(u64, u64)>>);

impl Commits {
    fn new(events: &[Event]) -> Self {
        let mut rows = BTreeMap::<Row, Vec<(u64, u64)>>::new();
        for event in events {
            if let What::Commit { row, number } = event.what {
                rows.entry(row).or_default().push((event.from, number));
            }
        }
        for commits in rows.values_mut() {
            commits.sort_unstable();
            let mut highest = 0;
            for (_, number) in commits {
                highest = highest.max(*number);
                *number = highest;
            }
        }
        Self(rows)
    }

    /// The highest number of those that began before `till`.
    fn before(&self, row: Row, till: u64) -> u64 {
        let commits = self.0.get(&row).map(Vec::as_slice).unwrap_or_default();
        let began = commits.partition_point(|(from, _)| *from < till);
        commits[..began].last().map_or(0, |(_, number)| *number)
    }
}

/// One line for each event, in the order in which they ended.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut events = lock(&self.events).clone();
        events.sort_by_key(|event| event.till);
        for Event { from, till, what } in events {
            match what {
                What::Read { who, saw } => writeln!(f, "{from:>6} {till:>6}  {who} read {saw:?}")?,
                What::Commit { row, number } => writeln!(f, "{from:>6} {till:>6}  commit {number} of row {row}")?,
                What::Invalidated { row, number } => {
                    writeln!(f, "{from:>6} {till:>6}  commit {number} of row {row} is in force")?
                }
                What::Load { key } => writeln!(f, "{from:>6} {till:>6}  load of {key}")?,
                What::Note(text) => writeln!(f, "{from:>6} {till:>6}  {text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_value_after_an_invalidation_is_found() {
        let history = History::default();
        history.commit(history.tick(), 1, 1);
        let early = history.tick();
        history.invalidated(1, 1);
        history.read("early", early, vec![(1, 0)]);
        assert!(history.violations(false).is_empty(), "it began before the invalidation was confirmed");
        assert_eq!(history.violations(true).len(), 1, "and after the commit");
        history.read("late", history.tick(), vec![(1, 0)]);
        assert_eq!(history.violations(false).len(), 1);
    }

    #[test]
    fn a_value_that_was_never_committed_is_found() {
        let history = History::default();
        history.commit(history.tick(), 1, 1);
        history.read("one", history.tick(), vec![(1, 2)]);
        history.read("other", history.tick(), vec![(2, 1)]);
        assert_eq!(history.violations(false).len(), 2);
    }

    #[test]
    fn loads_that_overlap_are_counted() {
        let history = History::default();
        let (first, second) = (history.tick(), history.tick());
        history.load(first, "a");
        history.load(second, "a");
        history.load(history.tick(), "a");
        assert_eq!(history.loads()["a"], (2, 3));
    }
}
