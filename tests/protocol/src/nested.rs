//! Entries that were loaded by way of others.
//!
//! An outer entry depends on the token of the inner key, which exists only when somebody depends on it. A load that creates the token reads the
//! inner entry again, since what it read before may be from before the token. An invalidation of the inner key removes its lease, its entry and
//! its token, in that order if not in one command.

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
struct Nested {
    /// An outer entry depends on the inner key.
    depends: bool,
    /// Who creates the token of the inner key reads the inner entry again.
    reads_again: bool,
    /// What is removed with each command.
    removal: &'static [&'static [Inner]],
    outer_readers: usize,
    inner_readers: usize,
    /// How often anything is forgotten.
    forgotten: u8,
}

/// What there is of the inner key.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Inner {
    Lease,
    Entry,
    Token,
}

part! {
    #[derive(Default)]
    struct Store {
        outer: Option<Outer>,
        entry: Option<Version>,
        lease: Option<Token>,
        token: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Outer {
        value: Version,
        token: Option<Token>,
    }
}

part! {
    enum Reader {
        /// Who asks for the outer entry, and for the inner one to load that.
        LookAtOuter,
        LookAtInner,
        CreateToken { entry: Option<Version> },
        LookAgain { token: Option<Token> },
        FillOuter { token: Option<Token>, value: Version },
        /// Who asks for the inner entry alone.
        LookAlone,
        Lease { nested: Option<Nest> },
        Load { nested: Option<Nest>, lease: Option<Token> },
        FillInner { nested: Option<Nest>, lease: Option<Token>, value: Version },
    }
}

part! {
    /// What a load of the outer entry has captured.
    #[derive(Copy)]
    struct Nest {
        token: Option<Token>,
    }
}

part! {
    enum Mutator {
        Commit,
        Remove { step: u8, version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetOuter,
    Forget(Inner),
}

impl Store {
    fn remove(&mut self, inner: Inner) -> bool {
        match inner {
            Inner::Lease => self.lease.take().is_some(),
            Inner::Entry => self.entry.take().is_some(),
            Inner::Token => self.token.take().is_some(),
        }
    }

    /// The inner entry is there, or has to be loaded.
    fn with_inner(token: Option<Token>, entry: Option<Version>) -> Read<Reader> {
        Read::Goes(match entry {
            Some(value) => Reader::FillOuter { token, value },
            None => Reader::Lease { nested: Some(Nest { token }) },
        })
    }
}

impl Nested {
    fn read_outer(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        let Store { outer, entry, token, .. } = world.store;
        match reader {
            Reader::LookAtOuter => match outer {
                Some(outer) if !self.depends || token.is_some() && outer.token == token => Read::Hit(outer.value),
                _ => Read::Goes(Reader::LookAtInner),
            },
            Reader::LookAtInner if token.is_none() && self.depends => Read::Goes(Reader::CreateToken { entry }),
            Reader::LookAtInner => Store::with_inner(token, entry),
            Reader::CreateToken { entry } => {
                let token = Some(token.unwrap_or_else(|| world.fresh()));
                world.store.token = token;
                if self.reads_again { Read::Goes(Reader::LookAgain { token }) } else { Store::with_inner(token, entry) }
            }
            Reader::LookAgain { token: created } if token != created => Read::Goes(Reader::LookAtInner),
            Reader::LookAgain { token } => Store::with_inner(token, entry),
            Reader::FillOuter { token, value } => {
                world.store.outer = Some(Outer { value, token });
                Read::Loaded(value)
            }
            other => self.read_inner(other, world),
        }
    }

    fn read_inner(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Lease { nested } => {
                let lease = world.store.lease.is_none().then(|| world.fresh());
                world.store.lease = world.store.lease.or(lease);
                Read::Goes(Reader::Load { nested, lease })
            }
            Reader::Load { nested, lease } => Read::Goes(Reader::FillInner { nested, lease, value: world.committed }),
            Reader::FillInner { nested, lease, value } => {
                if lease.is_some() && world.store.lease == lease {
                    world.store.entry = Some(value);
                    world.store.lease = None;
                }
                match nested {
                    Some(Nest { token }) => Read::Goes(Reader::FillOuter { token, value }),
                    None => Read::Loaded(value),
                }
            }
            _ => world.store.entry.map_or(Read::Goes(Reader::Lease { nested: None }), Read::Hit),
        }
    }
}

impl Protocol for Nested {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let mut readers = vec![Reader::LookAtOuter; self.outer_readers];
        readers.extend(vec![Reader::LookAlone; self.inner_readers]);
        let inner = [Inner::Lease, Inner::Entry, Inner::Token].map(Fault::Forget);
        let any = [Fault::ForgetOuter].into_iter().chain(inner).collect();
        let faults = vec![Faults { any, times: self.forgotten }];
        Start { store: Store::default(), readers, mutators: vec![Mutator::Commit], faults }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        self.read_outer(reader, world)
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Remove { step: 0, version: world.commit() }),
            Mutator::Remove { step, version } => {
                for &inner in self.removal[usize::from(step)] {
                    world.store.remove(inner);
                }
                if usize::from(step) + 1 < self.removal.len() {
                    return Mutate::Goes(Mutator::Remove { step: step + 1, version });
                }
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        match fault {
            Fault::ForgetOuter => world.store.outer.take().is_some(),
            Fault::Forget(inner) => world.store.remove(inner),
        }
    }
}

mod tests {
    use super::Inner::Entry;
    use super::Inner::Lease;
    use super::Inner::Token;
    use super::*;
    use crate::check;

    fn nested(removal: &'static [&'static [Inner]]) -> Nested {
        Nested { depends: true, reads_again: true, removal, outer_readers: 2, inner_readers: 1, forgotten: 0 }
    }

    const TOGETHER: &[&[Inner]] = &[&[Lease, Entry, Token]];
    const ONE_BY_ONE: &[&[Inner]] = &[&[Lease], &[Entry], &[Token]];

    #[test]
    fn an_outer_entry_depends_on_the_inner_key() {
        // With two, no outer entry is asked for after another reader has made a new token.
        check::holds(Nested { outer_readers: 3, ..nested(TOGETHER) });
    }

    #[test]
    fn an_outer_entry_depends_on_the_inner_key_of_which_anything_may_be_forgotten() {
        check::holds(Nested { forgotten: 2, ..nested(TOGETHER) });
    }

    #[test]
    fn control_an_outer_entry_that_depends_on_nothing() {
        check::breaks(Nested { depends: false, ..nested(TOGETHER) });
    }

    #[test]
    fn a_lease_goes_before_its_entry_and_that_before_its_token() {
        check::holds(nested(ONE_BY_ONE));
    }

    #[test]
    fn a_lease_goes_before_its_entry_and_that_before_its_token_when_anything_may_be_forgotten() {
        check::holds(Nested { forgotten: 2, ..nested(ONE_BY_ONE) });
    }

    #[test]
    fn a_token_goes_after_lease_and_entry_together() {
        check::holds(nested(&[&[Lease, Entry], &[Token]]));
    }

    #[test]
    fn control_a_token_that_goes_first() {
        check::breaks(nested(&[&[Token], &[Lease], &[Entry]]));
    }

    #[test]
    fn control_a_token_that_goes_before_its_entry() {
        check::breaks(nested(&[&[Lease], &[Token], &[Entry]]));
    }

    #[test]
    fn control_an_inner_entry_that_is_not_read_again_after_its_token_was_created() {
        check::breaks(Nested { reads_again: false, ..nested(TOGETHER) });
    }
}
