//! Tags: an entry carries the tokens that its tags had before it was loaded, and counts while they are still the tags' tokens.
//!
//! It all rests on tokens that never come back. Counters come back when they are forgotten, a missing one that stands for itself comes back by
//! being forgotten again, one created with a random value comes back when the command that created it is delivered twice, and any comes back
//! with the replica that had not heard of its removal. So an absent token is created at random and removed to invalidate, no request to create
//! one is repeated, and a token counts only together with the incarnation of the server that said it.

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

/// What stands for the version of a tag.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Scheme {
    /// A random token, created by whoever finds none.
    Random,
    /// A random token; that there is none is a version too.
    RandomOrAbsent,
    /// A number, which is 0 while there is none.
    CounterFromAbsent,
    /// A number, set to 1 by whoever finds none.
    CounterFromOne,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Invalidate {
    Delete,
    Replace,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Capture {
    BeforeLoad,
    AfterLoad,
}

/// By what a server is told from the one that it was.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Incarnation {
    Ignored,
    /// By the process, which may become the master once more.
    OfProcess,
    OfPromotion,
}

#[derive(Clone, Debug)]
struct Tags {
    law: Law,
    scheme: Scheme,
    invalidate: Invalidate,
    capture: Capture,
    incarnation: Incarnation,
    /// Entry and tokens are asked for one after the other.
    split: bool,
    readers: usize,
    /// The tag that each mutator invalidates.
    mutators: Vec<usize>,
    faults: Vec<Faults<Fault>>,
}

part! {
    struct Store {
        server: Server,
        /// What will be there after a failover.
        replica: Server,
        incarnation: u8,
        /// What may be delivered once more.
        sent: Vec<Sent>,
    }
}

part! {
    struct Server {
        entry: Option<Entry>,
        tags: Vec<Option<Stamp>>,
    }
}

part! {
    struct Entry {
        value: Version,
        tags: Vec<Seen>,
    }
}

part! {
    #[derive(Copy)]
    enum Stamp {
        Random(token: Token),
        Count(count: u8),
        Absent,
    }
}

part! {
    #[derive(Copy)]
    struct Seen {
        incarnation: u8,
        stamp: Stamp,
    }
}

part! {
    #[derive(Copy)]
    enum Sent {
        Create(stamp: Stamp),
        Replace(stamp: Stamp),
        Delete,
    }
}

part! {
    enum Reader {
        Look,
        /// Asks for the tag that comes next.
        Ask { entry: Option<Entry>, tags: Vec<Option<Seen>> },
        Create { tags: Vec<Option<Seen>> },
        Load { tags: Vec<Option<Seen>> },
        Fill { tags: Vec<Option<Seen>>, value: Version },
    }
}

