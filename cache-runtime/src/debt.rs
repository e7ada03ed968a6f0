//! What this process owes its store: invalidations that the store does not know of yet.
//!
//! The journal keeps them. Whoever lets calls through to a node of the store has to know whether there are any for it, and who is to be woken when it may be back.
//!
//! A store of several nodes is owed to node by node: what one of them has not heard keeps nobody from the others. A name is in a *slot* for ever, and a slot is of one node at a time. Where slots move, what is
//! in one is owed to the node that has it *now*: that is where an invalidation is sent when it is tried again, and where others read what it is about. A node that has lost a slot is asked for it by nobody, so to
//! hold it back for that would protect nobody, and nothing that is delivered would ever let it go.
//!
//! What is delivered together is another question, and has a steady answer: everything of a slot is kept in one part of the journal as long as any of it is owed, that of the node which had the slot when the first was kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::core::lock;
use crate::key::Name;
use crate::token::Register;

/// What is owed, and to whom. Clones are the same debts.
#[derive(Clone)]
pub(crate) struct Debts(Arc<Books>);

/// What is owed to one node. Clones are the same debt.
#[derive(Clone, Debug)]
pub(crate) struct Debt {
    debts: Debts,
    node: usize,
}

/// Where names are.
pub(crate) trait Placing: Send + Sync {
    /// In which slot a name is, which never changes.
    fn slot(&self, name: &Name) -> usize;

    /// Which node has a slot now, by a number that no other node ever has.
    fn node(&self, slot: usize) -> Option<usize>;

    /// The nodes that have any slots now.
    fn nodes(&self) -> Vec<usize>;

    /// In how many parts what is owed is delivered: one for each node, or fewer.
    fn parts(&self) -> usize;
}

struct Books {
    placing: Box<dyn Placing>,
    owed: Mutex<Owed>,
    /// Wakes who delivers a part; where there are several, the last wakes who delivers what all of them are owed.
    due: Vec<Notify>,
}

#[derive(Default)]
struct Owed {
    slots: BTreeMap<usize, Owing>,
    /// Whether all there is is to be invalidated, which every node is owed.
    everything: bool,
}

/// What a slot is owed.
struct Owing {
    /// In which part of the journal it is kept.
    part: usize,
    /// How many registers that are.
    registers: usize,
}

impl Debts {
    pub(crate) fn of(placing: impl Placing + 'static) -> Self {
        let parts = placing.parts();
        let due = (0..if parts == 1 { 1 } else { parts + 1 }).map(|_| Notify::new()).collect();
        Self(Arc::new(Books { placing: Box::new(placing), owed: Mutex::default(), due }))
    }

    /// What the node of that number is owed.
    #[cfg_attr(
        not(any(test, feature = "redis", feature = "memcached", feature = "test-util", feature = "sim")),
        allow(dead_code, reason = "a store in process is not shielded")
    )]
    pub(crate) fn to(&self, node: usize) -> Debt {
        Debt { debts: self.clone(), node }
    }

    /// How many parts there are. Where there are several, the last is of what all nodes are told.
    pub(crate) fn parts(&self) -> usize {
        self.0.due.len()
    }

    /// The nodes of the store as they are now.
    pub(crate) fn nodes(&self) -> Vec<usize> {
        self.0.placing.nodes()
    }

    /// Which of them has a key and the tag of the same name.
    pub(crate) fn node(&self, name: &Name) -> Option<usize> {
        self.0.placing.node(self.0.placing.slot(name))
    }

    /// In which part a register is kept if it is owed, or would be.
    pub(crate) fn part(&self, register: &Register) -> usize {
        let last = self.parts() - 1;
        if register.is_epoch() || last == 0 {
            return last;
        }
        let slot = self.0.placing.slot(register.name());
        let known = lock(&self.0.owed).slots.get(&slot).map(|owing| owing.part);
        known.unwrap_or_else(|| self.0.placing.node(slot).unwrap_or(0) % last)
    }

    /// A register is owed from now on, which was not, and is kept in `part`.
    pub(crate) fn owe(&self, register: &Register, part: usize) {
        let mut owed = lock(&self.0.owed);
        if register.is_epoch() {
            owed.everything = true;
        } else {
            let slot = self.0.placing.slot(register.name());
            owed.slots.entry(slot).or_insert(Owing { part, registers: 0 }).registers += 1;
        }
    }

    /// A register is not owed any more, which was.
    pub(crate) fn pay(&self, register: &Register) {
        let mut owed = lock(&self.0.owed);
        if register.is_epoch() {
            owed.everything = false;
            return;
        }
        let slot = self.0.placing.slot(register.name());
        if let Some(owing) = owed.slots.get_mut(&slot) {
            owing.registers -= 1;
            if owing.registers == 0 {
                owed.slots.remove(&slot);
            }
        }
    }

    /// Nothing is owed any more.
    pub(crate) fn forgive(&self) {
        *lock(&self.0.owed) = Owed::default();
    }

    /// Whether anything is owed to one of those slots.
    pub(crate) fn are_of(&self, is_one: impl Fn(usize) -> bool) -> bool {
        let owed = lock(&self.0.owed);
        owed.everything || owed.slots.keys().any(|&slot| is_one(slot))
    }

    /// Whoever delivers a part shall try now.
    pub(crate) fn call(&self, part: usize) {
        self.0.due[part].notify_one();
    }

    /// Ends when somebody has [called](Self::call).
    pub(crate) async fn called(&self, part: usize) {
        self.0.due[part].notified().await;
    }
}

