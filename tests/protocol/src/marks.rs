//! Mutations in two phases: a mark in the place of the tag's token before the commit, and its removal after.
//!
//! Nothing that was stored before the mark counts under it or after it. If nothing is stored under it either, reads never go back. If entries
//! may be stored under it, with the mark for a token, nothing stale survives, as long as a mark never comes back: its value is new whenever
//! somebody joins or leaves.

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

/// How a mutation ends its mark.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Clearing {
    Delete,
    /// Only its own mark.
    DeleteOwn,
    /// Anything but the mark of another.
    DeleteUnlessAnothers,
    /// A mark lists all who mutate, and goes with the last.
    List,
    /// The same, and has a new value each time.
    ListAnew,
}

#[derive(Clone, Debug)]
struct Marks {
    law: Law,
    clearing: Clearing,
    fills_under_marks: bool,
    readers: usize,
    mutators: u8,
    /// Mutators may be killed after their commit.
    killed: bool,
    faults: Vec<Faults<Fault>>,
}

part! {
    struct Store {
        entry: Option<Entry>,
        tag: Option<Tag>,
        /// What a mutator committed that was killed.
        orphaned: Option<Version>,
    }
}

part! {
    #[derive(Copy)]
    enum Tag {
        Plain(token: Token),
        /// A bit for each who mutates.
        Mark { pending: u8, value: Option<Token> },
    }
}

part! {
    struct Entry {
        value: Version,
        tag: Tag,
    }
}

part! {
    enum Reader {
        Look,
        Create,
        Load { tag: Option<Tag> },
        Fill { tag: Option<Tag>, value: Version },
    }
}

