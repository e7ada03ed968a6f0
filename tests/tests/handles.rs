//! Handles of entries: the same entry as the function's, by name, on every store.

#[macro_use]
mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::Handle;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;

use crate::common::Row;
use crate::common::filled;

/// Rows of one tenant.
struct Rows {
    row: Arc<Row>,
    tenant: &'static str,
}

impl Rows {
    fn new() -> Self {
        Self { row: Row::new(), tenant: "acme" }
    }

    #[cached(ttl = "5m", key = "{self.tenant}:{name}", tags = ["{self.tenant}"], handle = named_entry)]
    async fn named(&self, name: String) -> io::Result<u64> {
        if name.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(self.row.read().await) }
    }

    #[invalidates(entries = [self.named_entry(&name), numbered_entry(&id)])]
    async fn write(&self, name: String, id: u64) -> u64 {
        drop(name);
        self.row.write()
    }

    #[invalidates(entries = [self.named_entry(name)], mode = after)]
    async fn write_after(&self, name: &str) -> u64 {
        self.row.write()
    }

    #[invalidates(entries = [self.named_entry(name)], mode = linearizable)]
    async fn write_strictly(&self, name: &str) -> u64 {
        self.row.write()
    }

    #[invalidates(entries = [self.named_entry(name)], in_transaction)]
    async fn write_in_transaction(&self, name: &str) -> u64 {
        self.row.write()
    }
}

#[cached(ttl = "5m", key = "numbered:{id}", skip(row), handle = numbered_entry)]
async fn numbered(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.read().await
}

#[cached(ttl = "5m", skip(row), handle = summed_entry)]
async fn summed(row: &Row, ids: &[u64], weight: u8) -> u64 {
    let _ = (ids, weight);
    numbered(row, 7).await
}

#[cached(
    ttl = |version| Duration::from_secs(*version),
    negative_ttl = "1m",
    jitter = 0,
    key = "chosen:{id}",
    skip(row),
    unless = |version| version % 2 == 1,
    handle = chosen_entry
)]
async fn chosen(row: &Row, id: u64) -> Option<u64> {
    let _ = id;
    Some(row.read().await)
}

async fn a_handle_is_the_entry_of_the_function(cache: Cache, other: Cache) {
    let rows = Rows::new();
    let entry = rows.named_entry("x");
    assert!(entry.get().await.is_none());
    assert_eq!(entry.remaining_ttl().await, None);
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 1);
    filled(&cache, "named", 1).await;
    assert_eq!(entry.get().await.unwrap().unwrap(), 1);
    let elsewhere = scope(other, async { rows.named_entry("x") }).await;
    assert_eq!(elsewhere.get().await.unwrap().unwrap(), 1);
    assert!(rows.named_entry("y").get().await.is_none());
    assert!(Rows { tenant: "other", ..Rows::new() }.named_entry("x").get().await.is_none());
    let left = entry.remaining_ttl().await.unwrap();
    assert!(left > Duration::from_secs(4 * 60) && left <= Duration::from_secs(330), "{left:?}");

    rows.row.write();
    assert_eq!(elsewhere.invalidate().await, Delivery::Applied);
    assert!(entry.get().await.is_none());
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 2);
}

async fn what_is_put_is_served_and_goes_with_its_tags(cache: Cache, _: Cache) {
    let rows = Rows::new();
    assert!(rows.named_entry("x").put(Ok(9)).await);
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 9);
    assert_eq!(rows.row.loads(), 0);
    let _ = cache.invalidate_tags(["acme"]).await;
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 1);
    assert!(!rows.named_entry("y").put(Err(io::ErrorKind::NotFound.into())).await);
}

