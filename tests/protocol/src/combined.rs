//! All of it at once: a lease and tokens of tags, the entry on one server and its tag on another.
//!
//! A key is invalidated on the one server and a tag on the other, either may fail over to a replica that has not heard of it, and an entry
//! counts only if neither has since it was loaded.

use crate::system::ALWAYS;
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

#[derive(Clone, Debug)]
struct Combined {
    /// An entry counts only on the incarnation of the server that it was stored on.
    qualified: bool,
    readers: usize,
    mutators: Vec<Mutator>,
    faults: Vec<Faults<Fault>>,
}

part! {
    struct Store {
        keys: Keys,
        keys_replica: Keys,
        keys_incarnation: u8,
        tags: Tags,
        tags_replica: Tags,
        tags_incarnation: u8,
    }
}

part! {
    #[derive(Default)]
    struct Keys {
        entry: Option<Entry>,
        lease: Option<Token>,
    }
}

part! {
    #[derive(Copy, Default)]
    struct Tags {
        token: Option<Token>,
    }
}

part! {
    #[derive(Copy)]
    struct Entry {
        value: Version,
        incarnation: u8,
        tag: Stamp,
    }
}

part! {
    #[derive(Copy)]
    struct Stamp {
        incarnation: u8,
        token: Token,
    }
}

part! {
    enum Reader {
        LookAtKey,
        LookAtTag { entry: Option<Entry>, incarnation: u8 },
        CreateTag,
        Lease { tag: Stamp },
        Load { tag: Stamp, lease: Option<Token>, incarnation: u8 },
        Fill { tag: Stamp, lease: Option<Token>, incarnation: u8, value: Version },
    }
}

