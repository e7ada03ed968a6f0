//! What goes wrong meanwhile.

use std::time::Duration;

use cache_runtime::sim::SentinelSet;
use cache_runtime::sim::Server;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;

use crate::database::Database;
use crate::fleet::Fleet;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::proxy::Fault;
use crate::proxy::Proxy;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Workers are killed, and the server forgets its scripts. It loses nothing, and answers.
    Kind,
    /// All of that, and the server forgets, evicts, hangs up, falls silent and comes back empty; workers are stopped for longer than their leases live.
    Cruel,
}

/// Harms the fleet and its server.
pub(crate) struct Nemesis<'a> {
    severity: Severity,
    database: &'a Database,
    server: &'a Server,
    /// Who replaces the server, if anybody does.
    sentinels: Option<&'a SentinelSet>,
    fleet: &'a mut Fleet,
    /// The network of the worker at each place, if each has its own.
    networks: &'a [Proxy],
    /// What the networks live on.
    runtime: &'a Runtime,
    chance: StdRng,
    eviction: &'static str,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(
        severity: Severity,
        seed: u64,
        database: &'a Database,
        server: &'a Server,
        fleet: &'a mut Fleet,
        (networks, runtime): (&'a [Proxy], &'a Runtime),
    ) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0xbad);
        let eviction = EVICTIONS[chance.random_range(0..EVICTIONS.len())];
        Self { severity, database, server, sentinels: None, fleet, networks, runtime, chance, eviction }
    }

    /// The server is the master of these.
    pub(crate) fn also_of(mut self, sentinels: &'a SentinelSet) -> Self {
        self.sentinels = Some(sentinels);
        self
    }

    /// Goes on until `last`, and leaves a server behind that runs. Blocks.
    pub(crate) fn rage(mut self, last: Time) {
        if self.severity == Severity::Cruel {
            self.limit_memory();
        }
        if let Some(sentinels) = self.sentinels {
            // Once in any case, while there is something to lose.
            std::thread::sleep(Duration::from_millis(500));
            self.replace(sentinels);
        }
        while Time::now() < last {
            std::thread::sleep(Duration::from_millis(self.chance.random_range(10..100)));
            self.harm();
        }
        self.ask("has memory again", &["CONFIG", "SET", "maxmemory", "0"]);
        if let Some(sentinels) = self.sentinels {
            sentinels.until_whole();
        }
        for network in self.networks {
            self.runtime.block_on(network.heal());
        }
        self.database.record(Event::since(Time::now(), 0, What::Healed));
    }

    fn harm(&mut self) {
        if !self.networks.is_empty() && self.chance.random_range(0..3) == 0 {
            return self.harm_network();
        }
        if let Some(sentinels) = self.sentinels.filter(|_| self.chance.random_range(0..60) == 0) {
            return self.replace(sentinels);
        }
        let harms = if self.severity == Severity::Cruel { 26 } else { 16 };
        let place = self.chance.random_range(0..8);
        match self.chance.random_range(0..harms) {
            0 => {
                // With networks the first one lives on, so that it can be seen what becomes of it.
                let place = if self.networks.is_empty() { place } else { 1 + place % 2 };
                let killed = self.fleet.replace(place);
                self.database.record(killed);
            }
            1..4 => self.ask("forgets its scripts", &["SCRIPT", "FLUSH"]),
            _ if self.severity == Severity::Kind => {}
            4..6 => self.ask("forgets everything", &["FLUSHALL"]),
            6..9 => self.ask("hangs up", &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
            9..15 => self.forget_something(),
            15..21 => self.fill_up(),
            // Sentinels would replace a server that is silent or restarted by themselves, now or later.
            21..24 if self.sentinels.is_some() => {}
            21..23 => self.silence(),
            23 => self.restart(),
            _ => {
                // Longer than a lease and a mark live.
                let paused = self.fleet.pause(place, Duration::from_millis(700));
                self.database.record(paused);
            }
        }
    }

    /// Something else goes wrong on the way of one of the workers from here on, or nothing any more.
    fn harm_network(&mut self) {
        let place = self.chance.random_range(0..self.networks.len());
        let network = &self.networks[place];
        let millis = |chance: &mut StdRng, most| Duration::from_millis(chance.random_range(0..most));
        let fault = match self.chance.random_range(0..12) {
            0 => Fault::Blackhole,
            1 => Fault::ResetAfter(self.chance.random_range(1..10_000)),
            2 => Fault::Throttle(self.chance.random_range(1_000..100_000)),
            3 => Fault::Duplicate(millis(&mut self.chance, 500)),
            4 | 5 => Fault::Delay(millis(&mut self.chance, 120)),
            _ => Fault::None,
        };
        let way = self.chance.random_range(0..3);
        let from = Time::now();
        let what = match (way, fault) {
            (_, Fault::None) => {
                self.runtime.block_on(network.heal());
                "both ways are well".to_owned()
            }
            (0, Fault::Blackhole) => {
                self.runtime.block_on(network.refuse());
                network.cut();
                "connections are refused".to_owned()
            }
            (0, fault) | (_, fault @ Fault::Duplicate(_)) => {
                network.to_server(fault);
                format!("the way there has {fault:?}")
            }
            (1, fault) => {
                network.to_client(fault);
                format!("the way back has {fault:?}")
            }
            (_, fault) => {
                network.both(fault);
                format!("both ways have {fault:?}")
            }
        };
        self.database.record(Event::since(from, 0, What::Fault(format!("{what} (of worker {place})"))));
    }

    /// Loses some of what matters most.
    fn forget_something(&mut self) {
        let row = self.chance.random_range(0..4);
        let name = match self.chance.random_range(0..6) {
            0 => "cache:t:{rows}".to_owned(),
            1 => format!("cache:t:{{row:{row}}}"),
            2 => format!("cache:l:{{row:{row}}}"),
            3 => format!("cache:k:{{row:{row}}}"),
            4 => format!("cache:k:{{pair:{row}:{}}}", (row + 1) % 4),
            _ => format!("cache:e:{{row:{row}}}"),
        };
        self.ask(&format!("loses an entry, a lease or a token: {name}"), &["DEL", &name]);
    }

    /// Writes so much that the server evicts what it likes, or refuses to take more.
    fn fill_up(&mut self) {
        let from = Time::now();
        for _ in 0..12 {
            let name = format!("filling:{}", self.chance.random_range(0..1000));
            // A full server refuses it, which is as good.
            let _ = self.server.command(&["SET", &name, &"x".repeat(300_000), "PX", "150"]);
        }
        self.note(from, &format!("is filled up ({})", self.eviction));
    }

    fn limit_memory(&mut self) {
        let info = self.server.command(&["INFO", "memory"]).unwrap_or_default();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok());
        let most = (used.unwrap_or(1_000_000) + 2_000_000).to_string();
        self.ask("may evict", &["CONFIG", "SET", "maxmemory", &most, "maxmemory-policy", self.eviction]);
    }

    fn silence(&mut self) {
        let from = Time::now();
        self.server.stop();
        std::thread::sleep(Duration::from_millis(self.chance.random_range(100..600)));
        self.server.cont();
        self.note(from, "was silent");
    }

    fn restart(&mut self) {
        let from = Time::now();
        self.server.restart();
        self.note(from, "was killed and is back, empty");
        self.limit_memory();
    }

    /// The master crashes, and a replica takes its place, which may not have heard of everything.
    fn replace(&mut self, sentinels: &'a SentinelSet) {
        // Without a replica nobody could take its place.
        sentinels.until_whole();
        let from = Time::now();
        let before = sentinels.kill_master();
        let after = sentinels.master_after(before);
        sentinels.servers()[before].restart();
        self.server = &sentinels.servers()[after];
        self.note(from, "was killed, and another is the master");
    }

    fn ask(&self, what: &str, words: &[&str]) {
        let from = Time::now();
        // A server that does not take it is in trouble already.
        let _ = self.server.command(words);
        self.note(from, what);
    }

    fn note(&self, from: Time, what: &str) {
        self.database.record(Event::since(from, 0, What::Fault(format!("the server {what}"))));
    }
}

/// What a full server does: it evicts at random, or what was not used lately, or it takes no more.
const EVICTIONS: [&str; 4] = ["allkeys-random", "allkeys-lru", "allkeys-random", "noeviction"];
