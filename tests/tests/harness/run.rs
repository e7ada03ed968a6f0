//! One scenario, from its seed to its verdict.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::sim::Mutant;

use crate::changes::Change;
use crate::changes::Deck;
use crate::checks::Rules;
use crate::checks::Violation;
use crate::checks::judge;
use crate::database::Database;
use crate::fleet::Fleet;
use crate::fleet::Plan;
use crate::fleet::Writes;
use crate::hand::Hand;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::history::around;
use crate::nemesis::Nemesis;
use crate::nemesis::Severity;
use crate::report::Report;
use crate::servers::Servers;
use crate::servers::Started;
use crate::shards::Shards;
use crate::siege::Siege;
use crate::succession::Succession;

/// What a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) store: Store,
    pub(crate) capacity: Option<usize>,
    pub(crate) writes: Writes,
    /// Reads are claimed to be linearizable.
    pub(crate) linearizable: bool,
    /// The store forgets, hangs up and falls silent.
    pub(crate) cruel: bool,
    /// Each process has a network of its own, which goes wrong by itself, on one Redis; on Memcached each server has one.
    pub(crate) networks: bool,
    /// Only rows are read and written whose loads outlast what goes wrong, and on Memcached that is that each server in its turn comes back empty.
    pub(crate) slow: bool,
    /// Nothing goes wrong but that servers, masters and slots change in these ways.
    pub(crate) changes: Option<&'static [Change]>,
    /// A master that has taken another's place is trusted with what it holds.
    pub(crate) warm: bool,
    /// The rule that is broken.
    pub(crate) mutant: Option<Mutant>,
}

/// What the processes share: one of them works on the memory of its own, and three on each of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Store {
    InProcess,
    #[default]
    Redis,
    /// The same, which speaks TLS alone, and lets the workers do no more than they need.
    Rediss,
    /// A Redis that is the master behind sentinels, and is replaced now and then.
    Sentinels,
    Cluster,
    /// So many servers.
    Memcached(usize),
    /// The same, which encrypt.
    Memcacheds(usize),
}

impl Store {
    pub(crate) fn encrypts(self) -> bool {
        matches!(self, Self::Rediss | Self::Memcacheds(_))
    }
}

/// The longest part of a run that is judged at once, so that a long run needs no more memory than a short one: where masters change, some of that takes longer.
const LONGEST: u64 = 8;
const LONGEST_OF_CHANGES: u64 = 60;

/// How much longer than planned a run may take until enough was tried: a machine may be busy, and a worker that is killed leaves a mark that keeps others from storing.
const PATIENCE: u64 = 6;

/// What a machine that does other things may add to a wait.
const BUSY: Duration = Duration::from_secs(2);

/// Runs the scenario for so long, unless the environment says otherwise, and shows the first promise that it breaks.
pub(crate) fn holds(scenario: Scenario, seconds: u64) {
    let planned = number("HARNESS_SECONDS").unwrap_or(seconds);
    let mut seed = number("HARNESS_SEED").unwrap_or_else(rand::random);
    let (mut ran, mut tried) = (0, Tried::default());
    while ran < planned || (!tried.is_enough(scenario, planned) && ran < PATIENCE * planned) {
        let seconds = if ran < planned { planned - ran } else { planned }.min(scenario.longest());
        let history = run(scenario, seed, Duration::from_secs(seconds));
        let violations = judge(&history, scenario.rules());
        if let Some(violation) = violations.first() {
            panic!("{}", told(scenario, seed, &history, violation, violations.len()));
        }
        tried.add(&history);
        ran += seconds;
        seed = seed.wrapping_add(1);
    }
    assert!(tried.is_enough(scenario, planned), "{scenario:?} tried too little in {ran} seconds: {tried:?}");
}

/// Runs the scenario for as long as the environment says, and reports what it was put through and what came of it.
#[expect(clippy::print_stdout, reason = "somebody waits for it")]
pub(crate) fn soaks(scenario: Scenario) {
    let planned = number("HARNESS_SECONDS").unwrap_or(60);
    let mut seed = number("HARNESS_SEED").unwrap_or_else(rand::random);
    println!("HARNESS_SEED={seed} HARNESS_SECONDS={planned}");
    let (mut ran, mut report) = (0, Report::default());
    while ran < planned {
        let seconds = (planned - ran).min(SEGMENT);
        let history = run(scenario, seed, Duration::from_secs(seconds));
        let violations = judge(&history, scenario.rules());
        if let Some(violation) = violations.first() {
            println!("{}", told(scenario, seed, &history, violation, violations.len()));
        }
        ran += seconds;
        report.add(seconds, &history, violations.len());
        println!("\n{report}");
        seed = seed.wrapping_add(1);
    }
    assert_eq!(report.violations(), 0, "promises were broken; see above");
}

