//! How old a copy in the process may be when words of changes are late, or never come.
//!
//! The server answers in order, so an answer to a question proves that every change before the question was heard of. A copy is served only for
//! so long after the last question that was answered. What was invalidated before that is never served, however late the words are.

use crate::system::ALWAYS;
use crate::system::Faults;
use crate::system::Mutate;
use crate::system::Protocol;
use crate::system::Read;
use crate::system::Start;
use crate::world::Law;
use crate::world::Version;
use crate::world::World;
use crate::world::part;

/// For how many ticks a copy may be stale.
const BOUND: u8 = 1;
/// Nothing happens after that.
const LAST: u8 = 4;

#[derive(Debug)]
struct Liveness {
    /// A copy is served only within the bound after a question that was answered.
    required: bool,
    readers: usize,
    mutators: usize,
    questions: u8,
}

part! {
    struct Store {
        now: u8,
        copy: Option<Version>,
        /// When the last question was sent that has been answered.
        alive: u8,
        /// When each question was sent that the server has not seen yet.
        asked: Vec<u8>,
        /// What the server sent, in order.
        sent: Vec<Word>,
        /// Changes that are too young to rely on, and when they were.
        young: Vec<(Version, u8)>,
    }
}

part! {
    #[derive(Copy)]
    enum Word {
        Changed,
        Answer(asked: u8),
    }
}

part! {
    enum Reader {
        Look,
    }
}

part! {
    enum Mutator {
        Commit,
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Tick,
    Ask,
    /// The server answers a question.
    Answer,
    /// The process hears what the server sent.
    Hear,
}

impl Store {
    fn tick(&mut self) -> Vec<Version> {
        self.now += 1;
        let now = self.now;
        let old = self.young.extract_if(.., |(_, changed)| now - *changed > BOUND);
        old.map(|(version, _)| version).collect()
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Changed => self.copy = None,
            Word::Answer(asked) => self.alive = self.alive.max(asked),
        }
    }
}

fn first<T>(queue: &mut Vec<T>) -> Option<T> {
    (!queue.is_empty()).then(|| queue.remove(0))
}

impl Protocol for Liveness {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Event;

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let (asked, sent, young) = (Vec::new(), Vec::new(), Vec::new());
        Start {
            store: Store { now: 0, copy: Some(Version(0)), alive: 0, asked, sent, young },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![
                Faults { any: vec![Event::Tick, Event::Answer, Event::Hear], times: ALWAYS },
                Faults { any: vec![Event::Ask], times: self.questions },
            ],
        }
    }

    fn read(&self, Reader::Look: Reader, world: &mut World<Store>) -> Read<Reader> {
        let proven = world.store.now - world.store.alive <= BOUND;
        match world.store.copy {
            Some(value) if proven || !self.required => Read::Hit(value),
            _ => Read::Over,
        }
    }

    fn mutate(&self, Mutator::Commit: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        let change = (world.commit(), world.store.now);
        world.store.young.push(change);
        world.store.sent.push(Word::Changed);
        Mutate::Over
    }

    fn strike(&self, event: Event, world: &mut World<Store>) -> bool {
        let store = &mut world.store;
        match event {
            Event::Tick if store.now == LAST => return false,
            Event::Tick => {
                for version in store.tick() {
                    // From here on nothing excuses what is older.
                    world.apply(version);
                }
            }
            Event::Ask => store.asked.push(store.now),
            Event::Answer => match first(&mut store.asked) {
                Some(asked) => store.sent.push(Word::Answer(asked)),
                None => return false,
            },
            Event::Hear => match first(&mut store.sent) {
                Some(word) => store.hear(word),
                None => return false,
            },
        }
        true
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn a_copy_is_served_only_within_the_bound_after_an_answer() {
        check::holds(Liveness { required: true, readers: 2, mutators: 1, questions: 2 });
    }

    #[test]
    fn control_a_copy_that_is_served_until_a_change_is_heard_of() {
        check::breaks(Liveness { required: false, readers: 1, mutators: 1, questions: 2 });
    }
}
