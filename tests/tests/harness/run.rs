//! One scenario, from its seed to its verdict.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::sim::Memcached;
use cache_runtime::sim::Mutant;
use cache_runtime::sim::SentinelSet;
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
use crate::proxy::Proxy;
use crate::report::Report;
use crate::siege::Siege;

/// What a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scenario {
    /// One process on the in-process store, rather than three on a Redis.
    pub(crate) in_process: bool,
    /// Three processes on so many servers of Memcached, if on any.
    pub(crate) memcached: usize,
    pub(crate) capacity: Option<usize>,
    pub(crate) writes: Writes,
    /// Reads are claimed to be linearizable.
    pub(crate) linearizable: bool,
    /// The store forgets, hangs up and falls silent.
    pub(crate) cruel: bool,
    /// Each process has a network of its own, which goes wrong by itself.
    pub(crate) networks: bool,
    /// The Redis is a master behind sentinels, and is replaced now and then.
    pub(crate) sentinels: bool,
    /// The rule that is broken.
    pub(crate) mutant: Option<Mutant>,
}

/// The longest part of a run that is judged at once, so that a long run needs no more memory than a short one.
const LONGEST: u64 = 8;

/// How much longer than planned a run may take until enough was tried: a machine may be busy, and a worker that is killed leaves a mark that keeps others from storing.
const PATIENCE: u64 = 6;

const WORKERS: usize = 3;

/// What a machine that does other things may add to a wait.
const BUSY: Duration = Duration::from_secs(2);

/// Runs the scenario for so long, unless the environment says otherwise, and shows the first promise that it breaks.
pub(crate) fn holds(scenario: Scenario, seconds: u64) {
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

    fn plan(self, seed: u64, socket: PathBuf) -> Plan {
        Plan {
            seed,
            process: 0,
            socket,
            url: String::new(),
            capacity: self.capacity,
            lease: if self.cruel { Duration::from_millis(400) } else { Duration::from_secs(2) },
            guard: self.guard(),
            op_timeout: Duration::from_millis(if self.cruel { 150 } else { 3000 }),
            // Few enough for them to matter.
            max_loads: 3,
            writes: self.writes,
            broken: self.mutant.map(|mutant| format!("{mutant:?}")),
        }
    }
}

/// What happened in a run.
pub(crate) fn run(scenario: Scenario, seed: u64, length: Duration) -> Vec<Event> {
    let directory = Directory::new();
    let set = scenario.sentinels.then(SentinelSet::start);
    let server = (!scenario.in_process && !scenario.sentinels && scenario.memcached == 0).then(Server::start);
    let servers: Vec<Memcached> = (0..scenario.memcached).map(|_| Memcached::start()).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let socket = directory.0.join("database");
    let database = {
        let _on = runtime.enter();
        Database::listen(&socket, seed)
    };
    let networks: Vec<Proxy> = match &server {
        Some(server) if scenario.networks => {
            (0..WORKERS).map(|_| runtime.block_on(Proxy::before(&server.url()))).collect()
        }
        _ => Vec::new(),
    };
    let ways: Vec<Proxy> = servers.iter().map(|server| runtime.block_on(Proxy::before(&server.url()))).collect();
    let urls = match (&server, &set) {
        (None, Some(set)) => vec![set.url(); WORKERS],
        (None, None) if scenario.memcached > 0 => vec![Proxy::memcached_url(&ways); WORKERS],
        (None, None) => vec!["memory:".to_owned()],
        (Some(_), _) if scenario.networks => networks.iter().map(Proxy::url).collect(),
        (Some(server), _) => vec![server.url(); WORKERS],
    };
    let mut fleet = Fleet::start(scenario.plan(seed, socket), urls);
    let last = Time::now().after(length);
    let severity = if scenario.cruel { Severity::Cruel } else { Severity::Kind };
    match (&server, &set) {
        (None, None) if scenario.memcached > 0 => {
            let (database, servers, ways, fleet) = (&*database, &servers[..], &ways[..], &mut fleet);
            Siege { severity, database, servers, ways, fleet }.rage(seed, last);
        }
        (Some(server), _) => {
            Nemesis::new(severity, seed, &database, server, &mut fleet, (&networks, &runtime)).rage(last);
        }
        (None, Some(set)) => {
            let master = &set.servers()[set.master()];
            let nemesis = Nemesis::new(severity, seed, &database, master, &mut fleet, (&networks, &runtime));
            nemesis.also_of(set).rage(last);
        }
        (None, None) => std::thread::sleep(length),
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
