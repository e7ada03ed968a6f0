//! A transaction around mutators: what they invalidate is collected, and invalidated at its end.
//!
//! Only the code inside can know how the transaction went. Unless it says that it was rolled back, it counts as committed, however it ended: an error may have come
//! after the commit, and one that was dropped half-way may yet commit.

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::invalidation::Deferral;
use crate::invalidation::Record;

/// What the mutators in a transaction have collected to be invalidated at its end. [`Cache::transaction`](crate::Cache::transaction) gives it to the code inside.
///
/// After the end of that it is empty, and nothing that is said of it means anything.
pub struct Collected(Arc<Deferral>);

impl Collected {
    /// What was collected so far, as rows for an outbox table in the same database: insert them in the transaction itself, when all its mutators have run and before it commits.
    ///
    /// Then nothing is lost, whatever happens to this process after the commit: a worker [applies](crate::Cache::apply) what it finds in the table. This is for the worst case alone, and what was recorded is invalidated at the end all the same.
    ///
    /// Of several caches they are apart, by [namespace](Record::namespace). What a savepoint has collected is among them when that has ended. There is none if nothing was collected. What is collected later is not in them, and an event at the end says so.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Record};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::builder().namespace("shop:prod").build()?;
    /// let rows = cache
    ///     .transaction(async |collected| {
    ///         let _ = cache.invalidate("user:7").await;
    ///         collected.records().iter().map(Record::to_string).collect::<Vec<_>>()
    ///     })
    ///     .await;
    /// assert_eq!(rows, ["v1 shop:prod key:user:7 ."]);
    /// # Ok::<(), cache_runtime::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn records(&self) -> Vec<Record> {
        Record::of(self.0.record())
    }

    /// Says that the transaction was rolled back, and the database has confirmed it: nothing is invalidated of what was collected so far, and its marks are taken off.
    ///
    /// It is said of all that the mutators inside have done so far, those that still run included. What is collected from here on is invalidated at the end, so the transaction may be tried again in place. In a savepoint it is said of the savepoint alone.
    ///
    /// Who says it of a transaction that was committed after all has old values served until their time is up: an error of `commit` or of `rollback` is no proof. When in doubt, do not say it. What is invalidated
    /// for nothing costs a load.
    ///
    /// What mutators of the modes [`Guarded`](crate::Mode::Guarded) and [`Linearizable`](crate::Mode::Linearizable) named has left the cache already, when they began. It can be stored again from here on.
    ///
    /// # Cancel safety
    ///
    /// Before it is polled nothing was said. Dropped after that, marks may stand for some seconds, until they expire.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Mode, Site};
    ///
    /// static SELL: Site = Site::invalidates("shop", "sell").keys(&["stock"]).mode(Mode::After);
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::memory();
    /// cache
    ///     .transaction(async |collected| {
    ///         cache.invalidation(&SELL).run(async { /* take one from the stock */ }).await;
    ///         // there is none left, so the transaction is rolled back
    ///         collected.rolled_back().await;
    ///     })
    ///     .await;
    /// assert_eq!(cache.stats().total.applied, 0);
    /// # });
    /// ```
    pub async fn rolled_back(&self) {
        for marks in self.0.roll_back() {
            marks.clear().await;
        }
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected").finish_non_exhaustive()
    }
}

/// Runs what `body` makes, in a transaction of its own or in a savepoint of the one that this task is inside of.
pub(crate) async fn run<F: Future>(body: impl FnOnce(Collected) -> F) -> F::Output {
    let around = Context::current();
    let open = Open(Deferral::within(around.deferral.clone()));
    let inside = Context { deferral: Some(open.0.clone()), ..around };
    let future = inside.enter(|| body(Collected(open.0.clone())));
    // Boxed, because this future would else hold it twice.
    let output = Box::pin(inside.carry(future)).await;
    open.end().await;
    output
}

/// A transaction that has begun. Dropped, it ends as one that may yet commit: what was collected is marked anew, and left to expire.
struct Open(Arc<Deferral>);

impl Open {
    async fn end(self) {
        for guard in self.0.end() {
            // What became of it is counted, and kept if need be.
            let _ = guard.clear().await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.0.end());
    }
}