part! {
    enum Mutator {
        Commit { tag: usize },
        Invalidate { tag: usize, version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetEntry,
    ForgetTag(usize),
    /// The command with this number, for the first tag, is delivered again.
    Repeat(usize),
    Replicate,
    Failover,
}

impl Tags {
    fn observe(&self, store: &Store, tag: usize) -> Option<Seen> {
        let absent = match self.scheme {
            Scheme::CounterFromAbsent => Some(Stamp::Count(0)),
            Scheme::RandomOrAbsent => Some(Stamp::Absent),
            Scheme::Random | Scheme::CounterFromOne => None,
        };
        let stamp = store.server.tags[tag].or(absent)?;
        let incarnation = if self.incarnation == Incarnation::Ignored { 0 } else { store.incarnation };
        Some(Seen { incarnation, stamp })
    }

    fn tags(&self) -> usize {
        self.mutators.iter().max().map_or(1, |last| last + 1)
    }

    fn repeats(&self) -> bool {
        self.faults.iter().any(|faults| faults.any.contains(&Fault::Repeat(0)))
    }

    /// A hit, or what comes next.
    fn compare(&self, entry: Option<Entry>, tags: Vec<Option<Seen>>) -> Read<Reader> {
        match entry {
            Some(entry) if entry.tags.iter().copied().map(Some).eq(tags.iter().copied()) => Read::Hit(entry.value),
            _ if tags.contains(&None) => Read::Goes(Reader::Create { tags }),
            _ => Read::Goes(Reader::Load { tags }),
        }
    }

    fn create(&self, tag: usize, world: &mut World<Store>) -> Option<Seen> {
        if world.store.server.tags[tag].is_none() && self.observe(&world.store, tag).is_none() {
            let stamp = match self.scheme {
                Scheme::CounterFromOne => Stamp::Count(1),
                _ => Stamp::Random(world.fresh()),
            };
            world.store.server.tags[tag] = Some(stamp);
            self.send(Sent::Create(stamp), world);
        }
        self.observe(&world.store, tag)
    }

    fn send(&self, sent: Sent, world: &mut World<Store>) {
        if self.repeats() {
            world.store.sent.push(sent);
        }
    }

    fn invalidate(&self, tag: usize, world: &mut World<Store>) {
        let stamp = match (self.invalidate, world.store.server.tags[tag]) {
            (Invalidate::Delete, _) => None,
            (Invalidate::Replace, Some(Stamp::Count(count))) => Some(Stamp::Count(count + 1)),
            (Invalidate::Replace, None) if self.scheme == Scheme::CounterFromAbsent => Some(Stamp::Count(1)),
            (Invalidate::Replace, None) if self.scheme == Scheme::CounterFromOne => Some(Stamp::Count(1)),
            (Invalidate::Replace, _) => Some(Stamp::Random(world.fresh())),
        };
        world.store.server.tags[tag] = stamp;
        self.send(stamp.map_or(Sent::Delete, Sent::Replace), world);
    }
}

impl Protocol for Tags {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        self.law
    }

    fn start(&self) -> Start<Self> {
        let server = Server { entry: None, tags: vec![None; self.tags()] };
        Start {
            store: Store { replica: server.clone(), server, incarnation: 0, sent: Vec::new() },
            readers: vec![Reader::Look; self.readers],
            mutators: self.mutators.iter().map(|&tag| Mutator::Commit { tag }).collect(),
            faults: self.faults.clone(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        let all = 0..self.tags();
        match reader {
            Reader::Look if self.split => {
                Read::Goes(Reader::Ask { entry: world.store.server.entry.clone(), tags: Vec::new() })
            }
            Reader::Look => {
                let tags = all.map(|tag| self.observe(&world.store, tag)).collect();
                self.compare(world.store.server.entry.clone(), tags)
            }
            Reader::Ask { entry, mut tags } => {
                tags.push(self.observe(&world.store, tags.len()));
                if tags.len() == all.len() {
                    self.compare(entry, tags)
                } else {
                    Read::Goes(Reader::Ask { entry, tags })
                }
            }
            Reader::Create { mut tags } => {
                for tag in all.filter(|&tag| tags[tag].is_none()).collect::<Vec<_>>() {
                    tags[tag] = self.create(tag, world);
                }
                Read::Goes(Reader::Load { tags })
            }
            Reader::Load { tags } => Read::Goes(Reader::Fill { tags, value: world.committed }),
            Reader::Fill { mut tags, value } => {
                if self.capture == Capture::AfterLoad {
                    tags = all.map(|tag| self.create(tag, world)).collect();
                }
                world.store.server.entry = Some(Entry { value, tags: tags.into_iter().flatten().collect() });
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Commit { tag } => Mutate::Goes(Mutator::Invalidate { tag, version: world.commit() }),
            Mutator::Invalidate { tag, version } => {
                self.invalidate(tag, world);
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        let store = &mut world.store;
        match fault {
            Fault::ForgetEntry => store.server.entry.take().is_some(),
            Fault::ForgetTag(tag) => store.server.tags[tag].take().is_some(),
            Fault::Repeat(number) => {
                let before = store.server.tags[0];
                match store.sent.get(number) {
                    Some(Sent::Create(stamp)) => store.server.tags[0] = before.or(Some(*stamp)),
                    Some(Sent::Replace(stamp)) => store.server.tags[0] = Some(*stamp),
                    Some(Sent::Delete) => store.server.tags[0] = None,
                    None => {}
                }
                store.server.tags[0] != before
            }
            Fault::Replicate => {
                let behind = store.replica != store.server;
                store.replica = store.server.clone();
                behind
            }
            Fault::Failover => {
                store.server = store.replica.clone();
                let again = self.incarnation == Incarnation::OfProcess && store.incarnation == 1;
                store.incarnation = if again { 0 } else { store.incarnation + 1 };
                true
            }
        }
    }
}

mod tests {
    use super::*;
    use crate::check;

    /// What the runtime does: random tokens, captured before the load and removed to invalidate.
    fn tags(faults: &[Faults<Fault>]) -> Tags {
        Tags {
            law: Law::NothingStaleSurvives,
            scheme: Scheme::Random,
            invalidate: Invalidate::Delete,
            capture: Capture::BeforeLoad,
            incarnation: Incarnation::Ignored,
            split: false,
            readers: 3,
            mutators: vec![0, 0],
            faults: faults.to_vec(),
        }
    }

    fn forgotten(any: &[Fault], times: u8) -> Faults<Fault> {
        Faults { any: any.to_vec(), times }
    }

    fn token_forgotten(times: u8) -> Faults<Fault> {
        forgotten(&[Fault::ForgetTag(0)], times)
    }

    fn repeated(times: u8) -> Faults<Fault> {
        Faults { any: (0..4).map(Fault::Repeat).collect(), times }
    }

    fn failovers(times: u8) -> [Faults<Fault>; 2] {
        [Faults { any: vec![Fault::Replicate], times: ALWAYS }, Faults { any: vec![Fault::Failover], times }]
    }

    #[test]
    fn a_token_is_random_and_may_be_forgotten() {
        check::holds(tags(&[forgotten(&[Fault::ForgetEntry, Fault::ForgetTag(0)], 2)]));
    }

    #[test]
    fn a_token_may_be_replaced_to_invalidate() {
        let faults = [forgotten(&[Fault::ForgetEntry, Fault::ForgetTag(0)], 2)];
        check::holds(Tags { invalidate: Invalidate::Replace, ..tags(&faults) });
    }

    #[test]
    fn counters_hold_while_they_are_kept() {
        check::holds(Tags { scheme: Scheme::CounterFromAbsent, invalidate: Invalidate::Replace, ..tags(&[]) });
    }

    #[test]
    fn control_a_counter_that_is_forgotten() {
        let faults = [token_forgotten(2)];
        check::breaks(Tags { scheme: Scheme::CounterFromAbsent, invalidate: Invalidate::Replace, ..tags(&faults) });
    }

    #[test]
    fn control_a_counter_that_is_forgotten_and_created() {
        let faults = [token_forgotten(2)];
        check::breaks(Tags { scheme: Scheme::CounterFromOne, invalidate: Invalidate::Replace, ..tags(&faults) });
    }

    #[test]
    fn control_an_absent_token_that_stands_for_itself() {
        let faults = [token_forgotten(2)];
        check::breaks(Tags { scheme: Scheme::RandomOrAbsent, invalidate: Invalidate::Replace, ..tags(&faults) });
    }

    #[test]
    fn control_tokens_captured_after_the_load() {
        check::breaks(Tags { capture: Capture::AfterLoad, mutators: vec![0], ..tags(&[]) });
    }

    #[test]
    fn tags_of_several_slots_may_be_read_one_after_the_other() {
        let faults = [forgotten(&[Fault::ForgetEntry, Fault::ForgetTag(0), Fault::ForgetTag(1)], 1)];
        check::holds(Tags { split: true, readers: 2, mutators: vec![0, 1], ..tags(&faults) });
    }

    #[test]
    fn an_entry_may_be_read_before_its_tag() {
        check::holds(Tags { split: true, ..tags(&[token_forgotten(1)]) });
    }

    #[test]
    fn control_a_creation_that_is_delivered_twice() {
        check::breaks(tags(&[repeated(1)]));
    }

    #[test]
    fn control_a_replacement_that_is_delivered_twice() {
        check::breaks(Tags { invalidate: Invalidate::Replace, ..tags(&[repeated(1)]) });
    }

    #[test]
    fn a_removal_may_be_delivered_twice() {
        check::holds(tags(&[token_forgotten(2)]));
    }

    #[test]
    fn control_a_removal_that_a_failover_loses() {
        check::breaks(Tags { mutators: vec![0], ..tags(&failovers(1)) });
    }

    #[test]
    fn a_token_counts_only_with_its_server() {
        check::holds(Tags { incarnation: Incarnation::OfPromotion, mutators: vec![0], ..tags(&failovers(1)) });
    }

    #[test]
    fn a_token_counts_only_with_its_server_and_may_be_forgotten() {
        let [replicate, failover] = failovers(1);
        let faults = [replicate, failover, token_forgotten(2)];
        check::holds(Tags { incarnation: Incarnation::OfPromotion, readers: 2, ..tags(&faults) });
    }

    #[test]
    fn control_a_server_that_is_the_master_once_more() {
        let incarnation = Incarnation::OfProcess;
        check::breaks(Tags { incarnation, readers: 2, mutators: vec![0], ..tags(&failovers(2)) });
    }

    #[test]
    fn a_server_is_another_after_each_promotion() {
        let incarnation = Incarnation::OfPromotion;
        check::holds(Tags { incarnation, readers: 2, mutators: vec![0], ..tags(&failovers(2)) });
    }

    #[test]
    fn control_reads_that_never_go_back_by_removing_after_the_commit() {
        check::breaks(Tags { law: Law::ReadsNeverGoBack, readers: 2, mutators: vec![0], ..tags(&[]) });
    }
}
