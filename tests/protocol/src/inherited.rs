//! Loads that read other entries, and who may join them.
//!
//! A load holds a lease, and who comes later and sees that very lease in the store may join it: an invalidation of the key would have removed
//! it. But a load that read another entry rests on that one too, whose invalidation leaves this lease where it is. So such a load is shared
//! only with those who came before it began. Whoever joined it by its lease looks again when it has been stored.

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
struct Inherited {
    /// The load reads another entry, and that is the one that is invalidated.
    nested: bool,
    /// A load that read another entry is not shared by what was seen of its own lease.
    only_with_those_before: bool,
    readers: usize,
    mutators: usize,
}

part! {
    struct Store {
        outer: Option<Outer>,
        lease: Option<Token>,
        inner: Option<Version>,
        /// The token of the inner key, on which outer entries depend.
        token: Option<Token>,
        /// How many loads have begun in this process.
        begun: u8,
        /// The load that callers find here.
        flight: Option<Flight>,
        landed: Vec<Landed>,
    }
}

part! {
    struct Outer {
        value: Version,
        inner: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Flight {
        name: Token,
        /// Which of the loads that have begun it is.
        since: Option<u8>,
        lease: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Landed {
        name: Token,
        value: Version,
        stored: bool,
    }
}

part! {
    #[derive(Copy)]
    struct Right {
        lease: Option<Token>,
        inner: Option<Token>,
    }
}

part! {
    enum Reader {
        Come,
        Look { came: u8 },
        Enter { came: u8, lease: Option<Token> },
        Acquire { name: Token },
        Begin { name: Token, right: Right },
        Load { name: Token, right: Right },
        Land { name: Token, right: Right, value: Version },
        Store { name: Token, right: Right, value: Version },
        /// Joined by the lease that it saw, or because it came before.
        Wait { name: Token, came: u8, saw: bool },
    }
}

part! {
    enum Mutator {
        Commit,
        Invalidate { version: Version },
    }
}

impl Inherited {
    fn look(&self, came: u8, store: &Store) -> Read<Reader> {
        match &store.outer {
            Some(outer) if !self.nested || outer.inner == store.token => Read::Hit(outer.value),
            _ => Read::Goes(Reader::Enter { came, lease: store.lease }),
        }
    }

    /// Joins the load that is here if it is fresh enough, and leads another otherwise.
    fn enter(&self, came: u8, lease: Option<Token>, world: &mut World<Store>) -> Reader {
        match world.store.flight {
            Some(flight) if flight.since.is_none_or(|since| since > came) => {
                Reader::Wait { name: flight.name, came, saw: false }
            }
            Some(flight) if lease.is_some() && flight.lease == lease => {
                Reader::Wait { name: flight.name, came, saw: true }
            }
            _ => {
                let name = world.fresh();
                world.store.flight = Some(Flight { name, since: None, lease: None });
                Reader::Acquire { name }
            }
        }
    }

    fn acquire(&self, world: &mut World<Store>) -> Right {
        let lease = world.store.lease.is_none().then(|| world.fresh());
        world.store.lease = world.store.lease.or(lease);
        let inner = self.nested.then(|| world.store.token.unwrap_or_else(|| world.fresh()));
        world.store.token = inner;
        Right { lease, inner }
    }

    /// What the load returns, by way of the inner entry if there is one.
    fn load(&self, world: &mut World<Store>) -> Version {
        if !self.nested {
            return world.committed;
        }
        let value = world.store.inner.unwrap_or(world.committed);
        world.store.inner = Some(value);
        value
    }

    fn wait(&self, name: Token, came: u8, saw: bool, store: &Store) -> Read<Reader> {
        let looks_again = saw && self.nested && self.only_with_those_before;
        match store.landed.iter().find(|landed| landed.name == name) {
            Some(landed) if !looks_again => Read::Loaded(landed.value),
            Some(landed) if landed.stored => Read::Goes(Reader::Look { came }),
            _ => Read::Waits,
        }
    }
}

impl Store {
    fn begin(&mut self, name: Token, right: Right) {
        self.begun += 1;
        let since = Some(self.begun);
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.name == name) {
            *flight = Flight { name, since, lease: right.lease };
        }
    }

    fn fill(&mut self, name: Token, right: Right, value: Version) {
        if right.lease.is_some() && self.lease == right.lease {
            self.outer = Some(Outer { value, inner: right.inner });
            self.lease = None;
        }
        self.flight = self.flight.filter(|flight| flight.name != name);
        for landed in self.landed.iter_mut().filter(|landed| landed.name == name) {
            landed.stored = true;
        }
    }
}

impl Protocol for Inherited {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let landed = Vec::new();
        Start {
            store: Store { outer: None, lease: None, inner: None, token: None, begun: 0, flight: None, landed },
            readers: vec![Reader::Come; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: Vec::<Faults<()>>::new(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Come => Read::Goes(Reader::Look { came: world.store.begun }),
            Reader::Look { came } => self.look(came, &world.store),
            Reader::Enter { came, lease } => Read::Goes(self.enter(came, lease, world)),
            Reader::Acquire { name } => Read::Goes(Reader::Begin { name, right: self.acquire(world) }),
            Reader::Begin { name, right } => {
                world.store.begin(name, right);
                Read::Goes(Reader::Load { name, right })
            }
            Reader::Load { name, right } => Read::Goes(Reader::Land { name, right, value: self.load(world) }),
            Reader::Land { name, right, value } => {
                world.store.landed.push(Landed { name, value, stored: false });
                Read::Goes(Reader::Store { name, right, value })
            }
            Reader::Store { name, right, value } => {
                world.store.fill(name, right, value);
                Read::Loaded(value)
            }
            Reader::Wait { name, came, saw } => self.wait(name, came, saw, &world.store),
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Invalidate { version: world.commit() }),
            Mutator::Invalidate { version } => {
                if self.nested {
                    (world.store.inner, world.store.token) = (None, None);
                } else {
                    (world.store.outer, world.store.lease) = (None, None);
                }
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

    fn inherited(nested: bool, only_with_those_before: bool) -> Inherited {
        Inherited { nested, only_with_those_before, readers: 3, mutators: 1 }
    }

    #[test]
    fn a_load_that_rests_on_nothing_else_is_joined_by_who_saw_its_lease() {
        check::holds(inherited(false, true));
    }

    #[test]
    fn a_load_that_read_another_entry_is_shared_with_those_who_came_before_it() {
        check::holds(inherited(true, true));
    }

    #[test]
    fn control_a_load_that_read_another_entry_and_is_joined_by_who_saw_its_lease() {
        check::breaks(inherited(true, false));
    }
}
