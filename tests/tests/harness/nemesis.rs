//! What goes wrong with one Redis meanwhile, and on the way there.

use std::time::Duration;

use cache_runtime::sim::Server;
use rand::RngExt as _;
use tokio::runtime::Runtime;

use crate::changes::Change;
use crate::changes::Deck;
use crate::fleet::Fleet;
use crate::hand::Hand;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::network;
use crate::proxy::Proxy;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Workers are killed, and the server forgets its scripts. It loses nothing, and answers.
    Kind,
    /// All of that, and the server forgets, evicts, hangs up, falls silent and comes back empty or with old data; workers are stopped for longer than their leases live.
    Cruel,
}

/// Harms the fleet and its server.
pub(crate) struct Nemesis<'a> {
    pub(crate) severity: Severity,
    pub(crate) hand: Hand<'a>,
    pub(crate) server: &'a Server,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) deck: Deck,
    /// The network of the worker at each place, if each has its own.
    pub(crate) networks: &'a [Proxy],
    /// Whether they can read what they carry, and deliver it twice.
    pub(crate) repeats: bool,
    /// What the networks live on.
    pub(crate) runtime: &'a Runtime,
}

impl Nemesis<'_> {
    /// Goes on until `last`, and leaves a server behind that runs. Blocks.
    pub(crate) fn rage(mut self, last: Time) {
        if self.severity == Severity::Cruel {
            self.hand.limit_memory(self.server);
        }
        while Time::now() < last {
            self.hand.pause(10..100);
            if self.deck.is_alone { self.change() } else { self.harm() }
        }
        self.hand.give_memory(self.server);
        for network in self.networks {
            self.runtime.block_on(network.heal());
        }
        self.hand.record(Event::since(Time::now(), 0, What::Healed));
    }

    fn harm(&mut self) {
        if !self.networks.is_empty() && self.hand.chance.random_range(0..3) == 0 {
            return self.harm_network();
        }
        let harms = if self.severity == Severity::Cruel { 26 } else { 16 };
        let place = self.hand.chance.random_range(0..8);
        match self.hand.chance.random_range(0..harms) {
            0 => {
                // With networks the first one lives on, so that it can be seen what becomes of it.
                let place = if self.networks.is_empty() { place } else { 1 + place % 2 };
                let killed = self.fleet.replace(place);
                self.hand.record(killed);
            }
            1..4 => self.hand.ask(self.server, "forgets its scripts", &["SCRIPT", "FLUSH"]),
            _ if self.severity == Severity::Kind => {}
            4..23 => {
                let name = self.hand.name();
                self.hand.harm(self.server, &name);
            }
            23 => self.change(),
            _ => {
                let paused = self.fleet.pause(place, PAUSE);
                self.hand.record(paused);
            }
        }
    }

    fn change(&mut self) {
        match self.deck.next(&mut self.hand.chance) {
            Change::Restart { empty: true } => self.hand.restart(self.server),
            Change::Restart { empty: false } => self.hand.restart_from_before(self.server),
            other => panic!("nobody replaces this Redis, so there is no {other:?}"),
        }
    }

    /// Something else goes wrong on the way of one of the workers from here on, or nothing any more.
    fn harm_network(&mut self) {
        let place = self.hand.chance.random_range(0..self.networks.len());
        let from = Time::now();
        let what = network::harm(&self.networks[place], &mut self.hand.chance, self.runtime, self.repeats);
        self.hand.note(from, &format!("{what} (of worker {place})"));
    }
}

/// Longer than a lease and a mark live.
pub(crate) const PAUSE: Duration = Duration::from_millis(700);
