//! Who may store what it loaded, when the permission is written where the entry will be.
//!
//! The naive cache asks for no permission. Libraries with a placeholder for each *client* let a second load of that client store what the first
//! one was permitted to.

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

#[derive(Clone, Copy, PartialEq, Debug)]
enum Permission {
    Nobodys,
    PerClient,
    PerLoad,
}

#[derive(Debug)]
struct Placeholder {
    permission: Permission,
    /// Which client each reader belongs to.
    clients: Vec<u8>,
    mutators: usize,
}

part! {
    #[derive(Copy)]
    enum Cell {
        Empty,
        Value(version: Version),
        Client(client: u8),
        Load(load: Token),
    }
}

part! {
    struct Reader {
        client: u8,
        at: At,
    }
}

part! {
    enum At {
        Look,
        Claim,
        Load { permission: Cell },
        Store { permission: Cell, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Delete { version: Version },
    }
}

impl Placeholder {
    fn claim(&self, client: u8, world: &mut World<Cell>) -> Cell {
        let permission = match self.permission {
            Permission::PerLoad => Cell::Load(world.fresh()),
            Permission::PerClient | Permission::Nobodys => Cell::Client(client),
        };
        world.store = permission;
        permission
    }
}

impl Protocol for Placeholder {
    type Store = Cell;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Cell::Empty,
            readers: self.clients.iter().map(|&client| Reader { client, at: At::Look }).collect(),
            mutators: vec![Mutator::Commit; self.mutators],
            faults: Vec::<Faults<()>>::new(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Cell>) -> Read<Reader> {
        let client = reader.client;
        let goes = |at| Read::Goes(Reader { client, at });
        match (reader.at, world.store) {
            (At::Look | At::Claim, Cell::Value(value)) => Read::Hit(value),
            (At::Look, _) if self.permission == Permission::Nobodys => goes(At::Load { permission: Cell::Empty }),
            (At::Look, _) => goes(At::Claim),
            (At::Claim, Cell::Empty) => goes(At::Load { permission: self.claim(client, world) }),
            (At::Claim, _) => Read::Waits,
            (At::Load { permission }, _) => goes(At::Store { permission, value: world.committed }),
            (At::Store { permission, value }, found) => {
                if found == permission || self.permission == Permission::Nobodys {
                    world.store = Cell::Value(value);
                }
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Cell>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Delete { version: world.commit() }),
            Mutator::Delete { version } => {
                world.store = Cell::Empty;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, (): (), _: &mut World<Cell>) -> bool {
        false
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn control_a_load_that_stores_without_permission() {
        check::breaks(Placeholder { permission: Permission::Nobodys, clients: vec![0; 3], mutators: 1 });
    }

    #[test]
    fn control_a_permission_that_two_loads_of_a_client_share() {
        check::breaks(Placeholder { permission: Permission::PerClient, clients: vec![0, 0, 1], mutators: 1 });
    }

    #[test]
    fn a_permission_is_of_one_load() {
        check::holds(Placeholder { permission: Permission::PerLoad, clients: vec![0; 3], mutators: 2 });
    }
}
