//! One load for each key in a process, and who may join it.
//!
//! Who joins whatever load of the key is running may be given what was loaded before it came. Who first asks for the tokens, and then joins a
//! load that captured the very same ones, may not: they were in force after it came. (What else a load may rest on is in
//! [`inherited`](crate::inherited).)

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

/// What a caller must have in common with a load to join it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Join {
    Key,
    Tokens,
}

#[derive(Debug)]
struct Flights {
    join: Join,
    readers: usize,
    mutators: usize,
}

part! {
    struct Store {
        entry: Option<Entry>,
        tag: Option<Token>,
        /// Loads that are running.
        flying: Vec<Flight>,
        landed: Vec<Landed>,
    }
}

part! {
    struct Entry {
        value: Version,
        tag: Token,
    }
}

part! {
    #[derive(Copy)]
    struct Flight {
        name: Token,
        /// What it captured; nothing, if it may be joined without.
        tag: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Landed {
        name: Token,
        value: Version,
    }
}

part! {
    enum Reader {
        Join { tag: Option<Token> },
        Look { leads: Option<Token> },
        Load { leads: Token, tag: Token },
        Fill { leads: Token, tag: Token, value: Version },
        Land { leads: Token, value: Version, hit: bool },
        Wait { name: Token },
    }
}

part! {
    enum Mutator {
        Commit,
        Remove { version: Version },
    }
}

impl Flights {
    /// Waits for a load, or leads one.
    fn join(&self, tag: Option<Token>, world: &mut World<Store>) -> Reader {
        if let Some(flight) = world.store.flying.iter().find(|flight| flight.tag == tag) {
            return Reader::Wait { name: flight.name };
        }
        let name = world.fresh();
        world.store.flying.push(Flight { name, tag });
        match tag {
            Some(tag) => Reader::Load { leads: name, tag },
            None => Reader::Look { leads: Some(name) },
        }
    }

    fn look(&self, leads: Option<Token>, world: &mut World<Store>) -> Read<Reader> {
        let tag = world.store.tag.unwrap_or_else(|| world.fresh());
        world.store.tag = Some(tag);
        match (&world.store.entry, leads) {
            (Some(entry), Some(leads)) if entry.tag == tag => {
                Read::Goes(Reader::Land { leads, value: entry.value, hit: true })
            }
            (Some(entry), None) if entry.tag == tag => Read::Hit(entry.value),
            (_, Some(leads)) => Read::Goes(Reader::Load { leads, tag }),
            (_, None) => Read::Goes(Reader::Join { tag: Some(tag) }),
        }
    }
}

impl Protocol for Flights {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let first = match self.join {
            Join::Key => Reader::Join { tag: None },
            Join::Tokens => Reader::Look { leads: None },
        };
        Start {
            store: Store { entry: None, tag: None, flying: Vec::new(), landed: Vec::new() },
            readers: vec![first; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: Vec::<Faults<()>>::new(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Join { tag } => Read::Goes(self.join(tag, world)),
            Reader::Look { leads } => self.look(leads, world),
            Reader::Load { leads, tag } => Read::Goes(Reader::Fill { leads, tag, value: world.committed }),
            Reader::Fill { leads, tag, value } => {
                world.store.entry = Some(Entry { value, tag });
                Read::Goes(Reader::Land { leads, value, hit: false })
            }
            Reader::Land { leads, value, hit } => {
                world.store.flying.retain(|flight| flight.name != leads);
                world.store.landed.push(Landed { name: leads, value });
                if hit { Read::Hit(value) } else { Read::Loaded(value) }
            }
            Reader::Wait { name } => match world.store.landed.iter().find(|landed| landed.name == name) {
                Some(landed) => Read::Loaded(landed.value),
                None => Read::Waits,
            },
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Remove { version: world.commit() }),
            Mutator::Remove { version } => {
                world.store.tag = None;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, (): (), _: &mut World<Store>) -> bool {
        false
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn a_load_is_joined_by_who_saw_its_tokens() {
        check::holds(Flights { join: Join::Tokens, readers: 3, mutators: 1 });
    }

    #[test]
    fn control_a_load_that_is_joined_by_its_key_alone() {
        check::breaks(Flights { join: Join::Key, readers: 3, mutators: 1 });
    }
}