/// The longest part of a soak that is judged at once. Its first worker lives as long, and shows what becomes of its memory.
const SEGMENT: u64 = 600;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

impl Scenario {
    pub(crate) fn rules(self) -> Rules {
        let plan = self.plan(0, PathBuf::new());
        // The lease of one who is gone; and before, between and after, what a store that does not answer costs.
        let bound = plan.max_wait() + 8 * plan.op_timeout.min(Duration::from_millis(300)) + BUSY;
        Rules {
            kind: !self.cruel,
            linearizable: self.linearizable,
            guard: self.guard(),
            bound,
            max_loads: plan.max_loads as u64,
        }
    }

    /// In a cruel world short enough to see what comes after its end; in a kind one it must outlive whatever a busy machine does.
    fn guard(self) -> Duration {
        Duration::from_millis(if self.cruel { 400 } else { 1500 })
    }

    /// In a cruel world short enough to see what comes after its end; and longer than slow loads, as if they had been renewed.
    fn lease(self) -> Duration {
        Duration::from_millis(match (self.slow, self.cruel) {
            (true, _) => 5000,
            (false, true) => 400,
            (false, false) => 2000,
        })
    }

    fn longest(self) -> u64 {
        if matches!(self.store, Store::Sentinels | Store::Cluster) { LONGEST_OF_CHANGES } else { LONGEST }
    }

    fn plan(self, seed: u64, socket: PathBuf) -> Plan {
        Plan {
            seed,
            process: 0,
            socket,
            url: String::new(),
            capacity: self.capacity,
            lease: self.lease(),
            guard: self.guard(),
            op_timeout: Duration::from_millis(if self.cruel { 150 } else { 3000 }),
            // Few enough for them to matter, or so many that no load waits for another.
            max_loads: if self.slow { 64 } else { 3 },
            writes: self.writes,
            slow: self.slow,
            broken: self.mutant.map(|mutant| format!("{mutant:?}")),
        }
    }
}

/// What happened in a run.
pub(crate) fn run(scenario: Scenario, seed: u64, length: Duration) -> Vec<Event> {
    let directory = Directory::new();
    let servers = Servers::start(scenario.store);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let socket = directory.0.join("database");
    let database = {
        let _on = runtime.enter();
        Database::listen(&socket, seed)
    };
    let ways = servers.ways(scenario, &runtime);
    let mut fleet = Fleet::start(scenario.plan(seed, socket), servers.urls(scenario, &ways));
    let last = Time::now().after(length);
    let severity = if scenario.cruel { Severity::Cruel } else { Severity::Kind };
    let (hand, fleet_of) = (Hand::new(&database, seed), &mut fleet);
    let deck = |all: &'static [Change]| Deck::of(all, scenario.changes);
    match &servers.started {
        Started::None => std::thread::sleep(length),
        Started::Redis(server) => {
            let (deck, repeats) = (deck(&Change::OF_ONE), !scenario.store.encrypts());
            Nemesis { severity, hand, server, fleet: fleet_of, deck, networks: &ways, repeats, runtime: &runtime }
                .rage(last);
        }
        Started::Sentinels(set) => {
            Succession { hand, set, fleet: fleet_of, deck: deck(&Change::OF_SENTINELS) }.rage(last);
        }
        Started::Cluster(cluster) => {
            let deck = deck(&Change::OF_CLUSTER);
            Shards { severity, hand, cluster, fleet: fleet_of, deck }.rage(last);
        }
        Started::Memcached(servers) => {
            let networks = scenario.networks.then_some(&runtime);
            let (database, in_turn) = (&*database, scenario.slow);
            Siege { severity, database, servers, in_turn, ways: &ways, networks, fleet: fleet_of }.rage(seed, last);
        }
    }
    database.stop();
    for stranded in fleet.end() {
        database.record(stranded);
    }
    servers.have_refused_nobody();
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
                What::Tally { hits, joined, stale, fills, applied, deferred, .. } => {
                    count("hits", *hits);
                    count("joined", *joined);
                    count("stale", *stale);
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
    fn is_enough(&self, scenario: Scenario, seconds: u64) -> bool {
        let least = |name: &str, least: u64| self.0.get(name).is_some_and(|count| *count >= least * seconds);
        // A load that outlasts its server has lost the right to store.
        let [stored, applied] = if scenario.slow { [0, 2] } else { [5, 5] };
        least("hits", stored)
            && least("fills", stored)
            && least("joined", 5)
            && least("applied", applied)
            && least("reads", 50)
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
