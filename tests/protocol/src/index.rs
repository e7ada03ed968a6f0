//! Sets of keys for each tag, instead of tokens: an invalidation removes the entries that the set of its tag lists.
//!
//! Sets break in every order of writing, and when one is forgotten. They can say what a tag holds, and are no mechanism.

use crate::system::Faults;
use crate::system::Mutate;
use crate::system::Protocol;
use crate::system::Read;
use crate::system::Start;
use crate::world::Law;
use crate::world::Version;
use crate::world::World;
use crate::world::part;

/// How an entry is written, and listed in the set.
#[derive(Clone, Copy, Debug)]
enum Order {
    ListedFirst,
    WrittenFirst,
    Together,
    /// In one step with the load, which no cache can do.
    WithTheLoad,
}

#[derive(Debug)]
struct Index {
    order: Order,
    readers: usize,
    mutators: usize,
    /// How often the set is forgotten.
    forgotten: u8,
}

part! {
    struct Store {
        entry: Option<Version>,
        listed: bool,
    }
}

part! {
    enum Reader {
        Look,
        Load,
        Write { value: Version },
        Finish { value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Invalidate { version: Version },
    }
}

impl Protocol for Index {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { entry: None, listed: false },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any: vec![()], times: self.forgotten }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        let value = world.committed;
        let store = &mut world.store;
        match (reader, self.order) {
            (Reader::Look, _) => store.entry.map_or(Read::Goes(Reader::Load), Read::Hit),
            (Reader::Load, Order::WithTheLoad) => {
                *store = Store { entry: Some(value), listed: true };
                Read::Loaded(value)
            }
            (Reader::Load, _) => Read::Goes(Reader::Write { value }),
            (Reader::Write { value }, Order::ListedFirst) => {
                store.listed = true;
                Read::Goes(Reader::Finish { value })
            }
            (Reader::Write { value }, Order::WrittenFirst) => {
                store.entry = Some(value);
                Read::Goes(Reader::Finish { value })
            }
            (Reader::Write { value }, Order::Together | Order::WithTheLoad) => {
                *store = Store { entry: Some(value), listed: true };
                Read::Loaded(value)
            }
            (Reader::Finish { value }, order) => {
                match order {
                    Order::ListedFirst => store.entry = Some(value),
                    Order::WrittenFirst | Order::Together | Order::WithTheLoad => store.listed = true,
                }
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Invalidate { version: world.commit() }),
            Mutator::Invalidate { version } => {
                if world.store.listed {
                    world.store = Store { entry: None, listed: false };
                }
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        std::mem::take(&mut world.store.listed)
    }
}

mod tests {
    use super::*;
    use crate::check;

    fn index(order: Order) -> Index {
        Index { order, readers: 3, mutators: 1, forgotten: 0 }
    }

    #[test]
    fn control_a_key_that_is_listed_before_its_entry_is_written() {
        check::breaks(index(Order::ListedFirst));
    }

    #[test]
    fn control_an_entry_that_is_written_before_its_key_is_listed() {
        check::breaks(index(Order::WrittenFirst));
    }

    #[test]
    fn control_an_entry_that_is_written_and_listed_in_one_command() {
        check::breaks(index(Order::Together));
    }

    #[test]
    fn a_set_holds_if_it_changes_with_the_load_in_one_step() {
        check::holds(Index { readers: 4, mutators: 2, ..index(Order::WithTheLoad) });
    }

    #[test]
    fn control_a_set_that_is_forgotten() {
        check::breaks(Index { forgotten: 1, ..index(Order::WithTheLoad) });
    }
}
