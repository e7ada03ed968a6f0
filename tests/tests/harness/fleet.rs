//! The processes of a run: this test program, started again as its workers.

use std::env;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::sim::Mutant;
use rustix::process::Pid;
use rustix::process::Signal;
use serde::Deserialize;
use serde::Serialize;

use crate::history::Event;
use crate::history::Time;
use crate::history::What;

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Its number, which no other worker of the run has had.
    pub(crate) process: u32,
    /// Where the database listens.
    pub(crate) socket: PathBuf,
    /// The store.
    pub(crate) url: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) lease: Duration,
    pub(crate) guard: Duration,
    pub(crate) op_timeout: Duration,
    /// How many loads may run at once.
    pub(crate) max_loads: usize,
    pub(crate) writes: Writes,
    /// Only rows are read and written whose reads take long.
    pub(crate) slow: bool,
    /// The name of the rule to break.
    pub(crate) broken: Option<String>,
}

/// How the rows that are hot are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Writes {
    #[default]
    InAnyWay,
    Linearizably,
    ByTag,
}

impl Plan {
    /// Who waits for a worker that is killed outwaits its lease, and has no reason to load beside the next.
    pub(crate) fn max_wait(&self) -> Duration {
        self.lease + Duration::from_millis(700)
    }

    /// The rule that the worker breaks.
    pub(crate) fn mutant(&self) -> Option<Mutant> {
        let name = self.broken.as_deref()?;
        let known = MUTANTS.into_iter().find(|mutant| format!("{mutant:?}") == name);
        Some(known.unwrap_or_else(|| panic!("no rule is called {name}")))
    }
}

const MUTANTS: [Mutant; 9] = [
    Mutant::TokensCapturedAfterTheLoad,
    Mutant::FlightJoinedByKeyAlone,
    Mutant::InnerDependenciesIgnored,
    Mutant::EntryOfAnotherTypeServed,
    Mutant::LeaseOfOthersTaken,
    Mutant::InvalidatedServedPastItsTime,
    Mutant::LoadsWithoutAPlace,
    Mutant::ServersEjected,
    Mutant::NumbersAlone,
];

/// The workers of a run. Those that are left are killed when this is dropped.
pub(crate) struct Fleet {
    plan: Plan,
    /// Where the store is for the worker at each place.
    urls: Vec<String>,
    workers: Vec<Worker>,
    started: u32,
}

struct Worker {
    process: u32,
    child: Child,
}

impl Fleet {
    /// Starts a worker for each of `urls`.
    pub(crate) fn start(plan: Plan, urls: Vec<String>) -> Self {
        let mut fleet = Self { plan, urls, workers: Vec::new(), started: 0 };
        for place in 0..fleet.urls.len() {
            let worker = fleet.worker(place);
            fleet.workers.push(worker);
        }
        fleet
    }

    fn worker(&mut self, place: usize) -> Worker {
        self.started += 1;
        let plan = Plan { process: self.started, url: self.urls[place].clone(), ..self.plan.clone() };
        let mut process = Command::new(env::current_exe().expect("this program"));
        process.args(["worker", "--exact", "--nocapture", "--ignored"]);
        process.env(PLAN, serde_json::to_string(&plan).expect("a plan"));
        let child = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        Worker { process: self.started, child: child.expect("this program starts") }
    }

    /// Kills the worker at this place, and starts another in its stead.
    pub(crate) fn replace(&mut self, place: u64) -> Event {
        let place = place as usize % self.workers.len();
        let next = self.worker(place);
        let mut worker = std::mem::replace(&mut self.workers[place], next);
        let from = Time::now();
        worker.child.kill().expect("a worker to kill");
        worker.child.wait().expect("a worker that was killed");
        Event::since(from, worker.process, What::Killed)
    }

    /// Stops the worker at this place for a while, as a long pause of the machine would.
    pub(crate) fn pause(&self, place: u64, pause: Duration) -> Event {
        let worker = &self.workers[place as usize % self.workers.len()];
        let from = Time::now();
        let id = Pid::from_child(&worker.child);
        rustix::process::kill_process(id, Signal::STOP).expect("a worker to stop");
        std::thread::sleep(pause);
        rustix::process::kill_process(id, Signal::CONT).expect("a worker to go on");
        Event::since(from, worker.process, What::Fault("stopped and went on".to_owned()))
    }

    /// Waits until all have ended; each that did not, or not well, has been stranded.
    pub(crate) fn end(mut self) -> Vec<Event> {
        let from = Time::now();
        let last = Instant::now() + PATIENCE;
        let mut stranded = Vec::new();
        for worker in &mut self.workers {
            let status = loop {
                match worker.child.try_wait().expect("a worker to wait for") {
                    None if Instant::now() < last => std::thread::sleep(Duration::from_millis(5)),
                    status => break status,
                }
            };
            if !status.is_some_and(|status| status.success()) {
                let call = format!("the whole worker, which ended with {status:?}");
                stranded.push(Event::since(from, worker.process, What::Stranded { call }));
            }
        }
        stranded
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Most have ended by themselves.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

/// The variable that a worker's plan is in.
pub(crate) const PLAN: &str = "HARNESS_PLAN";
/// The longest call of any, and some more to come to rest.
const PATIENCE: Duration = Duration::from_secs(40);