part! {
    enum Mutator {
        Mark { me: u8 },
        Commit { me: u8 },
        Clear { me: u8, version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetEntry,
    ForgetTag,
    /// A mark expires.
    Expire,
    /// It does so only if it lives for longer than any mutation that is not killed.
    ExpireOrphaned,
}

impl Marks {
    /// The tag if an entry may be stored under it.
    fn usable(&self, tag: Tag) -> Option<Tag> {
        (self.fills_under_marks || matches!(tag, Tag::Plain(_))).then_some(tag)
    }

    fn lists(&self) -> bool {
        matches!(self.clearing, Clearing::List | Clearing::ListAnew)
    }

    fn mark(&self, pending: u8, world: &mut World<Store>) -> Option<Tag> {
        let value = (self.clearing == Clearing::ListAnew).then(|| world.fresh());
        (pending != 0).then_some(Tag::Mark { pending, value })
    }

    fn cleared(&self, me: u8, world: &mut World<Store>) -> Option<Tag> {
        let tag = world.store.tag;
        let pending = pending(tag);
        match self.clearing {
            Clearing::Delete => None,
            Clearing::DeleteOwn if pending == me => None,
            Clearing::DeleteUnlessAnothers if pending & !me == 0 => None,
            Clearing::DeleteOwn | Clearing::DeleteUnlessAnothers => tag,
            Clearing::List | Clearing::ListAnew => self.mark(pending & !me, world),
        }
    }
}

fn pending(tag: Option<Tag>) -> u8 {
    match tag {
        Some(Tag::Mark { pending, .. }) => pending,
        Some(Tag::Plain(_)) | None => 0,
    }
}

impl Protocol for Marks {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        self.law
    }

    fn start(&self) -> Start<Self> {
        Start {
            store: Store { entry: None, tag: None, orphaned: None },
            readers: vec![Reader::Look; self.readers],
            mutators: (0..self.mutators).map(|number| Mutator::Mark { me: 1 << number }).collect(),
            faults: self.faults.clone(),
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Look => match (world.store.tag, &world.store.entry) {
                (None, _) => Read::Goes(Reader::Create),
                (Some(tag), Some(entry)) if self.usable(tag) == Some(entry.tag) => Read::Hit(entry.value),
                (Some(tag), _) => Read::Goes(Reader::Load { tag: self.usable(tag) }),
            },
            Reader::Create => {
                let tag = world.store.tag.unwrap_or_else(|| Tag::Plain(world.fresh()));
                world.store.tag = Some(tag);
                Read::Goes(Reader::Load { tag: self.usable(tag) })
            }
            Reader::Load { tag } => Read::Goes(Reader::Fill { tag, value: world.committed }),
            Reader::Fill { tag, value } => {
                if let Some(tag) = tag {
                    world.store.entry = Some(Entry { value, tag });
                }
                Read::Loaded(value)
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Mark { me } => {
                let others = if self.lists() { pending(world.store.tag) } else { 0 };
                world.store.tag = self.mark(others | me, world);
                Mutate::Goes(Mutator::Commit { me })
            }
            Mutator::Commit { me } => Mutate::Goes(Mutator::Clear { me, version: world.commit() }),
            Mutator::Clear { me, version } => {
                world.store.tag = self.cleared(me, world);
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn kill(&self, mutator: &Mutator, world: &mut World<Store>) -> bool {
        match mutator {
            Mutator::Clear { version, .. } if self.killed => {
                world.store.orphaned = Some(*version);
                true
            }
            _ => false,
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        let marked = pending(world.store.tag) != 0;
        let orphaned = world.store.orphaned;
        match fault {
            Fault::ForgetEntry => world.store.entry.take().is_some(),
            Fault::ForgetTag => world.store.tag.take().is_some(),
            Fault::ExpireOrphaned if orphaned.is_none() => false,
            Fault::Expire | Fault::ExpireOrphaned if marked => {
                world.store.tag = None;
                // From here on nothing excuses what is stale.
                world.apply(orphaned.unwrap_or_default());
                true
            }
            Fault::Expire | Fault::ExpireOrphaned => false,
        }
    }
}

mod tests {
    use super::*;
    use crate::check;

    fn marks(law: Law, clearing: Clearing, mutators: u8, faults: &[(Fault, u8)]) -> Marks {
        let faults = faults.iter().map(|&(fault, times)| Faults { any: vec![fault], times }).collect();
        Marks { law, clearing, fills_under_marks: false, readers: 2, mutators, killed: false, faults }
    }

    const EXPIRED: (Fault, u8) = (Fault::Expire, 2);
    const FORGOTTEN: (Fault, u8) = (Fault::ForgetTag, 1);
    const ORPHANED: (Fault, u8) = (Fault::ExpireOrphaned, 2);

    #[test]
    fn reads_never_go_back_if_nothing_is_stored_under_a_mark_that_outlives_the_mutation() {
        let faults = [(Fault::ForgetEntry, 1)];
        check::holds(Marks { readers: 3, ..marks(Law::ReadsNeverGoBack, Clearing::Delete, 1, &faults) });
    }

    #[test]
    fn control_reads_that_never_go_back_under_a_mark_that_expires_before_the_commit() {
        check::breaks(marks(Law::ReadsNeverGoBack, Clearing::Delete, 1, &[EXPIRED]));
    }

    #[test]
    fn nothing_stale_survives_a_mark_that_is_lost() {
        let faults = [EXPIRED, FORGOTTEN];
        check::holds(Marks { readers: 3, ..marks(Law::NothingStaleSurvives, Clearing::Delete, 1, &faults) });
    }

    #[test]
    fn control_reads_that_never_go_back_while_entries_are_stored_under_marks() {
        check::breaks(Marks { fills_under_marks: true, ..marks(Law::ReadsNeverGoBack, Clearing::Delete, 1, &[]) });
    }

    #[test]
    fn entries_may_be_stored_under_a_mark() {
        let marks = marks(Law::NothingStaleSurvives, Clearing::Delete, 1, &[EXPIRED]);
        check::holds(Marks { fills_under_marks: true, readers: 3, ..marks });
    }

    #[test]
    fn reads_never_go_back_when_a_mutator_is_killed() {
        let marks = marks(Law::ReadsNeverGoBack, Clearing::Delete, 1, &[ORPHANED]);
        check::holds(Marks { killed: true, readers: 3, ..marks });
    }

    #[test]
    fn what_was_stored_under_the_mark_of_a_killed_mutator_dies_with_it() {
        let marks = marks(Law::NothingStaleSurvives, Clearing::Delete, 1, &[ORPHANED]);
        check::holds(Marks { killed: true, fills_under_marks: true, readers: 3, ..marks });
    }

    #[test]
    fn nothing_stale_survives_if_each_of_two_mutations_removes_any_mark() {
        check::holds(marks(Law::NothingStaleSurvives, Clearing::Delete, 2, &[EXPIRED]));
    }

    #[test]
    fn control_reads_that_never_go_back_if_each_of_two_mutations_removes_any_mark() {
        check::breaks(marks(Law::ReadsNeverGoBack, Clearing::Delete, 2, &[]));
    }

    #[test]
    fn control_a_mutation_that_removes_only_its_own_mark() {
        check::breaks(marks(Law::NothingStaleSurvives, Clearing::DeleteOwn, 2, &[]));
    }

    #[test]
    fn nothing_stale_survives_if_only_the_mark_of_another_is_left() {
        check::holds(marks(Law::NothingStaleSurvives, Clearing::DeleteUnlessAnothers, 2, &[EXPIRED, FORGOTTEN]));
    }

    #[test]
    fn control_reads_that_never_go_back_if_only_the_mark_of_another_is_left() {
        check::breaks(marks(Law::ReadsNeverGoBack, Clearing::DeleteUnlessAnothers, 2, &[]));
    }

    #[test]
    fn reads_never_go_back_if_a_mark_lists_all_who_mutate() {
        check::holds(Marks { readers: 3, ..marks(Law::ReadsNeverGoBack, Clearing::List, 2, &[]) });
    }

    #[test]
    fn nothing_stale_survives_a_listing_mark_that_is_lost() {
        check::holds(marks(Law::NothingStaleSurvives, Clearing::List, 2, &[EXPIRED, FORGOTTEN]));
    }

    #[test]
    fn control_entries_stored_under_a_mark_that_comes_back() {
        let marks = marks(Law::NothingStaleSurvives, Clearing::List, 2, &[]);
        check::breaks(Marks { fills_under_marks: true, ..marks });
    }

    #[test]
    fn entries_may_be_stored_under_marks_of_which_each_is_new() {
        let marks = marks(Law::NothingStaleSurvives, Clearing::ListAnew, 2, &[EXPIRED]);
        check::holds(Marks { fills_under_marks: true, ..marks });
    }
}
