//! What is done to a Redis, and written down.

use std::time::Duration;

use cache_runtime::sim::Server;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::database::Database;
use crate::fleet::Fleet;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::nemesis::PAUSE;
use crate::nemesis::Severity;

/// Who does it, by chance.
pub(crate) struct Hand<'a> {
    pub(crate) chance: StdRng,
    database: &'a Database,
    eviction: &'static str,
}

impl<'a> Hand<'a> {
    pub(crate) fn new(database: &'a Database, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0xbad);
        let eviction = EVICTIONS[chance.random_range(0..EVICTIONS.len())];
        Self { chance, database, eviction }
    }

    /// Does not more than a moment's harm: the server loses its scripts, some or all of what it holds, its connections or its memory, or is silent.
    pub(crate) fn harm(&mut self, server: &Server, name: &str) {
        match self.chance.random_range(0..20) {
            0..3 => self.ask(server, "forgets its scripts", &["SCRIPT", "FLUSH"]),
            3..5 => self.ask(server, "forgets everything", &["FLUSHALL"]),
            5..8 => self.ask(server, "hangs up", &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
            8..13 => self.forget(server, name),
            13..18 => self.fill_up(server, name),
            _ => self.silence(server),
        }
    }

    /// One of the names that matter most, as it stands between braces.
    pub(crate) fn name(&mut self) -> String {
        let row = self.chance.random_range(0..4);
        match self.chance.random_range(0..6) {
            0 => "rows".to_owned(),
            1 => format!("pair:{row}:{}", (row + 1) % 4),
            _ => format!("row:{row}"),
        }
    }

    /// Loses the entry, the lease or a token of a name.
    pub(crate) fn forget(&mut self, server: &Server, name: &str) {
        let what = ["t", "t", "l", "k", "k", "e"][self.chance.random_range(0..6)];
        let name = format!("cache:{what}:{{{name}}}");
        self.ask(server, &format!("loses an entry, a lease or a token: {name}"), &["DEL", &name]);
    }

    /// Writes so much, beside a name, that the server evicts what it likes, or refuses to take more.
    pub(crate) fn fill_up(&mut self, server: &Server, name: &str) {
        let from = Time::now();
        for _ in 0..12 {
            let name = format!("{{{name}}}:filling:{}", self.chance.random_range(0..1000));
            // A full server refuses it, which is as good.
            let _ = server.command(&["SET", &name, &"x".repeat(300_000), "PX", "150"]);
        }
        self.note(from, &format!("the server is filled up ({})", self.eviction));
    }

    pub(crate) fn limit_memory(&self, server: &Server) {
        let info = server.command(&["INFO", "memory"]).unwrap_or_default();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok());
        let most = (used.unwrap_or(1_000_000) + 2_000_000).to_string();
        self.ask(server, "may evict", &["CONFIG", "SET", "maxmemory", &most, "maxmemory-policy", self.eviction]);
    }

    pub(crate) fn give_memory(&self, server: &Server) {
        self.ask(server, "has memory again", &["CONFIG", "SET", "maxmemory", "0"]);
    }

    pub(crate) fn silence(&mut self, server: &Server) {
        let from = Time::now();
        server.stop();
        self.pause(100..600);
        server.cont();
        self.note(from, "the server was silent");
    }

    pub(crate) fn restart(&self, server: &Server) {
        let from = Time::now();
        server.restart();
        self.note(from, "the server was killed and is back, empty");
        self.limit_memory(server);
    }

    /// With what it held a moment ago, as if the last of it had not been saved.
    pub(crate) fn restart_from_before(&mut self, server: &Server) {
        let snapshot = server.snapshot();
        self.pause(100..600);
        let from = Time::now();
        server.restart_from(&snapshot);
        self.note(from, "the server was killed and is back, with old data");
        self.limit_memory(server);
    }

    /// A worker is killed, or in a cruel world perhaps stopped for a while.
    pub(crate) fn harm_a_worker(&mut self, severity: Severity, fleet: &mut Fleet) {
        let place = self.chance.random_range(0..8);
        let harmed = match severity {
            Severity::Cruel if self.chance.random() => fleet.pause(place, PAUSE),
            _ => fleet.replace(place),
        };
        self.record(harmed);
    }

    /// For so many milliseconds.
    pub(crate) fn pause(&mut self, millis: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.chance.random_range(millis)));
    }

    pub(crate) fn ask(&self, server: &Server, what: &str, words: &[&str]) {
        let from = Time::now();
        // A server that does not take it is in trouble already.
        let _ = server.command(words);
        self.note(from, &format!("the server {what}"));
    }

    pub(crate) fn note(&self, from: Time, what: &str) {
        self.record(Event::since(from, 0, What::Fault(what.to_owned())));
    }

    pub(crate) fn record(&self, event: Event) {
        self.database.record(event);
    }
}

/// What a full server does: it evicts at random, or what was not used lately, or it takes no more.
const EVICTIONS: [&str; 4] = ["allkeys-random", "allkeys-lru", "allkeys-random", "noeviction"];