async fn what_the_function_would_not_store_is_not_put(_: Cache, _: Cache) {
    let row = Row::new();
    let entry = chosen_entry(&7);
    assert!(!entry.put(Some(11)).await);
    assert_eq!(entry.get().await, None);
    assert!(entry.put(Some(12)).await);
    assert!(entry.remaining_ttl().await.is_some_and(|left| left <= Duration::from_secs(12)));
    assert_eq!(chosen(&row, 7).await, Some(12));
    assert!(entry.put(None).await);
    assert_eq!(entry.get().await, Some(None));
    assert_eq!(chosen(&row, 7).await, None);
    assert_eq!(row.loads(), 0);
}

async fn a_refresh_loads_anew_and_stores(cache: Cache, other: Cache) {
    let rows = Rows::new();
    let entry = rows.named_entry("x");
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 1);
    filled(&cache, "named", 1).await;
    rows.row.write();
    assert_eq!(entry.refresh(async { Ok(rows.row.read().await) }).await.unwrap(), 2);
    assert_eq!(scope(other, rows.named("x".to_owned())).await.unwrap(), 2);
    assert_eq!(rows.row.loads(), 2);
    entry.refresh(async { Err(io::ErrorKind::NotFound.into()) }).await.unwrap_err();
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 2, "an error leaves what is there");
    assert_eq!(cache.stats().function("named").failures, 1);
}

async fn a_refresh_that_was_overtaken_by_a_mutation_is_not_stored(cache: Cache, other: Cache) {
    let row = Row::with_gate(0);
    let entry = numbered_entry(&7);
    let refreshed = {
        let (row, entry) = (row.clone(), entry.clone());
        tokio::spawn(scope::current().carry(async move { entry.refresh(row.read()).await }))
    };
    row.has_loads(1).await;
    row.write();
    assert_eq!(other.invalidate("numbered:7").await, Delivery::Applied);
    row.gate.add_permits(10);
    assert_eq!(refreshed.await.unwrap(), 1);
    assert_eq!(entry.get().await, None);
    assert_eq!(numbered(&row, 7).await, 2);
    assert_eq!(cache.stats().function("numbered").refused, 1);
}

async fn an_older_load_does_not_overwrite_a_refresh(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let older = {
        let row = row.clone();
        tokio::spawn(scope::current().carry(async move { numbered(&row, 7).await }))
    };
    row.has_loads(1).await;
    row.write();
    assert_eq!(numbered_entry(&7).refresh(async { row.version.load(Ordering::SeqCst) }).await, 2);
    row.gate.add_permits(10);
    assert_eq!(older.await.unwrap(), 1, "its own caller's");
    common::until("it was refused", async || cache.stats().function("numbered").refused == 1).await;
    assert_eq!(numbered_entry(&7).get().await, Some(2));
}