part! {
    enum Mutator {
        CommitKey,
        CommitTag,
        InvalidateKey { version: Version },
        InvalidateTag { version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetEntry,
    ForgetLease,
    ForgetTag,
    ReplicateKeys,
    ReplicateTags,
    FailOverKeys,
    FailOverTags,
}

impl Combined {
    fn incarnation_of_keys(&self, store: &Store) -> u8 {
        if self.qualified { store.keys_incarnation } else { 0 }
    }
}

fn stamp(store: &Store) -> Option<Stamp> {
    store.tags.token.map(|token| Stamp { incarnation: store.tags_incarnation, token })
}

impl Protocol for Combined {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        Law::NothingStaleSurvives
    }

    fn start(&self) -> Start<Self> {
        let (keys, tags) = (Keys::default(), Tags::default());
        let (keys_replica, tags_replica) = (keys.clone(), tags);
        Start {
            store: Store { keys, keys_replica, keys_incarnation: 0, tags, tags_replica, tags_incarnation: 0 },
            readers: vec![Reader::LookAtKey; self.readers],
            mutators: self.mutators.clone(),
            faults: self.faults.clone(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::LookAtKey => {
                let incarnation = self.incarnation_of_keys(&world.store);
                Read::Goes(Reader::LookAtTag { entry: world.store.keys.entry, incarnation })
            }
            Reader::LookAtTag { entry, incarnation } => match (stamp(&world.store), entry) {
                (None, _) => Read::Goes(Reader::CreateTag),
                (Some(tag), Some(entry)) if entry.tag == tag && entry.incarnation == incarnation => {
                    Read::Hit(entry.value)
                }
                (Some(tag), _) => Read::Goes(Reader::Lease { tag }),
            },
            Reader::CreateTag => {
                let token = world.store.tags.token.unwrap_or_else(|| world.fresh());
                world.store.tags.token = Some(token);
                Read::Goes(Reader::Lease { tag: Stamp { incarnation: world.store.tags_incarnation, token } })
            }
            Reader::Lease { tag } => {
                let incarnation = self.incarnation_of_keys(&world.store);
                let lease = world.store.keys.lease.is_none().then(|| world.fresh());
                world.store.keys.lease = world.store.keys.lease.or(lease);
                Read::Goes(Reader::Load { tag, lease, incarnation })
            }
            Reader::Load { tag, lease, incarnation } => {
                Read::Goes(Reader::Fill { tag, lease, incarnation, value: world.committed })
            }
            Reader::Fill { tag, lease, incarnation, value } => {
                let keys = &mut world.store.keys;
                if lease.is_some() && keys.lease == lease {
                    keys.entry = Some(Entry { value, incarnation, tag });
                    keys.lease = None;
                }
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::CommitKey => Mutate::Goes(Mutator::InvalidateKey { version: world.commit() }),
            Mutator::CommitTag => Mutate::Goes(Mutator::InvalidateTag { version: world.commit() }),
            Mutator::InvalidateKey { version } => {
                world.store.keys = Keys::default();
                world.apply(version);
                Mutate::Over
            }
            Mutator::InvalidateTag { version } => {
                world.store.tags = Tags::default();
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        let store = &mut world.store;
        match fault {
            Fault::ForgetEntry => store.keys.entry.take().is_some(),
            Fault::ForgetLease => store.keys.lease.take().is_some(),
            Fault::ForgetTag => store.tags.token.take().is_some(),
            Fault::ReplicateKeys => {
                let before = std::mem::replace(&mut store.keys_replica, store.keys.clone());
                before != store.keys_replica
            }
            Fault::ReplicateTags => {
                let before = std::mem::replace(&mut store.tags_replica, store.tags);
                before != store.tags_replica
            }
            Fault::FailOverKeys => {
                store.keys = store.keys_replica.clone();
                store.keys_incarnation += 1;
                true
            }
            Fault::FailOverTags => {
                store.tags = store.tags_replica;
                store.tags_incarnation += 1;
                true
            }
        }
    }
}

mod tests {
    use super::*;
    use crate::check;

    fn combined(mutators: &[Mutator], faults: &[(Fault, u8)]) -> Combined {
        let faults = faults.iter().map(|&(fault, times)| Faults { any: vec![fault], times }).collect();
        Combined { qualified: true, readers: 2, mutators: mutators.to_vec(), faults }
    }

    const BOTH: [Mutator; 2] = [Mutator::CommitKey, Mutator::CommitTag];
    const KEYS_FAIL_OVER: [(Fault, u8); 2] = [(Fault::ReplicateKeys, ALWAYS), (Fault::FailOverKeys, 1)];
    const TAGS_FAIL_OVER: [(Fault, u8); 2] = [(Fault::ReplicateTags, ALWAYS), (Fault::FailOverTags, 1)];

    #[test]
    fn nothing_stale_survives_the_invalidation_of_its_key_or_its_tag() {
        check::holds(Combined { readers: 3, ..combined(&BOTH, &[]) });
    }

    #[test]
    fn nothing_stale_survives_when_anything_is_forgotten() {
        let any = vec![Fault::ForgetEntry, Fault::ForgetLease, Fault::ForgetTag];
        check::holds(Combined { faults: vec![Faults { any, times: 2 }], ..combined(&BOTH, &[]) });
    }

    #[test]
    fn an_entry_counts_only_on_its_server() {
        check::holds(combined(&[Mutator::CommitKey], &KEYS_FAIL_OVER));
    }

    #[test]
    fn control_an_entry_that_comes_back_with_a_failover() {
        let combined = combined(&[Mutator::CommitKey], &KEYS_FAIL_OVER);
        check::breaks(Combined { qualified: false, readers: 3, ..combined });
    }

    #[test]
    fn a_tag_counts_only_with_its_server() {
        check::holds(combined(&[Mutator::CommitTag], &TAGS_FAIL_OVER));
    }

    #[test]
    fn nothing_stale_survives_failovers_of_both_servers() {
        check::holds(combined(&BOTH, &[KEYS_FAIL_OVER, TAGS_FAIL_OVER].concat()));
    }
}
