//! Tags that are known only when the load is over.
//!
//! Their tokens cannot be captured before it. What can is the token of the whole family of such tags: an entry is stored only if that has not
//! changed when the tag's own token is in hand. An invalidation removes the family's first. (The runtime has no such tags.)

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

/// What a mutator removes, and in which order.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Removal {
    /// There is no family.
    TagAlone,
    FamilyThenTag,
    TagThenFamily,
}

#[derive(Debug)]
struct Dynamic {
    removal: Removal,
    readers: usize,
    mutators: usize,
    /// How often anything is forgotten.
    forgotten: u8,
}

part! {
    struct Store {
        entry: Option<Entry>,
        tag: Option<Token>,
        family: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Entry {
        value: Version,
        tag: Token,
    }
}

part! {
    enum Reader {
        Look,
        /// The entry says what its tag is.
        Compare { entry: Option<Entry> },
        CaptureFamily,
        Load { family: Option<Token> },
        CaptureTag { family: Option<Token>, value: Version },
        CompareFamily { family: Token, value: Version, tag: Token },
        Fill { value: Version, tag: Token },
    }
}

part! {
    enum Mutator {
        Commit,
        RemoveFirst { version: Version },
        RemoveSecond { version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Forget {
    Entry,
    Tag,
    Family,
}

fn captured(world: &mut World<Store>, register: fn(&mut Store) -> &mut Option<Token>) -> Token {
    let fresh = world.fresh();
    *register(&mut world.store).get_or_insert(fresh)
}

impl Protocol for Dynamic {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Forget;

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let any = vec![Forget::Entry, Forget::Tag, Forget::Family];
        Start {
            store: Store { entry: None, tag: None, family: None },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any, times: self.forgotten }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Look => Read::Goes(Reader::Compare { entry: world.store.entry }),
            Reader::Compare { entry: Some(entry) } if world.store.tag == Some(entry.tag) => Read::Hit(entry.value),
            Reader::Compare { .. } if self.removal == Removal::TagAlone => Read::Goes(Reader::Load { family: None }),
            Reader::Compare { .. } => Read::Goes(Reader::CaptureFamily),
            Reader::CaptureFamily => {
                let family = Some(captured(world, |store| &mut store.family));
                Read::Goes(Reader::Load { family })
            }
            Reader::Load { family } => Read::Goes(Reader::CaptureTag { family, value: world.committed }),
            Reader::CaptureTag { family, value } => {
                let tag = captured(world, |store| &mut store.tag);
                Read::Goes(match family {
                    Some(family) => Reader::CompareFamily { family, value, tag },
                    None => Reader::Fill { value, tag },
                })
            }
            Reader::CompareFamily { family, value, tag } if world.store.family == Some(family) => {
                Read::Goes(Reader::Fill { value, tag })
            }
            Reader::CompareFamily { value, .. } => Read::Loaded(value),
            Reader::Fill { value, tag } => {
                world.store.entry = Some(Entry { value, tag });
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        let (version, tag) = match mutator {
            Mutator::Commit => return Mutate::Goes(Mutator::RemoveFirst { version: world.commit() }),
            Mutator::RemoveFirst { version } => (version, self.removal != Removal::FamilyThenTag),
            Mutator::RemoveSecond { version } => (version, self.removal == Removal::FamilyThenTag),
        };
        if tag {
            world.store.tag = None;
        } else {
            world.store.family = None;
        }
        if matches!(mutator, Mutator::RemoveFirst { .. }) && self.removal != Removal::TagAlone {
            return Mutate::Goes(Mutator::RemoveSecond { version });
        }
        world.apply(version);
        Mutate::Over
    }

    fn strike(&self, forget: Forget, world: &mut World<Store>) -> bool {
        match forget {
            Forget::Entry => world.store.entry.take().is_some(),
            Forget::Tag => world.store.tag.take().is_some(),
            Forget::Family => world.store.family.take().is_some(),
        }
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn control_a_token_captured_when_the_load_has_named_its_tag() {
        check::breaks(Dynamic { removal: Removal::TagAlone, readers: 2, mutators: 1, forgotten: 0 });
    }

    #[test]
    fn a_family_is_captured_before_the_load_and_removed_before_the_tag() {
        check::holds(Dynamic { removal: Removal::FamilyThenTag, readers: 3, mutators: 1, forgotten: 1 });
    }

    #[test]
    fn control_a_tag_that_is_removed_before_its_family() {
        check::breaks(Dynamic { removal: Removal::TagThenFamily, readers: 2, mutators: 1, forgotten: 0 });
    }
}
