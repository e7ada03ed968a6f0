//! What goes wrong with a Cluster meanwhile.

use cache_runtime::sim::Cluster;
use rand::RngExt as _;

use crate::changes;
use crate::changes::Change;
use crate::changes::Course;
use crate::changes::Deck;
use crate::fleet::Fleet;
use crate::hand::Hand;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::nemesis::Severity;

/// Harms the fleet and its Cluster. In a kind world workers are killed and the servers forget their scripts. In a cruel one masters are replaced in every way there is, slots move, and
/// each server forgets, evicts, hangs up and falls silent.
pub(crate) struct Shards<'a> {
    pub(crate) severity: Severity,
    pub(crate) hand: Hand<'a>,
    pub(crate) cluster: &'a Cluster,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) deck: Deck,
}

impl Shards<'_> {
    /// Goes on until `last`, and leaves a Cluster behind that is whole. Blocks.
    pub(crate) fn rage(mut self, last: Time) {
        let cruel = self.severity == Severity::Cruel;
        if cruel {
            self.cluster.nodes().iter().for_each(|node| self.hand.limit_memory(node));
            // Once in any case, while there is something to lose.
            self.hand.pause(500..1000);
            self.change();
        }
        while Time::now() < last {
            if self.deck.is_alone {
                self.hand.pause(1000..2000);
                self.change();
                continue;
            }
            self.hand.pause(10..100);
            match self.hand.chance.random_range(0..40) {
                0 if cruel => self.change(),
                1..3 => self.hand.harm_a_worker(self.severity, self.fleet),
                3..16 if cruel => self.harm_a_node(),
                16..20 => {
                    let node = &self.cluster.nodes()[self.hand.chance.random_range(0..3)];
                    self.hand.ask(node, "forgets its scripts", &["SCRIPT", "FLUSH"]);
                }
                _ => {}
            }
        }
        self.cluster.nodes().iter().for_each(|node| self.hand.give_memory(node));
        self.cluster.until_whole();
        self.hand.record(Event::since(Time::now(), 0, What::Healed));
    }

    fn harm_a_node(&mut self) {
        let name = self.hand.name();
        let master = self.cluster.owner(self.cluster.slot_of(&format!("{{{name}}}")));
        self.hand.harm(&self.cluster.nodes()[master], &name);
    }

    /// Makes the next change, while workers are killed and stopped.
    fn change(&mut self) {
        let change = self.deck.next(&mut self.hand.chance);
        let name = self.hand.name();
        let cluster = self.cluster;
        let make = move |course| Making { cluster, name, course }.make(change);
        changes::make(make, self.deck.is_alone, self.severity, &mut self.hand, self.fleet);
        // Who comes back has forgotten that it may not have more.
        self.cluster.nodes().iter().for_each(|node| self.hand.limit_memory(node));
    }
}

/// A change on its way.
struct Making<'a> {
    cluster: &'a Cluster,
    /// Whose master or slot it is about.
    name: String,
    course: Course,
}

impl Making<'_> {
    fn make(mut self, change: Change) -> Course {
        let slot = self.cluster.slot_of(&format!("{{{}}}", self.name));
        let master = self.cluster.owner(slot);
        match change {
            Change::Migration => self.migrate(slot, master),
            Change::Restart { empty } => self.course.restart(&self.cluster.nodes()[master], empty),
            _ => self.replace(change, master, self.cluster.replica_of(master)),
        }
        self.cluster.until_whole();
        self.course
    }

    fn replace(&mut self, change: Change, master: usize, replica: usize) {
        let nodes = self.cluster.nodes();
        let from = Time::now();
        match change {
            Change::Order(how) => {
                self.cluster.failover(replica, how);
                self.until_it_knows(from, master);
                self.course.note(from, &format!("a master was replaced by an order {how:?}"));
            }
            Change::Silence => {
                self.cluster.stop_for(master, replica);
                self.course.pause(0..500);
                let woken = Time::now();
                nodes[master].cont();
                self.until_it_knows(woken, master);
                self.course.note(from, "a master was silent until it was replaced");
            }
            _ => {
                if change == Change::Unheard {
                    nodes[replica].cut_off(&nodes[master]);
                    self.course.pause(200..1000);
                }
                self.cluster.kill_for(master, replica);
                nodes[replica].let_back();
                self.course.pause(0..500);
                nodes[master].restart();
                let lost =
                    if change == Change::Unheard { ", and what its replica had not heard of is lost" } else { "" };
                self.course.note(from, &format!("a master was killed and replaced{lost}"));
            }
        }
    }

    /// A master that was replaced takes itself for one until it hears of it.
    fn until_it_knows(&mut self, from: Time, master: usize) {
        self.cluster.until_replica(master);
        self.course.divided(from);
    }

    fn migrate(&mut self, slot: u16, master: usize) {
        let others: Vec<usize> =
            (0..self.cluster.nodes().len()).filter(|&node| node != master && self.cluster.is_master(node)).collect();
        let to = others[self.course.chance.random_range(0..others.len())];
        // One that is full would refuse the keys.
        self.cluster.nodes()[to].command(&["CONFIG", "SET", "maxmemory", "0"]).expect("memory for a slot");
        let from = Time::now();
        self.cluster.begin_migration(slot, to);
        self.course.pause(0..100);
        while self.cluster.move_keys(slot, master, to, 1) > 0 {
            self.course.pause(0..10);
        }
        self.course.pause(0..100);
        while self.cluster.move_keys(slot, master, to, 10) > 0 {}
        self.cluster.end_migration(slot, master, to);
        self.course.note(from, "a slot moved");
    }
}
