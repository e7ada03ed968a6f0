//! What this process owes its store: invalidations that the store does not know of yet.
//!
//! The journal keeps them. Whoever lets calls through to the store has to know whether there are any, and who is to be woken when the store may be back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

/// See the module. Clones are the same debt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debt(Arc<Owed>);

#[derive(Debug, Default)]
struct Owed {
    owes: AtomicBool,
    due: Notify,
}

impl Debt {
    /// Whether anything is owed.
    #[inline]
    pub(crate) fn is_owed(&self) -> bool {
        self.0.owes.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, owes: bool) {
        self.0.owes.store(owes, Ordering::Release);
    }

    /// The store may be back: whoever delivers shall try now.
    pub(crate) fn call(&self) {
        self.0.due.notify_one();
    }

    /// Ends when somebody has [called](Self::call).
    pub(crate) async fn called(&self) {
        self.0.due.notified().await;
    }
}
