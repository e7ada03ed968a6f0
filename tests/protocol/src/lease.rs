//! The lease: who may store an entry, written beside it, and gone with it when the key is invalidated.
//!
//! A lease is of one load, and is taken before the load begins. Losing one costs a cached value and nothing else. The slot also holds off loads
//! while a mutation runs, or while replicas of the source catch up.

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

/// What a mutator does besides its commit, in this order.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// After the commit, entry and lease in one command.
    Together,
    LeaseThenEntry,
    EntryThenLease,
    /// After the commit, the entry goes, and the slot is held for longer than replicas lag behind.
    HeldOff,
    /// The slot is held, then the entry goes, then comes the commit.
    MarkedThenEmptied,
    EmptiedThenMarked,
}

#[derive(Debug)]
struct Leases {
    law: Law,
    order: Order,
    readers: usize,
    mutators: usize,
    /// How often an entry or a lease is forgotten.
    forgotten: u8,
    /// Loads read a replica of the source.
    replica: bool,
}

part! {
    struct Store {
        entry: Option<Version>,
        slot: Option<Slot>,
        replica: Version,
    }
}

part! {
    #[derive(Copy)]
    enum Slot {
        Lease(lease: Token),
        Mark,
    }
}

part! {
    enum Reader {
        Look,
        Lease,
        Load { lease: Option<Slot> },
        Fill { lease: Option<Slot>, value: Version },
    }
}

part! {
    enum Mutator {
        Before { step: u8 },
        After { step: u8, version: Version },
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    ForgetEntry,
    ForgetLease,
    CatchUp,
    /// A mark expires, once the replica has what it was placed for.
    EndHoldOff,
}

/// What one command does.
#[derive(Clone, Copy)]
enum Command {
    DropLease,
    DropEntry,
    DropBoth,
    Mark,
    DropEntryAndMark,
}

impl Order {
    fn before(self) -> &'static [Command] {
        match self {
            Self::MarkedThenEmptied => &[Command::Mark, Command::DropEntry],
            Self::EmptiedThenMarked => &[Command::DropEntry, Command::Mark],
            _ => &[],
        }
    }

    fn after(self) -> &'static [Command] {
        match self {
            Self::LeaseThenEntry => &[Command::DropLease, Command::DropEntry],
            Self::EntryThenLease => &[Command::DropEntry, Command::DropLease],
            Self::HeldOff => &[Command::DropEntryAndMark],
            Self::Together | Self::MarkedThenEmptied | Self::EmptiedThenMarked => &[Command::DropBoth],
        }
    }
}

impl Command {
    fn run(self, store: &mut Store) {
        if matches!(self, Self::DropEntry | Self::DropBoth | Self::DropEntryAndMark) {
            store.entry = None;
        }
        match self {
            Self::DropLease | Self::DropBoth => store.slot = None,
            Self::Mark | Self::DropEntryAndMark => store.slot = Some(Slot::Mark),
            Self::DropEntry => {}
        }
    }
}

impl Protocol for Leases {
    type Store = Store;
    type Reader = Reader;
    type Mutator = Mutator;
    type Fault = Fault;

    fn law(&self) -> Law {
        self.law
    }

    fn start(&self) -> Start<Self> {
        let mut faults = vec![Faults { any: vec![Fault::ForgetEntry, Fault::ForgetLease], times: self.forgotten }];
        if self.replica {
            faults.push(Faults { any: vec![Fault::CatchUp, Fault::EndHoldOff], times: ALWAYS });
        }
        Start {
            store: Store { entry: None, slot: None, replica: Version(0) },
            readers: vec![Reader::Look; self.readers],
            mutators: vec![Mutator::Before { step: 0 }; self.mutators],
            faults,
        }
    }