impl Debt {
    /// Whether anything is owed.
    pub(crate) fn is_owed(&self) -> bool {
        self.debts.are_of(|slot| self.has(slot))
    }

    /// The node may be back: whoever delivers what it is owed shall try now.
    pub(crate) fn call(&self) {
        let owed = lock(&self.debts.0.owed);
        let of_all = owed.everything.then(|| self.debts.parts() - 1);
        let own = owed.slots.iter().filter(|(slot, _)| self.has(**slot)).map(|(_, owing)| owing.part);
        let mut parts: Vec<usize> = own.chain(of_all).collect();
        parts.sort_unstable();
        parts.dedup();
        parts.into_iter().for_each(|part| self.debts.call(part));
    }

    fn has(&self, slot: usize) -> bool {
        self.debts.0.placing.node(slot) == Some(self.node)
    }
}

/// One node has all of it.
struct One;

impl Placing for One {
    fn slot(&self, _: &Name) -> usize {
        0
    }

    fn node(&self, _: usize) -> Option<usize> {
        Some(0)
    }

    fn nodes(&self) -> Vec<usize> {
        vec![0]
    }

    fn parts(&self) -> usize {
        1
    }
}

impl Default for Debts {
    /// Of a store of one node, whose number is 0.
    fn default() -> Self {
        Self::of(One)
    }
}

impl fmt::Debug for Debts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owed = lock(&self.0.owed);
        f.debug_struct("Debts").field("slots", &owed.slots.len()).field("everything", &owed.everything).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    /// Ten slots, by the number in a name, of which some are of node 1 and the others of node 2.
    #[derive(Clone, Default)]
    struct Movable(Arc<AtomicUsize>);

    impl Placing for Movable {
        fn slot(&self, name: &Name) -> usize {
            name.as_str()[1..].parse().unwrap()
        }

        fn node(&self, slot: usize) -> Option<usize> {
            Some(if slot < self.0.load(SeqCst) { 1 } else { 2 })
        }

        fn nodes(&self) -> Vec<usize> {
            vec![1, 2]
        }

        fn parts(&self) -> usize {
            2
        }
    }

    fn tag(text: &str) -> Register {
        Register::Tag(Name::new(text.as_bytes()))
    }

    fn owed(debts: &Debts) -> [bool; 2] {
        [1, 2].map(|node| debts.to(node).is_owed())
    }

    #[test]
    fn what_is_in_a_slot_is_owed_to_whoever_has_it_now_and_kept_where_it_was() {
        let placing = Movable::default();
        let debts = Debts::of(placing.clone());
        placing.0.store(5, SeqCst);
        let part = debts.part(&tag("t3"));
        assert_eq!((part, debts.part(&tag("t7"))), (1, 0));
        debts.owe(&tag("t3"), part);
        assert_eq!(owed(&debts), [true, false]);
        placing.0.store(0, SeqCst);
        assert_eq!(owed(&debts), [false, true], "node 1 has nothing any more, and is held back by nothing");
        assert_eq!(debts.part(&tag("u3")), part, "what is owed to one slot is in one part");
        debts.pay(&tag("t3"));
        assert_eq!(owed(&debts), [false, false]);
        assert_eq!(debts.part(&tag("t3")), 0);
    }

    #[tokio::test]
    async fn a_node_that_may_be_back_wakes_who_delivers_what_it_is_owed_and_nobody_else() {
        let placing = Movable::default();
        let debts = Debts::of(placing.clone());
        placing.0.store(5, SeqCst);
        debts.owe(&tag("t3"), 1);
        placing.0.store(0, SeqCst);
        debts.to(2).call();
        debts.called(1).await;
        debts.to(1).call();
        let woken = tokio::time::timeout(std::time::Duration::ZERO, debts.called(1)).await;
        assert!(woken.is_err(), "node 1 is owed nothing");
    }

    #[tokio::test]
    async fn who_delivers_is_woken_once_however_much_is_owed() {
        let debts = Debts::of(Movable::default());
        for (name, part) in [("t3", 1), ("t4", 0), ("t5", 1)] {
            debts.owe(&tag(name), part);
        }
        let at_once = std::time::Duration::ZERO;
        let mut delivering = std::pin::pin!(debts.called(1));
        assert!(tokio::time::timeout(at_once, &mut delivering).await.is_err());
        debts.to(2).call();
        delivering.await;
        assert!(tokio::time::timeout(at_once, debts.called(1)).await.is_err(), "it would try twice");
    }

    #[tokio::test]
    async fn everything_is_owed_to_everybody_and_delivered_by_itself() {
        let debts = Debts::of(Movable::default());
        let epoch = Register::Tag(Name::epoch());
        let part = debts.part(&epoch);
        assert_eq!(part, 2);
        debts.owe(&epoch, part);
        assert_eq!(owed(&debts), [true, true]);
        debts.to(1).call();
        debts.called(part).await;
        debts.pay(&epoch);
        assert_eq!(owed(&debts), [false, false]);
    }
}
