//! Loads that say which version of the row they read, from a replica that lags behind by any time.
//!
//! An invalidation leaves the version it was for, and nothing older is stored. Then the cache is never behind the replica. (The runtime has no
//! such loads.)

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
struct Versioned {
    /// What is older than the last invalidation is not stored.
    least_kept: bool,
    readers: usize,
    mutators: usize,
}

part! {
    struct Store {
        entry: Option<Version>,
        least: Version,
        replica: Version,
    }
}

part! {
    enum Reader {
        Look,
        Load,
        Fill { value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Invalidate { version: Version },
    }
}

impl Protocol for Versioned {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { entry: None, least: Version(0), replica: Version(0) },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any: vec![()], times: ALWAYS }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        let store = &mut world.store;
        match reader {
            Reader::Look => store.entry.map_or(Read::Goes(Reader::Load), Read::Hit),
            Reader::Load => Read::Goes(Reader::Fill { value: store.replica }),
            Reader::Fill { value } => {
                let too_old = self.least_kept && value < store.least;
                if !too_old && store.entry.is_none_or(|stored| stored <= value) {
                    store.entry = Some(value);
                }
                Read::Over
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Invalidate { version: world.commit() }),
            Mutator::Invalidate { version } => {
                world.store.least = world.store.least.max(version);
                world.store.entry = None;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    /// The replica hears of one more version.
    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        world.store.replica.0 += 1;
        world.store.replica <= world.committed
    }

    fn source(&self, world: &World<Store>) -> Version {
        world.store.replica
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn nothing_older_than_an_invalidation_is_stored() {
        check::holds(Versioned { least_kept: true, readers: 3, mutators: 2 });
    }

    #[test]
    fn control_an_old_row_that_is_stored_after_an_invalidation() {
        check::breaks(Versioned { least_kept: false, readers: 3, mutators: 1 });
    }
}
