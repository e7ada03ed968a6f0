//! The end of a cache: what is still to be done for others, and who waits for it.
//!
//! What a cache does beside its callers ends with the process, wherever it is then. Most of that is nobody's loss. A lease is: it keeps other processes waiting until it
//! expires. And so is an invalidation that was not delivered. [`close`] waits for both, and says what it did not live to see.
//!
//! What holds: from the moment a cache is closed it serves nothing and stores nothing, so what it still invalidates needs no order with what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::core::Core;
use crate::core::lock;
use crate::host::within;
use crate::journal;
use crate::key::Name;
use crate::lease::let_go;
use crate::token::LeaseId;

/// What a cache had not done for others when [`Cache::close`](crate::Cache::close) ended.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::Cache;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let closed = Cache::memory().close(Duration::from_secs(2)).await;
/// assert!(closed.is_complete());
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Keys and tags that were invalidated and the store has not confirmed it. Other processes may read what is stored of them until it expires.
    pub undelivered: usize,
    /// Leases that the store has not confirmed to be given up. They keep other processes from loading those keys until they expire, seconds later.
    pub leases: usize,
    /// Values that were on their way to the store. They may have come there.
    pub fills: usize,
}

impl Closed {
    /// Whether nothing is left.
    pub fn is_complete(self) -> bool {
        self == Self::default()
    }
}

/// What a cache is doing beside its callers, and whether it is to end.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    closed: AtomicBool,
    work: Mutex<Work>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Work {
    /// On a store outside of this process, by the half of their id that is the asker's.
    leases: BTreeMap<u64, Lease>,
    /// Values on their way to the store.
    fills: usize,
    /// Tasks that run to their end beside the callers.
    tasks: usize,
    /// Keys and tags that such a task is going to invalidate.
    owed: usize,
    /// How many wait for the end.
    waiting: usize,
}

#[derive(Debug)]
struct Lease {
    key: Name,
    id: LeaseId,
    /// A fill or a release is about to end it.
    ending: bool,
}

/// Something that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    core: Arc<Core>,
    undo: fn(&mut Work, usize),
    count: usize,
}

impl Closing {
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nobody waits any more for what is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed() && lock(&self.work).waiting == 0
    }

    /// Whether nothing is done beside the callers but what waits for its time.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_idle(&self) -> bool {
        let work = lock(&self.work);
        work.fills + work.tasks == 0
    }

    /// Ends when the cache is closed.
    pub(crate) async fn closed(&self) {
        self.until(|_| self.is_closed()).await;
    }

    /// A lease is held. Says whether it is to be given up at once.
    pub(crate) fn hold(&self, key: Name, id: LeaseId) -> bool {
        self.change(|work| work.leases.insert(id.asker(), Lease { key, id, ending: false }));
        self.is_closed()
    }

    /// A fill or a release is about to end a lease.
    pub(crate) fn is_ending(&self, id: LeaseId) {
        self.change(|work| {
            if let Some(lease) = work.leases.get_mut(&id.asker()) {
                lease.ending = true;
            }
        });
    }

    /// A lease has ended, or what was to end it was not confirmed. Then it expires by itself, and only who closes tries again.
    pub(crate) fn ended(&self, id: LeaseId, confirmed: bool) {
        let closed = self.is_closed();
        self.change(|work| match work.leases.get_mut(&id.asker()) {
            Some(lease) if closed && !confirmed => lease.ending = false,
            _ => drop(work.leases.remove(&id.asker())),
        });
    }

    fn change<R>(&self, change: impl FnOnce(&mut Work) -> R) {
        change(&mut lock(&self.work));
        self.changed.notify_waiters();
    }

    async fn until(&self, done: impl Fn(&Work) -> bool) {
        loop {
            // From here on no change is missed.
            let changed = self.changed.notified();
            if done(&lock(&self.work)) {
                return;
            }
            changed.await;
        }
    }
}

impl Core {
    /// Counts a value on its way to the store.
    pub(crate) fn filling(self: &Arc<Self>) -> Counted {
        self.counted(1, |work, by| work.fills += by, |work, by| work.fills -= by)
    }

    /// Counts a task that runs beside the callers.
    pub(crate) fn working(self: &Arc<Self>) -> Counted {
        self.counted(1, |work, by| work.tasks += by, |work, by| work.tasks -= by)
    }

    /// Counts keys and tags that such a task is going to invalidate.
    pub(crate) fn promising(self: &Arc<Self>, count: usize) -> Counted {
        self.counted(count, |work, by| work.owed += by, |work, by| work.owed -= by)
    }

    fn waiting(self: &Arc<Self>) -> Counted {
        self.counted(1, |work, by| work.waiting += by, |work, by| work.waiting -= by)
    }

    fn counted(self: &Arc<Self>, count: usize, start: fn(&mut Work, usize), undo: fn(&mut Work, usize)) -> Counted {
        self.closing.change(|work| start(work, count));
        Counted { core: self.clone(), undo, count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.core.closing.change(|work| (self.undo)(work, self.count));
    }
}

/// Ends a cache: see [`Cache::close`](crate::Cache::close).
///
/// Cancel safety: the cache is closed from the first poll on. Who waits again goes on where this one stopped.
pub(crate) async fn close(core: &Arc<Core>, deadline: Duration) -> Closed {
    let waiting = core.waiting();
    core.closing.closed.store(true, Ordering::Release);
    core.closing.changed.notify_waiters();
    if let Some(local) = &core.local {
        local.close();
    }
    let all = async {
        tokio::join!(
            core.closing.until(|work| work.fills + work.tasks + work.owed == 0),
            give_up_leases(core),
            journal::drained(core)
        );
    };
    within(&*core.host, deadline, all).await;
    drop(waiting);
    let work = lock(&core.closing.work);
    Closed { undelivered: core.journal.len() + work.owed, leases: work.leases.len(), fills: work.fills }
}

/// Gives up what loads still hold, which they need no more, and waits for those that something else is about to end.
async fn give_up_leases(core: &Arc<Core>) {
    loop {
        let held: Vec<_> = {
            let work = lock(&core.closing.work);
            let idle = work.leases.values().filter(|lease| !lease.ending);
            idle.map(|lease| (lease.key.clone(), lease.id)).collect()
        };
        for (key, id) in held {
            let_go(core, key, id);
        }
        core.closing.until(|work| work.leases.values().all(|lease| !lease.ending)).await;
        if lock(&core.closing.work).leases.is_empty() {
            return;
        }
        core.host.sleep(PAUSE).await;
    }
}

/// Between two attempts to give up a lease.
const PAUSE: Duration = Duration::from_millis(50);