async fn what_refreshes_inside_of_a_load_is_not_stored_itself(cache: Cache, _: Cache) {
    static AROUND: Site = Site::cached("handles", "around").key("around");
    let around = cache.entry(&AROUND, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    assert_eq!(around.get_or_load(async { numbered_entry(&7).refresh(async { 5 }).await }).await, 5);
    common::until("it was refused", async || cache.stats().function("around").refused == 1).await;
    assert_eq!(cache.stats().function("around").fills, 0);
    assert_eq!(numbered_entry(&7).get().await, Some(5));
}

async fn a_refresh_depends_on_what_it_reads(cache: Cache, _: Cache) {
    let row = Row::new();
    let entry = summed_entry(&[1, 2], &3);
    assert_eq!(entry.refresh(numbered(&row, 7)).await, 1);
    assert_eq!(entry.get().await, Some(1));
    filled(&cache, "numbered", 1).await;
    row.write();
    assert_eq!(numbered_entry(&7).invalidate().await, Delivery::Applied);
    assert_eq!(entry.get().await, None, "it goes with what it read");
    assert_eq!(summed(&row, &[1, 2], 3).await, 2);
}

async fn mutators_name_entries_by_their_handles(cache: Cache, other: Cache) {
    let rows = Rows::new();
    let read = async || (rows.named("x".to_owned()).await.unwrap(), numbered(&rows.row, 7).await);
    assert_eq!(read().await, (1, 1));
    for fills in 1..4 {
        filled(&cache, "named", fills).await;
        filled(&cache, "numbered", fills).await;
        let version = scope(other.clone(), rows.write("x".to_owned(), 7)).await;
        assert_eq!(read().await, (version, version));
    }
}

async fn handles_are_invalidated_in_every_mode(cache: Cache, _: Cache) {
    let rows = Rows::new();
    for fills in 1..4 {
        assert_eq!(rows.named("x".to_owned()).await.unwrap(), 2 * fills - 1);
        filled(&cache, "named", 2 * fills - 1).await;
        assert_eq!(rows.write_after("x").await, 2 * fills);
        assert_eq!(rows.named("x".to_owned()).await.unwrap(), 2 * fills);
        filled(&cache, "named", 2 * fills).await;
        assert_eq!(rows.write_strictly("x").await, 2 * fills + 1);
    }
}

async fn handles_wait_for_the_end_of_a_transaction(cache: Cache, other: Cache) {
    let rows = Rows::new();
    assert_eq!(rows.named("x".to_owned()).await.unwrap(), 1);
    filled(&cache, "named", 1).await;
    let transaction = async {
        rows.write_in_transaction("x").await;
        assert_eq!(rows.named_entry("x").invalidate().await, Delivery::Deferred);
        assert_eq!(rows.named("x".to_owned()).await.unwrap(), 2, "its own write");
        assert_eq!(cache.stats().total.applied, 0);
    };
    cache.defer_invalidations(transaction).await;
    assert_eq!(cache.stats().total.applied, 1);
    assert_eq!(scope(other, rows.named("x".to_owned())).await.unwrap(), 2);
}

async fn a_handle_is_invalidated_in_its_own_cache(_: Cache, _: Cache) {
    let (row, own) = (Row::new(), Cache::memory());
    let entry = scope(own.clone(), async {
        assert_eq!(numbered(&row, 7).await, 1);
        numbered_entry(&7)
    })
    .await;
    static WRITE: Site = Site::invalidates("handles", "write").keys(&["elsewhere"]);
    let invalidation = || global().invalidation(&WRITE).entries(&[&entry]);
    invalidation().run(async { row.write() }).await;
    assert_eq!(entry.get().await, None);
    assert_eq!(scope(own.clone(), numbered(&row, 7)).await, 2);
    assert_eq!(invalidation().apply().await, Delivery::Applied);
    assert_eq!(entry.get().await, None);
    let apply = async {
        row.write();
        let waits = invalidation().apply().await;
        assert_eq!(waits, Delivery::Deferred);
    };
    assert_eq!(scope(own.clone(), numbered(&row, 7)).await, 2);
    global().defer_invalidations(apply).await;
    assert_eq!(scope(own, numbered(&row, 7)).await, 3);
}

async fn a_mutator_dropped_half_way_leaves_no_entry_of_a_handle(_: Cache, _: Cache) {
    let (row, own) = (Row::new(), Cache::memory());
    let entry = scope(own.clone(), async { numbered_entry(&7) }).await;
    assert!(entry.put(1).await && numbered_entry(&7).put(1).await);
    static WRITE: Site = Site::invalidates("handles", "dropped");
    let entries = [&entry, &numbered_entry(&7)];
    let invalidation = global().invalidation(&WRITE).entries(&[&entries]);
    let mutation = invalidation.run(async {
        row.write();
        std::future::pending::<()>().await;
    });
    let mut mutation = Box::pin(mutation);
    common::until("the body has written", async || {
        assert!(waits(&mut mutation).await);
        row.version.load(Ordering::SeqCst) == 2
    })
    .await;
    drop(mutation);
    assert_eq!(entry.get().await, None);
    assert_eq!(numbered_entry(&7).get().await, None);
}

/// Polls `future` once; says whether it waits.
async fn waits(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|poller| Poll::Ready(Pin::new(&mut *future).poll(poller).is_pending())).await
}

