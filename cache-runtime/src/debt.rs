//! What this process owes its store: invalidations that the store does not know of yet.
//!
//! The journal keeps them. Whoever lets calls through to the store has to know whether there are any, and who is to be woken when the store may be back. A store of several nodes is owed to node by node: what
//! one of them has not heard keeps nobody from the others.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::token::Register;

/// What is owed to one node. Clones are the same debt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debt(Arc<Owed>);

#[derive(Debug, Default)]
struct Owed {
    owes: AtomicBool,
    due: Notify,
}

/// What is owed to each node, and which node a register is placed on.
#[derive(Clone)]
pub(crate) struct Debts {
    nodes: Arc<[Debt]>,
    place: Place,
}

type Place = Arc<dyn Fn(&Register) -> usize + Send + Sync>;

impl Debt {
    /// Whether anything is owed.
    #[inline]
    pub(crate) fn is_owed(&self) -> bool {
        self.0.owes.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, owes: bool) {
        self.0.owes.store(owes, Ordering::Release);
    }

    /// The node may be back: whoever delivers shall try now.
    pub(crate) fn call(&self) {
        self.0.due.notify_one();
    }

    /// Ends when somebody has [called](Self::call).
    pub(crate) async fn called(&self) {
        self.0.due.notified().await;
    }
}

impl Debts {
    /// Of a store of several nodes.
    #[cfg(feature = "memcached")]
    pub(crate) fn of(nodes: &[Debt], place: impl Fn(&Register) -> usize + Send + Sync + 'static) -> Self {
        Self { nodes: nodes.into(), place: Arc::new(place) }
    }

    pub(crate) fn nodes(&self) -> &[Debt] {
        &self.nodes
    }

    /// Where a register is placed, as far as there are nodes.
    pub(crate) fn place(&self, register: &Register) -> usize {
        (self.place)(register).min(self.nodes.len() - 1)
    }
}

impl From<Debt> for Debts {
    fn from(debt: Debt) -> Self {
        Self { nodes: Arc::new([debt]), place: Arc::new(|_| 0) }
    }
}

impl Default for Debts {
    fn default() -> Self {
        Debt::default().into()
    }
}

impl fmt::Debug for Debts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nodes.fmt(f)
    }
}
