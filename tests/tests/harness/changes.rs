//! How the place of a master, or of a slot, changes.

use std::time::Duration;

use cache_runtime::sim::Server;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::fleet::Fleet;
use crate::hand::Hand;
use crate::history::Event;
use crate::history::Time;
use crate::history::What;
use crate::nemesis::Severity;

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A replica is ordered to take the place of a master that runs: `""` by agreement with it, `"FORCE"` and `"TAKEOVER"` without. Sentinels know one way only.
    Order(&'static str),
    /// The master is killed, and comes back empty when it has been replaced.
    Crash,
    /// The same, after its replicas have not heard of anything for some time: what was acknowledged meanwhile is lost.
    Unheard,
    /// The master is silent until it has been replaced, and then goes on as if nothing had happened.
    Silence,
    /// The master is killed and back before anybody takes its place: empty, or with old data.
    Restart { empty: bool },
    /// A slot moves to another master, key by key.
    Migration,
}

impl Change {
    /// All that a Cluster knows.
    pub(crate) const OF_CLUSTER: [Self; 10] = [
        Self::Order(""),
        Self::Order("FORCE"),
        Self::Order("TAKEOVER"),
        Self::Crash,
        Self::Unheard,
        Self::Silence,
        Self::Restart { empty: true },
        Self::Restart { empty: false },
        Self::Migration,
        Self::Migration,
    ];

    /// All that a Redis knows which nobody replaces.
    pub(crate) const OF_ONE: [Self; 2] = [Self::Restart { empty: true }, Self::Restart { empty: false }];

    /// All that sentinels know. Of two orders the second often leads back.
    pub(crate) const OF_SENTINELS: [Self; 7] = [
        Self::Order(""),
        Self::Order(""),
        Self::Crash,
        Self::Unheard,
        Self::Silence,
        Self::Restart { empty: true },
        Self::Restart { empty: false },
    ];
}

/// Changes in an order by chance, each once before any comes again.
pub(crate) struct Deck {
    all: &'static [Change],
    left: Vec<Change>,
    /// Nothing but these happens.
    pub(crate) is_alone: bool,
}

impl Deck {
    /// Of `chosen` and nothing else, or else of all.
    pub(crate) fn of(all: &'static [Change], chosen: Option<&'static [Change]>) -> Self {
        Self { all: chosen.unwrap_or(all), left: Vec::new(), is_alone: chosen.is_some() }
    }

    pub(crate) fn next(&mut self, chance: &mut StdRng) -> Change {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
            self.left.shuffle(chance);
        }
        self.left.pop().unwrap_or(Change::Migration)
    }
}

/// Makes a change, while workers are killed and, in a cruel world, stopped, unless it is to be all that happens.
pub(crate) fn make(
    make: impl FnOnce(Course) -> Course + Send,
    is_alone: bool,
    severity: Severity,
    hand: &mut Hand<'_>,
    fleet: &mut Fleet,
) {
    let course = Course { chance: StdRng::seed_from_u64(hand.chance.random()), events: Vec::new() };
    let course = std::thread::scope(|scope| {
        let making = scope.spawn(|| make(course));
        while !making.is_finished() {
            hand.pause(50..300);
            if !is_alone && hand.chance.random_range(0..4) == 0 {
                hand.harm_a_worker(severity, fleet);
            }
        }
        making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    course.events.into_iter().for_each(|event| hand.record(event));
}

/// What happened while a change was made.
pub(crate) struct Course {
    pub(crate) chance: StdRng,
    events: Vec<Event>,
}

impl Course {
    pub(crate) fn note(&mut self, from: Time, what: &str) {
        self.events.push(Event::since(from, 0, What::Fault(what.to_owned())));
    }

    /// From `from` until now two servers may have taken themselves for the master.
    pub(crate) fn divided(&mut self, from: Time) {
        self.events.push(Event::since(from, 0, What::Divided));
    }

    /// The master is killed and back before anybody takes its place: empty, or with what it held a moment ago.
    pub(crate) fn restart(&mut self, master: &Server, empty: bool) {
        let snapshot = (!empty).then(|| master.snapshot());
        self.pause(100..600);
        let from = Time::now();
        match snapshot {
            Some(snapshot) => master.restart_from(&snapshot),
            None => master.restart(),
        }
        self.note(from, if empty { "a master is back, empty" } else { "a master is back, with old data" });
    }

    /// For so many milliseconds.
    pub(crate) fn pause(&mut self, millis: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.chance.random_range(millis)));
    }
}
