//! Several servers, of which one cannot be reached for a while.
//!
//! If its keys move to another meanwhile, it comes back with what was invalidated there. If they stay, nothing is read or stored while it is
//! away, and an invalidation does not return before it has arrived.

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

#[derive(Debug)]
struct Ring {
    /// While the first server is away, its keys are on the second.
    moves: bool,
    readers: usize,
    mutators: usize,
    /// How often the first server leaves or comes back.
    changes: u8,
}

part! {
    struct Store {
        away: bool,
        first: Server,
        second: Server,
    }
}

part! {
    #[derive(Default)]
    struct Server {
        entry: Option<Entry>,
        tag: Option<Token>,
    }
}

part! {
    struct Entry {
        value: Version,
        tag: Token,
    }
}

part! {
    enum Reader {
        Look,
        Load { tag: Option<Token> },
        Fill { tag: Option<Token>, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Remove { version: Version },
    }
}

impl Ring {
    /// The one that has the keys, if it can be reached.
    fn server<'a>(&self, store: &'a mut Store) -> Option<&'a mut Server> {
        match (store.away, self.moves) {
            (false, _) => Some(&mut store.first),
            (true, true) => Some(&mut store.second),
            (true, false) => None,
        }
    }
}

impl Protocol for Ring {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { away: false, first: Server::default(), second: Server::default() },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any: vec![()], times: self.changes }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Look => {
                let fresh = world.fresh();
                let Some(server) = self.server(&mut world.store) else {
                    return Read::Goes(Reader::Load { tag: None });
                };
                let tag = *server.tag.get_or_insert(fresh);
                match &server.entry {
                    Some(entry) if entry.tag == tag => Read::Hit(entry.value),
                    _ => Read::Goes(Reader::Load { tag: Some(tag) }),
                }
            }
            Reader::Load { tag } => Read::Goes(Reader::Fill { tag, value: world.committed }),
            Reader::Fill { tag, value } => {
                if let (Some(server), Some(tag)) = (self.server(&mut world.store), tag) {
                    server.entry = Some(Entry { value, tag });
                }
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Remove { version: world.commit() }),
            Mutator::Remove { version } => {
                let Some(server) = self.server(&mut world.store) else { return Mutate::Waits };
                server.tag = None;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        world.store.away = !world.store.away;
        true
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn keys_stay_where_they_are_while_their_server_is_away() {
        check::holds(Ring { moves: false, readers: 3, mutators: 1, changes: 2 });
    }

    #[test]
    fn control_keys_that_move_while_their_server_is_away() {
        check::breaks(Ring { moves: true, readers: 3, mutators: 1, changes: 2 });
    }
}