on_every_store! {
    a_handle_is_the_entry_of_the_function
    what_is_put_is_served_and_goes_with_its_tags
    what_the_function_would_not_store_is_not_put
    a_refresh_loads_anew_and_stores
    a_refresh_that_was_overtaken_by_a_mutation_is_not_stored
    an_older_load_does_not_overwrite_a_refresh
    what_refreshes_inside_of_a_load_is_not_stored_itself
    a_refresh_depends_on_what_it_reads
    mutators_name_entries_by_their_handles
    handles_are_invalidated_in_every_mode
    handles_wait_for_the_end_of_a_transaction
    a_handle_is_invalidated_in_its_own_cache
    a_mutator_dropped_half_way_leaves_no_entry_of_a_handle
}

/// Every shape of function that a handle stands beside.
mod shapes {
    use super::*;

    trait Numbered: Sync {
        fn id(&self) -> u64;

        #[cached(ttl = "1m", key = "handles.provided:{n}", handle = Self::provided_entry)]
        async fn provided(&self, n: u8) -> u64 {
            self.id() + u64::from(n)
        }
    }

    struct Kind {
        id: u64,
    }

    impl Numbered for Kind {
        fn id(&self) -> u64 {
            self.id
        }
    }

    impl Kind {
        #[cached(ttl = "1m", key = "handles.associated:{name}", handle = Self::associated_entry)]
        async fn associated(name: &str) -> usize {
            name.len()
        }

        #[cached(ttl = "1m", key = "handles.changed:{self.id}:{by}", handle = changed_entry)]
        async fn changed(&mut self, by: &u64) -> u64 {
            self.id += by;
            self.id
        }

        #[cached(ttl = "1m", handle = shared_entry)]
        async fn shared(self: Arc<Self>, mut more: u64) -> u64 {
            more += self.id;
            more
        }
    }

    #[cached(ttl = "1m", key = "handles.generic:{T}:{N}:{of}:{bits}", skip(F, run), handle = generic_entry)]
    async fn generic<'a, T, F: AsyncFnOnce() -> u64, const N: usize>(
        of: &'a T,
        run: F,
        bits: impl cache_runtime::KeyPart + Copy,
    ) -> Option<u64>
    where
        T: cache_runtime::KeyPart + ?Sized + 'a,
    {
        Some(run().await)
    }

    #[tokio::test]
    async fn all_of_them_name_their_own_entry() {
        scope(Cache::memory(), async {
            assert_eq!(Kind { id: 1 }.provided(2).await, 3);
            assert_eq!(Kind::provided_entry(&2).get().await, Some(3));
            assert_eq!(Kind::associated("four").await, 4);
            assert_eq!(Kind::associated_entry("four").get().await, Some(4));
            assert_eq!(Kind { id: 1 }.changed(&2).await, 3);
            assert_eq!(Kind { id: 1 }.changed_entry(&2).get().await, Some(3));
            assert_eq!(Arc::new(Kind { id: 1 }).shared(2).await, 3);
            assert_eq!(Kind::shared_entry(&2).get().await, Some(3));
            assert_eq!(generic::<str, _, 3>("x", async || 5, 2_u8).await, Some(5));
            assert_eq!(generic_entry::<str, 3>("x", &2_u8).get().await, Some(Some(5)));
            assert_eq!(generic_entry::<str, 4>("x", &2_u8).get().await, None);
        })
        .await;
    }

    #[test]
    fn handles_can_be_kept_and_sent() {
        fn kept<T: Clone + Send + Sync + 'static>(_: T) {}
        kept(numbered_entry(&7));
        kept(chosen_entry(&7));
        kept(Rows::new().named_entry("x"));
        let handles: Vec<Handle<u64>> = vec![numbered_entry(&7), summed_entry(&[], &0)];
        assert_eq!(format!("{:?}", handles[0]), "Handle { function: \"numbered\", .. }");
    }
}
