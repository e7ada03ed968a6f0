//! Leases and tokens from the counter of a memcached server.
//!
//! The server numbers its items, and the number of an item that stands for a running load makes a lease, as that of a tag's item makes a token. Both
//! come back when the server is restarted, because it begins to count anew. What the client chose at random does not.

use crate::system::Faults;
use crate::system::Mutate;
use crate::system::Protocol;
use crate::system::Read;
use crate::system::Start;
use crate::world::Law;
use crate::world::Token;
use crate::world::Version;
use crate::world::World;
use crate::world::part;

/// Who numbers items.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Numbers {
    OfServer,
    OfClient,
}

/// For what.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Use {
    /// For the lease of an entry, on the server that is restarted.
    Lease,
    /// For the token of a tag. Its entry is on a server that is not restarted.
    Token,
}

#[derive(Clone, Debug)]
struct Memcached {
    numbers: Numbers,
    used: Use,
    readers: usize,
    faults: Vec<Faults<Fault>>,
}

part! {
    struct Store {
        counted: u8,
        entry: Option<Entry>,
        tag: Option<Number>,
    }
}

part! {
    #[derive(Copy)]
    enum Number {
        Counted(count: u8),
        Chosen(token: Token),
    }
}

part! {
    #[derive(Copy)]
    struct Entry {
        /// None, while somebody loads.
        value: Option<Version>,
        number: Number,
    }
}

part! {
    enum Reader {
        Look,
        Load { number: Option<Number> },
        Fill { number: Number, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Delete { version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetEntry,
    Restart,
}

impl Memcached {
    fn number(&self, world: &mut World<Store>) -> Number {
        match self.numbers {
            Numbers::OfServer => {
                world.store.counted += 1;
                Number::Counted(world.store.counted)
            }
            Numbers::OfClient => Number::Chosen(world.fresh()),
        }
    }

    fn look_for_lease(&self, world: &mut World<Store>) -> Read<Reader> {
        match world.store.entry {
            Some(Entry { value: Some(value), .. }) => Read::Hit(value),
            // Who does not get the lease loads without the right to store.
            Some(Entry { value: None, .. }) => Read::Goes(Reader::Load { number: None }),
            None => {
                let number = self.number(world);
                world.store.entry = Some(Entry { value: None, number });
                Read::Goes(Reader::Load { number: Some(number) })
            }
        }
    }

    fn look_for_token(&self, world: &mut World<Store>) -> Read<Reader> {
        let number = world.store.tag.unwrap_or_else(|| self.number(world));
        world.store.tag = Some(number);
        match world.store.entry {
            Some(Entry { value: Some(value), number: stored }) if stored == number => Read::Hit(value),
            _ => Read::Goes(Reader::Load { number: Some(number) }),
        }
    }

    fn fill(&self, number: Number, value: Version, world: &mut World<Store>) {
        let number = match self.used {
            Use::Token => number,
            Use::Lease if world.store.entry.is_some_and(|entry| entry.number == number) => self.number(world),
            Use::Lease => return,
        };
        world.store.entry = Some(Entry { value: Some(value), number });
    }
}

impl Protocol for Memcached {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { counted: 0, entry: None, tag: None },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit],
            faults: self.faults.clone(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match (reader, self.used) {
            (Reader::Look, Use::Lease) => self.look_for_lease(world),
            (Reader::Look, Use::Token) => self.look_for_token(world),
            (Reader::Load { number: Some(number) }, _) => Read::Goes(Reader::Fill { number, value: world.committed }),
            (Reader::Load { number: None }, _) => Read::Loaded(world.committed),
            (Reader::Fill { number, value }, _) => {
                self.fill(number, value, world);
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Delete { version: world.commit() }),
            Mutator::Delete { version } => {
                match self.used {
                    Use::Lease => world.store.entry = None,
                    Use::Token => world.store.tag = None,
                }
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        let store = &mut world.store;
        match (fault, self.used) {
            (Fault::ForgetEntry, _) => store.entry.take().is_some(),
            (Fault::Restart, Use::Lease) => {
                *store = Store { counted: 0, entry: None, tag: None };
                true
            }
            (Fault::Restart, Use::Token) => {
                (store.counted, store.tag) = (0, None);
                true
            }
        }
    }
}

mod tests {
    use super::*;
    use crate::check;

    fn memcached(numbers: Numbers, used: Use, faults: &[(Fault, u8)]) -> Memcached {
        let faults = faults.iter().map(|&(fault, times)| Faults { any: vec![fault], times }).collect();
        Memcached { numbers, used, readers: 3, faults }
    }

    const FORGOTTEN: (Fault, u8) = (Fault::ForgetEntry, 2);
    const RESTARTED: (Fault, u8) = (Fault::Restart, 1);

    #[test]
    fn the_number_of_an_item_is_a_lease_while_the_server_runs() {
        check::holds(memcached(Numbers::OfServer, Use::Lease, &[FORGOTTEN]));
    }

    #[test]
    fn control_a_lease_that_the_server_gives_again_after_a_restart() {
        check::breaks(Memcached { readers: 4, ..memcached(Numbers::OfServer, Use::Lease, &[RESTARTED]) });
    }

    #[test]
    fn a_lease_that_the_client_chose_survives_a_restart() {
        check::holds(memcached(Numbers::OfClient, Use::Lease, &[RESTARTED, FORGOTTEN]));
    }

    #[test]
    fn control_a_token_that_the_server_gives_again_after_a_restart() {
        check::breaks(memcached(Numbers::OfServer, Use::Token, &[RESTARTED]));
    }

    #[test]
    fn a_token_that_the_client_chose_survives_a_restart() {
        check::holds(memcached(Numbers::OfClient, Use::Token, &[RESTARTED]));
    }
}
