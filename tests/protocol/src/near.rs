//! A copy in the process, dropped when the server says that the entry has changed.
//!
//! The reply to a read and the word of a change may overtake each other. So the reader remembers how many such words had come when it asked,
//! and keeps a copy only if none has come since.

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
struct Near {
    /// No copy is kept if a word of a change came since the server was asked.
    guarded: bool,
    readers: usize,
    mutators: usize,
}

part! {
    struct Store {
        entry: Option<Version>,
        copy: Option<Version>,
        /// Words of changes that are on their way.
        sent: u8,
        heard: u8,
    }
}

part! {
    enum Reader {
        Look,
        Ask { heard: u8 },
        Keep { heard: u8, value: Version },
    }
}

part! {
    enum Mutator {
        Commit,
        Delete { version: Version },
    }
}

impl Protocol for Near {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = ();

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { entry: Some(Version(0)), copy: None, sent: 0, heard: 0 },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Commit; self.mutators],
            faults: vec![Faults { any: vec![()], times: ALWAYS }],
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        let store = &mut world.store;
        match reader {
            Reader::Look => match store.copy {
                Some(value) if store.sent == 0 => Read::Hit(value),
                // How old it may be while the word is on its way is the matter of another model.
                Some(_) => Read::Over,
                None => Read::Goes(Reader::Ask { heard: store.heard }),
            },
            Reader::Ask { heard } => {
                let value = *store.entry.get_or_insert(world.committed);
                Read::Goes(Reader::Keep { heard, value })
            }
            Reader::Keep { heard, value } => {
                if !self.guarded || heard == store.heard {
                    store.copy = Some(value);
                }
                Read::Over
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit => Mutate::Goes(Mutator::Delete { version: world.commit() }),
            Mutator::Delete { version } => {
                world.store.entry = None;
                world.store.sent += 1;
                world.apply(version);
                Mutate::Over
            }
        }
    }

    /// The word of a change arrives.
    fn strike(&self, (): (), world: &mut World<Store>) -> bool {
        let store = &mut world.store;
        if store.sent == 0 {
            return false;
        }
        store.sent -= 1;
        store.heard += 1;
        store.copy = None;
        true
    }
}

mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn a_copy_is_kept_if_no_change_was_heard_of_since_the_server_was_asked() {
        check::holds(Near { guarded: true, readers: 3, mutators: 1 });
    }

    #[test]
    fn control_a_copy_that_is_kept_although_a_change_was_heard_of() {
        check::breaks(Near { guarded: false, readers: 3, mutators: 1 });
    }
}
