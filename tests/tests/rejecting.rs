//! `on_unreachable = reject`: a mutation does not run while the cache cannot be told of it.

#[allow(unused_macros, reason = "these laws have stores that fail")]
mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Error;
use cache_runtime::Handle;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Told;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::Faults;
use cache_runtime::testing::settled;

use crate::common::Row;
use crate::common::SECRET;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row), handle = row_entry)]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[derive(Debug, PartialEq)]
enum DbError {
    Locked,
    Cache(Error),
}

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

#[invalidates(key = "row:{id}", tags = ["rows"], on_unreachable = reject)]
async fn write(row: &Row, id: u64, fails: bool) -> Result<u64, DbError> {
    let _ = id;
    let written = row.write();
    if fails { Err(DbError::Locked) } else { Ok(written) }
}

#[invalidates(key = "row:{id}", on_unreachable = proceed)]
async fn proceed(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

type Answer<T> = Result<T, DbError>;

trait Rows {
    fn rename(&self, id: u64) -> impl Future<Output = Answer<u64>>;
}

impl Rows for Row {
    #[invalidates(keys = ["row:{id}", "made:{result}"], mode = linearizable, on_unreachable = reject)]
    async fn rename(&self, id: u64) -> Answer<u64> {
        let _ = id;
        Ok(self.write())
    }
}

/// Holds `law` on the in-process store and on a Redis, each with faults in front of it.
async fn on_both<L: Future<Output = ()>>(law: impl Fn(Cache, Faults) -> L) {
    let server = Server::start();
    for url in ["memory:", &server.url()] {
        let faults = Faults::new();
        let builder = Cache::builder().url(url).faults(&faults).secret(SECRET);
        let cache = builder.op_timeout(Duration::from_secs(5)).connect().await.unwrap();
        scope(cache.clone(), law(cache, faults)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_cannot_be_told_of_does_not_run() {
    on_both(async |cache, faults| {
        let row = Row::new();
        faults.fail_invalidations();
        for error in [write(&row, 7, false).await.unwrap_err(), row.rename(7).await.unwrap_err()] {
            assert!(matches!(&error, DbError::Cache(error) if error.is_unreachable()), "{error:?}");
        }
        assert_eq!(row.version.load(Ordering::SeqCst), 1, "nothing was written");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(cache.pending(), 0, "what was not changed is not invalidated, not even later");
        let counts = cache.stats().total;
        assert_eq!((counts.rejected, counts.applied, counts.deferred), (2, 0, 0));
        faults.heal();
        assert_eq!(write(&row, 7, false).await, Ok(2));
        assert_eq!(write(&row, 7, true).await, Err(DbError::Locked), "and an error of its own is its own");
        assert_eq!(cache.stats().total.rejected, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_where_nothing_else_is_said() {
    on_both(async |cache, faults| {
        let row = Row::new();
        faults.fail_invalidations();
        assert_eq!(proceed(&row, 7).await, 2);
        assert_eq!(cache.pending(), 1);
        faults.heal();
        settled(&cache).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_of_as_rejected() {
    on_both(async |cache, faults| {
        faults.fail_invalidations();
        let row = Row::new();
        let (_, calls) = scope(cache, write(&row, 7, false)).explain().await;
        assert!(matches!(calls[0].ending, Ending::Mutated { told: Told::Rejected, .. }), "{calls}");
        assert_eq!(
            calls.to_string(),
            "write: mutation of 1 keys and 1 tags, guarded: not run, because the store could not be told\n"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_marked_before_the_refusal_is_cleared() {
    static WRITE: Site = Site::invalidates("rejecting", "write_both");
    on_both(async |cache, faults| {
        let row = Row::new();
        let other = Cache::memory();
        let entry: Handle<_> = scope(other.clone(), async { row_entry(&7) }).await;
        faults.fail_invalidations();
        // The first is marked when the second cannot be.
        let rejected = other
            .invalidation(&WRITE)
            .entries(&[&entry, &row_entry(&7)])
            .mode(Mode::Linearizable)
            .reject_unreachable()
            .run(async { Ok::<_, DbError>(row.write()) });
        assert!(rejected.await.is_err());
        scope(other.clone(), async {
            read(&row, 7).await;
            read(&row, 7).await;
            assert_eq!((other.stats().total.fills, other.stats().total.hits), (1, 1), "no mark is left");
        })
        .await;
        drop(cache);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_of_a_transaction_it_is_refused_as_well() {
    on_both(async |cache, faults| {
        let row = Row::new();
        faults.fail_invalidations();
        let refused = cache.defer_invalidations(async { write(&row, 7, false).await }).await;
        assert!(matches!(refused, Err(DbError::Cache(error)) if error.is_unreachable()));
        assert_eq!(row.version.load(Ordering::SeqCst), 1);
        faults.heal();
        settled(&cache).await;
    })
    .await;
}

#[test]
#[should_panic(expected = "`reject_unreachable` has nothing to go by in mode `after`")]
fn mode_after_has_nothing_to_go_by() {
    static WRITE: Site = Site::invalidates("rejecting", "write_after").keys(&["row:7"]).mode(Mode::After);
    drop(Cache::memory().invalidation(&WRITE).reject_unreachable().run(async { Ok::<_, Error>(()) }));
}

#[allow(dead_code, reason = "it has to compile")]
fn any_error_that_is_made_of_ours_will_do() {
    #[invalidates(key = "row", on_unreachable = reject)]
    async fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }

    struct Rows<E>(E);

    impl<E: From<Error>> Rows<E> {
        #[invalidates(keys = ["row", "made:{result}"], on_unreachable = reject)]
        async fn generic(&self) -> Result<u64, E> {
            Ok(1)
        }
    }

    let _ = (boxed, Rows::<Error>::generic);
}
