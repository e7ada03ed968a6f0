//! What goes wrong with servers of Memcached meanwhile.

use std::time::Duration;

use cache_runtime::sim::Memcached;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;

use crate::database::Database;
use crate::fleet::Fleet;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::nemesis::PAUSE;
use crate::nemesis::Severity;
use crate::network;
use crate::proxy::Proxy;

/// Harms the fleet and its servers. In a kind world workers are killed, and the servers lose nothing and answer. In a cruel one each server forgets, evicts, falls silent, hangs up, is killed and comes back empty, at
/// once or later; and workers are stopped for longer than their leases live.
pub(crate) struct Siege<'a> {
    pub(crate) severity: Severity,
    pub(crate) database: &'a Database,
    pub(crate) servers: &'a [Memcached],
    /// Nothing goes wrong but that each server in its turn is killed, and comes back empty.
    pub(crate) in_turn: bool,
    /// The way to each server.
    pub(crate) ways: &'a [Proxy],
    /// What those ways live on, if something goes wrong on them, too.
    pub(crate) networks: Option<&'a Runtime>,
    pub(crate) fleet: &'a mut Fleet,
}

impl Siege<'_> {
    /// Goes on until `last`, and leaves servers behind that run. Blocks.
    pub(crate) fn rage(mut self, seed: u64, last: Time) {
        let mut chance = StdRng::seed_from_u64(seed ^ 0xbad);
        let mut turns = (0..self.servers.len()).cycle();
        while Time::now() < last {
            match turns.next().filter(|_| self.in_turn) {
                Some(number) => self.restart(number, &mut chance),
                None => {
                    std::thread::sleep(Duration::from_millis(chance.random_range(10..100)));
                    self.harm(&mut chance);
                }
            }
        }
        if let Some(runtime) = self.networks {
            self.ways.iter().for_each(|way| runtime.block_on(way.heal()));
        }
        self.database.record(Event::since(Time::now(), 0, What::Healed));
    }

    /// Each server so often that most loads from before are still under way, and so seldom that its connections have lasted, since others are not replaced at once.
    fn restart(&self, number: usize, chance: &mut StdRng) {
        let pause = Duration::from_millis(chance.random_range(1100..1200));
        std::thread::sleep(pause / self.servers.len() as u32);
        let from = Time::now();
        self.servers[number].restart();
        self.database.record(Event::since(from, 0, What::Fault(format!("server {number} {BACK}"))));
    }

    fn harm(&mut self, chance: &mut StdRng) {
        let harms = if self.severity == Severity::Cruel { 26 } else { 16 };
        let number = chance.random_range(0..self.servers.len());
        let (server, way, from) = (&self.servers[number], &self.ways[number], Time::now());
        let worker = chance.random_range(0..8);
        let what = match chance.random_range(0..harms) {
            0 => return self.database.record(self.fleet.replace(worker)),
            _ if self.severity == Severity::Kind => return,
            1..4 => {
                server.flush();
                "forgets everything"
            }
            4..9 => {
                way.cut();
                "hangs up"
            }
            9..12 => {
                server.stop();
                std::thread::sleep(Duration::from_millis(chance.random_range(100..600)));
                server.cont();
                "was silent"
            }
            12..15 => {
                server.restart();
                BACK
            }
            15..18 => {
                server.kill();
                std::thread::sleep(Duration::from_millis(chance.random_range(100..800)));
                server.restart();
                "was away and is back, empty"
            }
            18 => {
                server.fill_up();
                "is filled up (and evicts)"
            }
            19 => return self.database.record(self.fleet.pause(worker, PAUSE)),
            20..24 => {
                let Some(runtime) = self.networks else { return };
                &format!("has another network: {}", network::harm(way, chance, runtime, false))
            }
            _ => return,
        };
        self.database.record(Event::since(from, 0, What::Fault(format!("server {number} {what}"))));
    }
}

const BACK: &str = "was killed and is back, empty";
