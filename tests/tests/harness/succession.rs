//! What goes wrong with a master behind sentinels meanwhile.

use cache_runtime::sim::SentinelSet;
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

/// Harms the fleet, and has the master replaced in every way there is; the one that is in charge forgets, evicts, hangs up and falls silent.
pub(crate) struct Succession<'a> {
    pub(crate) hand: Hand<'a>,
    pub(crate) set: &'a SentinelSet,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) deck: Deck,
}

impl Succession<'_> {
    /// Goes on until `last`, and leaves a master behind with two replicas. Blocks.
    pub(crate) fn rage(mut self, last: Time) {
        self.limit_memory();
        // Once in any case, while there is something to lose.
        self.hand.pause(500..1000);
        self.change();
        while Time::now() < last {
            if self.deck.is_alone {
                self.hand.pause(1000..2000);
                self.change();
                continue;
            }
            self.hand.pause(10..100);
            match self.hand.chance.random_range(0..40) {
                0 => self.change(),
                1..3 => self.hand.harm_a_worker(Severity::Cruel, self.fleet),
                3..20 => {
                    let name = self.hand.name();
                    self.hand.harm(&self.set.servers()[self.set.master()], &name);
                }
                _ => {}
            }
        }
        self.set.servers().iter().for_each(|server| self.hand.give_memory(server));
        self.set.until_whole();
        self.hand.record(Event::since(Time::now(), 0, What::Healed));
    }

    fn limit_memory(&self) {
        self.set.servers().iter().for_each(|server| self.hand.limit_memory(server));
    }

    /// Makes the next change, while workers are killed and stopped.
    fn change(&mut self) {
        let change = self.deck.next(&mut self.hand.chance);
        let set = self.set;
        let make = move |course| Making { set, course }.make(change);
        changes::make(make, self.deck.is_alone, Severity::Cruel, &mut self.hand, self.fleet);
        // Who comes back has forgotten that it may not have more.
        self.limit_memory();
    }
}

/// A change on its way.
struct Making<'a> {
    set: &'a SentinelSet,
    course: Course,
}

impl Making<'_> {
    fn make(mut self, change: Change) -> Course {
        // Without a replica nobody could take its place.
        self.set.until_whole();
        let from = Time::now();
        let servers = self.set.servers();
        let master = self.set.master();
        match change {
            Change::Order(_) => {
                let _ = self.set.failover();
                self.course.divided(from);
                self.course.note(from, "a master was replaced by an order");
            }
            Change::Silence => {
                servers[master].stop();
                let _ = self.set.master_after(master);
                self.course.pause(0..500);
                servers[master].cont();
                self.course.note(from, "a master was silent until it was replaced");
            }
            Change::Restart { empty } => self.course.restart(&servers[master], empty),
            _ => self.crash(change, master),
        }
        // Who was the master may take itself for one a while.
        self.course.pause(0..500);
        self.set.until_whole();
        self.course
    }

    /// The master is killed, and a replica takes its place, which may not have heard of everything.
    fn crash(&mut self, change: Change, master: usize) {
        let servers = self.set.servers();
        let from = Time::now();
        let replicas = || servers.iter().enumerate().filter(|(at, _)| *at != master).map(|(_, server)| server);
        if change == Change::Unheard {
            replicas().for_each(|replica| replica.cut_off(&servers[master]));
            self.course.pause(200..1000);
        }
        servers[master].kill();
        let _ = self.set.master_after(master);
        replicas().for_each(|replica| replica.let_back());
        self.course.pause(0..500);
        servers[master].restart();
        let lost = if change == Change::Unheard { ", and what its replicas had not heard of is lost" } else { "" };
        self.course.note(from, &format!("a master was killed and replaced{lost}"));
    }
}
