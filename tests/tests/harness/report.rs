//! What a long run was put through, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checks::healed;
use crate::history::Event;
use crate::history::What;

/// The sum of several runs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    seconds: u64,
    violations: usize,
    counts: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    /// The longest read, by how many cached functions it goes through.
    longest: BTreeMap<u64, Duration>,
    convergence: Duration,
    /// How long two servers may have taken themselves for one master.
    divided: Duration,
    most_loads: u64,
    memory: Vec<Memory>,
}

/// The memory of one process that lived long enough to tell, in KiB: at the middle of its first third, and of its last.
#[derive(Clone, Copy, Debug)]
struct Memory {
    early: u64,
    late: u64,
}

impl Report {
    pub(crate) fn violations(&self) -> usize {
        self.violations
    }

    pub(crate) fn add(&mut self, seconds: u64, history: &[Event], violations: usize) {
        self.seconds += seconds;
        self.violations += violations;
        let healed = healed(history);
        let mut memory = BTreeMap::<u32, Vec<u64>>::new();
        for event in history {
            match &event.what {
                What::Read { depth, .. } => {
                    self.count("reads", 1);
                    let longest = self.longest.entry(*depth).or_default();
                    *longest = event.length().max(*longest);
                }
                What::Returned { .. } => self.count("mutations that returned", 1),
                What::Dropped { .. } => self.count("mutations dropped half-way", 1),
                What::Commit { .. } => self.count("commits", 1),
                What::Failed { .. } => self.count("reads of the database that failed", 1),
                What::Killed => self.fault("a worker is killed"),
                What::Fault(what) => self.fault(what),
                What::Divided => self.divided += event.length(),
                What::Memory { kib } => memory.entry(event.process).or_default().push(*kib),
                What::Rested => {
                    let late = healed.map_or(Duration::ZERO, |healed| event.till.since(healed));
                    self.convergence = late.max(self.convergence);
                }
                What::Tally { hits, joined, stale, fills, applied, deferred, overloaded, most_loads } => {
                    let counts = [("hits", hits), ("joined a load", joined), ("served past their time", stale)];
                    counts.into_iter().for_each(|(name, count)| self.count(name, *count));
                    let counts = [("entries stored", fills), ("invalidations applied", applied)];
                    counts.into_iter().for_each(|(name, count)| self.count(name, *count));
                    self.count("invalidations deferred", *deferred);
                    self.count("loads that found no place in time", *overloaded);
                    self.most_loads = self.most_loads.max(*most_loads);
                }
                _ => {}
            }
        }
        self.memory
            .extend(memory.values().filter(|samples| samples.len() >= LONG_ENOUGH).map(|samples| Memory::of(samples)));
    }

    fn count(&mut self, name: &'static str, by: u64) {
        *self.counts.entry(name).or_default() += by;
    }

    /// Counts a fault by its kind, which is what stands before names and numbers.
    fn fault(&mut self, what: &str) {
        let kind = what.split([':', '(']).next().unwrap_or(what).trim_end();
        if NO_HARM.contains(&kind) {
            return;
        }
        *self.faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// Whether the memory of most processes grew by more than a tenth.
    fn grows(&self) -> bool {
        let grown = self.memory.iter().filter(|memory| memory.late * 10 > memory.early * 11).count();
        2 * grown > self.memory.len()
    }
}

impl Memory {
    fn of(samples: &[u64]) -> Self {
        let middle = |third: &[u64]| {
            let mut third = third.to_vec();
            third.sort_unstable();
            third[third.len() / 2]
        };
        let third = samples.len() / 3;
        Self { early: middle(&samples[..third]), late: middle(&samples[samples.len() - third..]) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} seconds, {} violations", self.seconds, self.violations)?;
        writeln!(f, "{} faults", self.faults.values().sum::<u64>())?;
        self.faults.iter().try_for_each(|(kind, count)| writeln!(f, "    {count:>8}  {kind}"))?;
        writeln!(f, "operations (what caches count is of the workers that were not killed)")?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "    {count:>8}  {name}"))?;
        for (depth, longest) in &self.longest {
            writeln!(f, "longest read through {depth}: {} ms", longest.as_millis())?;
        }
        writeln!(f, "longest until all was delivered after the last fault: {} ms", self.convergence.as_millis())?;
        writeln!(f, "two masters in one place: {} ms", self.divided.as_millis())?;
        writeln!(f, "most loads at one time in a process: {}", self.most_loads)?;
        let of_each: Vec<_> = self.memory.iter().map(|Memory { early, late }| format!("{early} -> {late}")).collect();
        let verdict = if self.grows() { "grows" } else { "does not grow" };
        write!(f, "memory {verdict} (KiB of each long-lived worker, early -> late: {})", of_each.join(", "))
    }
}

/// What ends a fault, or makes one possible.
const NO_HARM: [&str; 3] = ["both ways are well", "the server has memory again", "the server may evict"];
/// Seconds that a process has to live for its memory to tell anything.
const LONG_ENOUGH: usize = 20;