    fn read(&self, reader: Reader, world: &mut World<Store>) -> Read<Reader> {
        match reader {
            Reader::Look => match world.store.entry {
                Some(value) => Read::Hit(value),
                None => Read::Goes(Reader::Lease),
            },
            // Who does not get it loads without the right to store.
            Reader::Lease => {
                let lease = world.store.slot.is_none().then(|| Slot::Lease(world.fresh()));
                world.store.slot = world.store.slot.or(lease);
                Read::Goes(Reader::Load { lease })
            }
            Reader::Load { lease } => Read::Goes(Reader::Fill { lease, value: self.source(world) }),
            Reader::Fill { lease, value } => {
                if lease.is_some() && world.store.slot == lease {
                    world.store.entry = Some(value);
                    world.store.slot = None;
                }
                // What a replica says is old by itself.
                if self.replica { Read::Over } else { Read::Loaded(value) }
            }
        }
    }

    fn mutate(&self, mutator: Mutator, world: &mut World<Store>) -> Mutate<Mutator> {
        match mutator {
            Mutator::Before { step } => match self.order.before().get(usize::from(step)) {
                Some(command) => {
                    command.run(&mut world.store);
                    Mutate::Goes(Mutator::Before { step: step + 1 })
                }
                None => Mutate::Goes(Mutator::After { step: 0, version: world.commit() }),
            },
            Mutator::After { step, version } => {
                let commands = self.order.after();
                commands[usize::from(step)].run(&mut world.store);
                if usize::from(step) + 1 < commands.len() {
                    return Mutate::Goes(Mutator::After { step: step + 1, version });
                }
                world.apply(version);
                Mutate::Over
            }
        }
    }

    fn strike(&self, fault: Fault, world: &mut World<Store>) -> bool {
        let caught_up = world.store.replica == world.committed;
        let store = &mut world.store;
        match fault {
            Fault::ForgetEntry => store.entry.take().is_some(),
            Fault::ForgetLease => matches!(store.slot, Some(Slot::Lease(_))) && store.slot.take().is_some(),
            Fault::CatchUp => {
                store.replica = world.committed;
                !caught_up
            }
            Fault::EndHoldOff => caught_up && store.slot == Some(Slot::Mark) && store.slot.take().is_some(),
        }
    }

    fn source(&self, world: &World<Store>) -> Version {
        if self.replica { world.store.replica } else { world.committed }
    }
}

mod tests {
    use super::*;
    use crate::check;

    fn leases(order: Order) -> Leases {
        let law = Law::NothingStaleSurvives;
        Leases { law, order, readers: 3, mutators: 1, forgotten: 0, replica: false }
    }

    #[test]
    fn a_lease_is_of_one_load_and_may_be_lost() {
        check::holds(Leases { mutators: 2, forgotten: 2, ..leases(Order::Together) });
    }

    #[test]
    fn a_lease_goes_before_its_entry() {
        check::holds(Leases { forgotten: 2, ..leases(Order::LeaseThenEntry) });
    }

    #[test]
    fn control_an_entry_that_goes_before_its_lease() {
        check::breaks(Leases { forgotten: 2, ..leases(Order::EntryThenLease) });
    }

    #[test]
    fn control_reads_that_never_go_back_by_deleting_after_the_commit() {
        check::breaks(Leases { law: Law::ReadsNeverGoBack, readers: 2, ..leases(Order::Together) });
    }

    #[test]
    fn control_a_replica_that_lags_behind_the_delete() {
        check::breaks(Leases { replica: true, ..leases(Order::Together) });
    }

    #[test]
    fn a_cache_is_no_older_than_the_replica_if_it_holds_off_for_longer_than_that_lags() {
        check::holds(Leases { replica: true, ..leases(Order::HeldOff) });
    }

    #[test]
    fn reads_never_go_back_if_the_slot_is_marked_before_the_entry_goes() {
        check::holds(Leases { law: Law::ReadsNeverGoBack, ..leases(Order::MarkedThenEmptied) });
    }

    #[test]
    fn control_an_entry_that_goes_before_the_slot_is_marked() {
        check::breaks(Leases { law: Law::ReadsNeverGoBack, ..leases(Order::EmptiedThenMarked) });
    }
}
