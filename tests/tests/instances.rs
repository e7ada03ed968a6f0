//! One function in the source that is several in the program: methods of a generic type, and those that a trait gives to many. They have one site, and may be given one key.

#[macro_use]
mod common;

use std::marker::PhantomData;
use std::sync::Arc;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::common::filled;

struct Users;
struct Orders;

trait Table {
    const ROWS: u64;

    #[cached(ttl = "5m", key = "given:{tenant}")]
    async fn given(&self, tenant: u64) -> u64 {
        Self::ROWS + tenant
    }

    #[cached(ttl = "5m")]
    async fn keyless(&self, tenant: u64) -> u64 {
        Self::ROWS + tenant
    }
}

impl Table for Users {
    const ROWS: u64 = 100;
}

impl Table for Orders {
    const ROWS: u64 = 200;
}

struct Repo<T>(PhantomData<T>, Arc<Semaphore>);

impl<T: Table> Repo<T> {
    fn new() -> Self {
        Self(PhantomData, Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }

    #[cached(ttl = "5m", key = "rows:{tenant}", handle = Self::rows_entry)]
    async fn rows(&self, tenant: u64) -> u64 {
        self.1.acquire().await.unwrap().forget();
        T::ROWS + tenant
    }

    #[cached(ttl = "5m", key = "sized:{Self}:{tenant}", tags = ["sized:{Self}"])]
    async fn sized(&self, tenant: u64) -> u64 {
        T::ROWS + tenant
    }

    #[invalidates(tags = ["sized:{Self}"])]
    async fn resize(&self) {}

    #[cached(ttl = "5m", key = "bare:{tenant}")]
    async fn bare(tenant: u64) -> u64 {
        T::ROWS + tenant
    }

    #[cached(ttl = "5m", key = "shown:{shown}")]
    async fn shown(&self, shown: impl AsRef<str> + cache_runtime::KeyPart + Send + Sync) -> u64 {
        T::ROWS + shown.as_ref().len() as u64
    }
}

#[cached(ttl = "5m", key = "rows:{tenant}")]
async fn rows_of_nothing(tenant: u64) -> u64 {
    tenant
}

#[cached(ttl = "5m", key = "plain:{tenant}")]
async fn plain(tenant: u64) -> u64 {
    tenant
}

struct Plain;

impl Plain {
    #[cached(ttl = "5m", key = "plain:{tenant}")]
    async fn method(&self, tenant: u64) -> u64 {
        tenant + 1
    }
}

async fn methods_of_a_generic_type_share_nothing_under_one_key(cache: Cache, other: Cache) {
    let (users, orders) = (Repo::<Users>::new(), Repo::<Orders>::new());
    for round in 1..3 {
        assert_eq!((users.rows(1).await, orders.rows(1).await, rows_of_nothing(1).await), (101, 201, 1));
        filled(&cache, "rows", 2 * round).await;
    }
    // Another process meets them in another order.
    assert_eq!(scope(other, async { (orders.rows(1).await, users.rows(1).await) }).await, (201, 101));
}

async fn associated_functions_without_a_receiver_share_nothing_under_one_key(_: Cache, _: Cache) {
    for _ in 0..2 {
        assert_eq!((Repo::<Users>::bare(1).await, Repo::<Orders>::bare(1).await), (101, 201));
    }
}

async fn what_a_trait_gives_to_two_types_they_do_not_share(_: Cache, _: Cache) {
    for _ in 0..2 {
        assert_eq!((Users.given(1).await, Orders.given(1).await), (101, 201));
        assert_eq!((Users.keyless(1).await, Orders.keyless(1).await), (101, 201));
    }
}

async fn methods_of_a_generic_type_do_not_join_each_others_loads(cache: Cache, _: Cache) {
    let gate = Arc::new(Semaphore::new(0));
    let (users, orders) = (Repo::<Users>(PhantomData, gate.clone()), Repo::<Orders>(PhantomData, gate.clone()));
    let mut callers = JoinSet::new();
    callers.spawn(scope::current().carry(async move { users.rows(1).await }));
    callers.spawn(scope::current().carry(async move { orders.rows(1).await }));
    common::until("both look", async || cache.stats().function("rows").misses == 2).await;
    gate.add_permits(2);
    let mut rows = callers.join_all().await;
    rows.sort_unstable();
    assert_eq!(rows, [101, 201]);
}

async fn one_instance_hits_what_it_has_stored(cache: Cache, other: Cache) {
    let users = Repo::<Users>::new();
    assert_eq!((users.rows(1).await, Users.given(1).await), (101, 101));
    filled(&cache, "rows", 1).await;
    filled(&cache, "given", 1).await;
    assert_eq!((users.rows(1).await, Users.given(1).await), (101, 101));
    assert_eq!(cache.stats().total.hits, 2);
    let before = other.stats();
    assert_eq!(scope(other.clone(), async { (users.rows(1).await, Users.given(1).await) }).await, (101, 101));
    assert_eq!(other.stats().since(&before).total.hits, 2);
}

async fn a_handle_is_of_the_instance_that_it_was_made_in(cache: Cache, _: Cache) {
    let users = Repo::<Users>::new();
    users.rows(1).await;
    filled(&cache, "rows", 1).await;
    assert_eq!(Repo::<Users>::rows_entry(&1).get().await, Some(101));
    assert_eq!(Repo::<Orders>::rows_entry(&1).get().await, None);
    assert!(Repo::<Users>::rows_entry(&1).put(7).await);
    assert_eq!(users.rows(1).await, 7);
}

async fn parameters_of_the_function_itself_make_no_instances(cache: Cache, _: Cache) {
    let users = Repo::<Users>::new();
    assert_eq!(users.shown("abc").await, 103);
    filled(&cache, "shown", 1).await;
    assert_eq!(users.shown("abc".to_owned()).await, 103);
    assert_eq!(cache.stats().function("shown").hits, 1);
}

async fn a_key_tells_types_apart_by_self(cache: Cache, _: Cache) {
    let (users, orders) = (Repo::<Users>::new(), Repo::<Orders>::new());
    for _ in 0..2 {
        assert_eq!((users.sized(1).await, orders.sized(1).await), (101, 201));
        filled(&cache, "sized", 2).await;
    }
    assert_eq!(cache.stats().function("sized").hits, 2);
    users.resize().await;
    let before = cache.stats();
    assert_eq!((users.sized(1).await, orders.sized(1).await), (101, 201));
    let counts = cache.stats().since(&before).function("sized");
    assert_eq!((counts.hits, counts.loads), (1, 1));
}

async fn functions_that_are_one_each_may_share_a_key(cache: Cache, _: Cache) {
    assert_eq!(plain(1).await, 1);
    filled(&cache, "plain", 1).await;
    assert_eq!(Plain.method(1).await, 1);
    assert_eq!(cache.stats().total.hits, 1);
}

on_every_store! {
    methods_of_a_generic_type_share_nothing_under_one_key
    associated_functions_without_a_receiver_share_nothing_under_one_key
    what_a_trait_gives_to_two_types_they_do_not_share
    methods_of_a_generic_type_do_not_join_each_others_loads
    one_instance_hits_what_it_has_stored
    a_handle_is_of_the_instance_that_it_was_made_in
    parameters_of_the_function_itself_make_no_instances
    a_key_tells_types_apart_by_self
    functions_that_are_one_each_may_share_a_key
}
