//! Times instead of tokens: an entry counts if its load began after the last invalidation of its tag.
//!
//! It holds while all clocks agree, and breaks when the clock of a reader is ahead by a single tick.

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

#[derive(Debug)]
struct Clocks {
    /// How far the clocks of the readers are ahead of that of the mutator.
    ahead: u8,
    readers: usize,
}

/// Nothing happens after that.
const LAST: u8 = 4;

part! {
    struct Store {
        now: u8,
        entry: Option<Entry>,
        invalidated: Option<u8>,
    }
}

part! {
    struct Entry {
        value: Version,
        began: u8,
    }
}

part! {
    enum Reader {
        Look,
        Begin,
        Load { began: u8 },
        Fill { began: u8, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Invalidate { version: Version },
    }
}

impl Protocol for Clocks {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { now: 0, entry: None, invalidated: None },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit],
            faults: vec![Faults { any: vec![()], times: ALWAYS }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Look => match &world.store.entry {
                Some(entry) if Some(entry.began) > world.store.invalidated => Read::Hit(entry.value),
                _ => Read::Goes(Reader::Begin),
            },
            Reader::Begin => Read::Goes(Reader::Load { began: world.store.now + self.ahead }),
            Reader::Load { began } => Read::Goes(Reader::Fill { began, value: world.committed }),
            Reader::Fill { began, value } => {
                world.store.entry = Some(Entry { value, began });
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Invalidate { version: world.commit() }),
            Mutator::Invalidate { version } => {
                world.store.invalidated = Some(world.store.now);
                world.apply(version);
                Mutate::Over
            }
        }
    }

    /// Time passes.
    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        world.store.now += 1;
        world.store.now <= LAST
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn times_hold_while_clocks_agree() {
        check::holds(Clocks { ahead: 0, readers: 2 });
    }

    #[test]
    fn control_a_clock_that_is_one_tick_ahead() {
        check::breaks(Clocks { ahead: 1, readers: 2 });
    }
}
