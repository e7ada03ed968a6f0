//! One scenario, from its seed to its verdict.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::sim::Mutant;
use cache_runtime::sim::Server;

use crate::checks::Rules;
use crate::checks::Violation;
use crate::checks::judge;
use crate::database::Database;
use crate::fleet::Fleet;
use crate::fleet::Plan;
use crate::fleet::Writes;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::history::around;
use crate::nemesis::Nemesis;
use crate::nemesis::Severity;

/// What a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scenario {
    /// One process on the in-process store, rather than three on a Redis.
    pub(crate) in_process: bool,
    pub(crate) capacity: Option<usize>,
    pub(crate) writes: Writes,
    /// Reads are claimed to be linearizable.
    pub(crate) linearizable: bool,
    /// The store forgets, hangs up and falls silent.
    pub(crate) cruel: bool,
    /// The rule that is broken.
    pub(crate) mutant: Option<Mutant>,
}

/// The longest part of a run that is judged at once, so that a long run needs no more memory than a short one.
const LONGEST: u64 = 8;

/// How much longer than planned a run may take until enough was tried: a machine may be busy, and a worker that is killed leaves a mark that keeps others from storing.
const PATIENCE: u64 = 6;

/// Runs the scenario for so long, unless the environment says otherwise, and shows the first promise that it breaks.
pub(crate) fn holds(scenario: Scenario, seconds: u64) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let planned = number("HARNESS_SECONDS").unwrap_or(seconds);
    let mut seed = number("HARNESS_SEED").unwrap_or_else(rand::random);
    let (mut ran, mut tried) = (0, Tried::default());
    while ran < planned || (!tried.is_enough(planned) && ran < PATIENCE * planned) {
        let seconds = if ran < planned { (planned - ran).min(LONGEST) } else { planned.min(LONGEST) };
        let history = run(scenario, seed, Duration::from_secs(seconds));
        let violations = judge(&history, scenario.rules());
        if let Some(violation) = violations.first() {
            panic!("{}", told(scenario, seed, &history, violation, violations.len()));
        }
        tried.add(&history);
        ran += seconds;
        seed = seed.wrapping_add(1);
    }
    assert!(tried.is_enough(planned), "{scenario:?} tried too little in {ran} seconds: {tried:?}");
}

impl Scenario {
    pub(crate) fn rules(self) -> Rules {
        Rules { kind: !self.cruel, linearizable: self.linearizable, guard: self.guard() }
    }

    /// In a cruel world short enough to see what comes after its end; in a kind one it must outlive whatever a busy machine does.
    fn guard(self) -> Duration {
        Duration::from_millis(if self.cruel { 400 } else { 1500 })
    }

    fn plan(self, seed: u64, socket: PathBuf, server: Option<&Server>) -> Plan {
        Plan {
            seed,
            process: 0,
            socket,
            url: server.map_or_else(|| "memory:".to_owned(), Server::url),
            capacity: self.capacity,
            lease: if self.cruel { Duration::from_millis(400) } else { Duration::from_secs(2) },
            guard: self.guard(),
            op_timeout: Duration::from_millis(if self.cruel { 150 } else { 3000 }),
            writes: self.writes,
            broken: self.mutant.map(|mutant| format!("{mutant:?}")),
        }
    }
}

/// What happened in a run.
pub(crate) fn run(scenario: Scenario, seed: u64, length: Duration) -> Vec<Event> {
    let directory = Directory::new();
    let server = (!scenario.in_process).then(Server::start);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let socket = directory.0.join("database");
    let database = {
        let _on = runtime.enter();
        Database::listen(&socket, seed)
    };
    let plan = scenario.plan(seed, socket, server.as_ref());
    let mut fleet = Fleet::start(plan, if scenario.in_process { 1 } else { 3 });
    let last = Time::now().after(length);
    match &server {
        Some(server) => {
            let severity = if scenario.cruel { Severity::Cruel } else { Severity::Kind };
            Nemesis::new(severity, seed, &database, server, &mut fleet).rage(last);
        }
        None => std::thread::sleep(length),
    }
    database.stop();
    for stranded in fleet.end() {
        database.record(stranded);
    }
    events(&database)
}

fn events(database: &Arc<Database>) -> Vec<Event> {
    let mut events = database.events();
    events.sort_by_key(|event| event.from);
    events
}

/// What was done in a run. One in which nothing was done proves nothing.
#[derive(Debug, Default)]
struct Tried(BTreeMap<&'static str, u64>);

impl Tried {
    fn add(&mut self, history: &[Event]) {
        for event in history {
            let mut count = |name, by| *self.0.entry(name).or_default() += by;
            match &event.what {
                What::Tally { hits, joined, fills, applied, deferred } => {
                    count("hits", *hits);
                    count("joined", *joined);
                    count("fills", *fills);
                    count("applied", *applied);
                    count("deferred", *deferred);
                }
                What::Read { .. } => count("reads", 1),
                What::Dropped { .. } => count("dropped", 1),
                What::Load { .. } => count("calm loads", 1),
                What::Killed => count("killed", 1),
                What::Fault(_) => count("faults", 1),
                _ => {}
            }
        }
    }

    /// Whether that is worth a run of so many seconds.
    fn is_enough(&self, seconds: u64) -> bool {
        let least = |name: &str, least: u64| self.0.get(name).is_some_and(|count| *count >= least * seconds);
        ["hits", "joined", "fills", "applied"].iter().all(|name| least(name, 5)) && least("reads", 50)
    }
}

fn told(scenario: Scenario, seed: u64, history: &[Event], violation: &Violation, of: usize) -> String {
    let Violation { promise, at, row, what } = violation;
    let around = around(history, *at, *row);
    format!(
        "HARNESS_SEED={seed} of {scenario:?}: {promise} is broken, the first of {of} times.\n{what}\n\nAround it:\n{around}"
    )
}

/// A directory of this run's own, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("harness-{}-{:x}", std::process::id(), rand::random::<u64>()));
        fs::create_dir(&path).expect("a directory for a socket");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
