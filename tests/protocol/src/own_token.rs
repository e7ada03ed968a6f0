//! An entry and the token of its key, read one after the other in a process.
//!
//! There an invalidation takes the lock of the key, removes lease and entry, and ends the token. Tokens and leases are read and made under the
//! lock, entries without. So whoever reads the token first has an entry that is no older than it. The other way round, the entry may be gone,
//! and its key have another token, by the time that is read, and an outer load would take the old entry to stand under the new token.

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
enum First {
    Token,
    Entry,
}

#[derive(Debug)]
struct OwnToken {
    first: First,
    readers: usize,
    mutators: usize,
    /// How often an entry is forgotten.
    forgotten: u8,
}

part! {
    struct Store {
        outer: Option<Outer>,
        entry: Option<Version>,
        lease: Option<Token>,
        token: Option<Token>,
        /// A mutator has the lock of the key.
        locked: bool,
    }
}

part! {
    #[derive(Copy)]
    struct Outer {
        value: Version,
        token: Token,
    }
}

part! {
    enum Reader {
        Look,
        CreateToken,
        ReadToken { entry: Option<Option<Version>> },
        ReadEntry { token: Option<Token> },
        Lease { token: Token },
        Load { token: Token, lease: Option<Token> },
        FillInner { token: Token, lease: Option<Token>, value: Version },
        FillOuter { token: Token, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        RemoveEntry { version: Version },
        EndToken { version: Version },
    }
}

impl Reader {
    fn with(token: Option<Token>, entry: Option<Version>) -> Self {
        match (token, entry) {
            (None, _) => Self::CreateToken,
            (Some(token), Some(value)) => Self::FillOuter { token, value },
            (Some(token), None) => Self::Lease { token },
        }
    }

    /// Whether the next step takes the lock of the key.
    fn locks(&self) -> bool {
        matches!(self, Self::CreateToken | Self::ReadToken { .. } | Self::Lease { .. } | Self::FillInner { .. })
    }
}

impl Protocol for OwnToken {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            // An entry that nobody depends on yet.
            store: Store { outer: None, entry: Some(Version(0)), lease: None, token: None, locked: false },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any: vec![()], times: self.forgotten }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        if world.store.locked && reader.locks() {
            return Read::Waits;
        }
        match reader {
            Reader::Look => match world.store.outer {
                Some(outer) if world.store.token == Some(outer.token) => Read::Hit(outer.value),
                _ => Read::Goes(Reader::CreateToken),
            },
            Reader::CreateToken => {
                world.store.token = Some(world.store.token.unwrap_or_else(|| world.fresh()));
                Read::Goes(match self.first {
                    First::Token => Reader::ReadToken { entry: None },
                    First::Entry => Reader::ReadEntry { token: None },
                })
            }
            Reader::ReadToken { entry } => Read::Goes(match entry {
                None => Reader::ReadEntry { token: world.store.token },
                Some(entry) => Reader::with(world.store.token, entry),
            }),
            Reader::ReadEntry { token } => Read::Goes(match self.first {
                First::Token => Reader::with(token, world.store.entry),
                First::Entry => Reader::ReadToken { entry: Some(world.store.entry) },
            }),
            Reader::Lease { token } => {
                let lease = world.store.lease.is_none().then(|| world.fresh());
                world.store.lease = world.store.lease.or(lease);
                Read::Goes(Reader::Load { token, lease })
            }
            Reader::Load { token, lease } => Read::Goes(Reader::FillInner { token, lease, value: world.committed }),
            Reader::FillInner { token, lease, value } => {
                if lease.is_some() && world.store.lease == lease {
                    world.store.entry = Some(value);
                    world.store.lease = None;
                }
                Read::Goes(Reader::FillOuter { token, value })
            }
            Reader::FillOuter { token, value } => {
                world.store.outer = Some(Outer { value, token });
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::RemoveEntry { version: world.commit() }),
            Mutator::RemoveEntry { .. } if world.store.locked => Mutate::Waits,
            Mutator::RemoveEntry { version } => {
                world.store.locked = true;
                world.store.lease = None;
                world.store.entry = None;
                Mutate::Goes(Mutator::EndToken { version })
            }
            Mutator::EndToken { version } => {
                world.store.locked = false;
                world.store.token = None;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        world.store.entry.take().is_some()
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn the_token_of_a_key_is_read_no_later_than_its_entry() {
        check::holds(OwnToken { first: First::Token, readers: 3, mutators: 2, forgotten: 1 });
    }

    #[test]
    fn control_the_token_of_a_key_that_is_read_after_its_entry() {
        check::breaks(OwnToken { first: First::Entry, readers: 3, mutators: 1, forgotten: 0 });
    }
}
