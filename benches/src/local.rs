//! Caches in process, each behind the same call: a user by tenant and id, stored behind an `Arc`.
//!
//! First the floor: a bare look-up in the map that ours is built on, with a key that borrows the tenant and no time-to-live. Then ours, then other crates, annotated
//! functions where they have them and the nearest call otherwise.

use std::hash::Hash;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Capacity;
use cache_runtime::cached;
use cache_runtime::install;
use cache_runtime::scope;
use cached::macros::cached as peer_cached;
use cached::macros::concurrent_cached as peer_concurrent;
use equivalent::Equivalent;
use serde::Deserialize;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::keys;

/// What is cached.
#[derive(Debug, Deserialize, Serialize)]
pub struct User {
    name: String,
}

impl User {
    fn load(tenant: &str, id: u64) -> Arc<Self> {
        Arc::new(Self { name: format!("{tenant} {id}") })
    }
}

/// One of the caches.
#[expect(missing_debug_implementations, reason = "it is a closure")]
pub struct Local {
    /// What the tables call it.
    pub name: &'static str,
    run: Box<Run>,
}

type Run = dyn Fn(&Runtime, &[u64]) + Sync;

impl Local {
    fn new<R>(name: &'static str, call: impl AsyncFn(&str, u64) -> R + Sync + 'static) -> Self {
        let run = move |runtime: &Runtime, keys: &[u64]| {
            runtime.block_on(async {
                for id in keys {
                    black_box(call(black_box(TENANT), *id).await);
                }
            });
        };
        Self { name, run: Box::new(run) }
    }

    /// The same with a cache of its own: entries of another function would take its room in the processor's caches.
    fn within<R>(cache: Cache, name: &'static str, call: impl AsyncFn(&str, u64) -> R + Sync + 'static) -> Self {
        let run = move |runtime: &Runtime, keys: &[u64]| {
            runtime.block_on(scope(cache.clone(), async {
                for id in keys {
                    black_box(call(black_box(TENANT), *id).await);
                }
            }));
        };
        Self { name, run: Box::new(run) }
    }

    /// Calls it for each of `keys` in turn.
    pub fn run(&self, runtime: &Runtime, keys: &[u64]) {
        (self.run)(runtime, keys);
    }
}

/// The floor and all those whose name has `word` in it, with every key stored. To be called once.
///
/// # Panics
///
/// When a cache was installed before.
pub fn named(word: &str, runtime: &Runtime) -> Vec<Local> {
    install(ours()).expect("the first cache");
    let mut locals = all();
    locals.retain(|local| local.name == FLOOR || local.name.contains(word));
    let keys: Vec<u64> = (0..keys::MANY).collect();
    locals.iter().for_each(|local| local.run(runtime, &keys));
    locals
}

fn ours() -> Cache {
    Cache::builder().capacity(Capacity::Entries(ROOM)).build().expect("a cache in memory")
}

fn all() -> Vec<Local> {
    vec![
        floor(),
        Local::new("annotated", async |tenant, id| plain(tenant, id).await),
        Local::within(ours(), "annotated, two fixed tags", async |tenant, id| two_tags(tenant, id).await),
        Local::within(ours(), "annotated, a tag of the arguments", async |tenant, id| {
            tag_of_arguments(tenant, id).await
        }),
        quick_cache_async(),
        Local::new("cached, `concurrent_cached` with ttl", async |tenant, id| concurrent(tenant, id).await),
        Local::new("cached, `cached` with ttl", async |tenant, id| mutexed(tenant, id).await),
        moka_get(),
        moka_get_with(),
    ]
}

#[cached(ttl = "1h", key = "user:{tenant}:{id}")]
async fn plain(tenant: &str, id: u64) -> Arc<User> {
    User::load(tenant, id)
}

#[cached(ttl = "1h", key = "tagged:{tenant}:{id}", tags = ["users", "all"])]
async fn two_tags(tenant: &str, id: u64) -> Arc<User> {
    User::load(tenant, id)
}

#[cached(ttl = "1h", key = "dynamic:{tenant}:{id}", tags = ["tenant:{tenant}"])]
async fn tag_of_arguments(tenant: &str, id: u64) -> Arc<User> {
    User::load(tenant, id)
}

#[peer_concurrent(ttl_secs = 3600, key = "(String, u64)", convert = "{ (tenant.to_owned(), id) }")]
async fn concurrent(tenant: &str, id: u64) -> Arc<User> {
    User::load(tenant, id)
}

#[peer_cached(ttl_secs = 3600, key = "(String, u64)", convert = "{ (tenant.to_owned(), id) }")]
async fn mutexed(tenant: &str, id: u64) -> Arc<User> {
    User::load(tenant, id)
}

fn floor() -> Local {
    let cache = quick_cache::sync::Cache::<(String, u64), Arc<User>>::new(ROOM);
    for id in 0..keys::MANY {
        cache.insert((TENANT.to_owned(), id), User::load(TENANT, id));
    }
    Local::new(FLOOR, async move |tenant, id| cache.get(&Borrowed(tenant, id)).expect("what was stored"))
}

fn quick_cache_async() -> Local {
    let cache = quick_cache::sync::Cache::<(String, u64), Arc<User>>::new(ROOM);
    Local::new("quick_cache, `get_or_insert_async`", async move |tenant, id| {
        let load = async { Ok::<_, ()>(User::load(tenant, id)) };
        cache.get_or_insert_async(&(tenant.to_owned(), id), load).await
    })
}

fn moka() -> moka::future::Cache<(String, u64), Arc<User>> {
    moka::future::Cache::builder().max_capacity(ROOM as u64).time_to_live(Duration::from_secs(3600)).build()
}

fn moka_get() -> Local {
    let cache = moka();
    Local::new("moka, borrowed `get` with ttl", async move |tenant, id| match cache.get(&Borrowed(tenant, id)).await {
        Some(user) => user,
        None => {
            let user = User::load(tenant, id);
            cache.insert((tenant.to_owned(), id), user.clone()).await;
            user
        }
    })
}

fn moka_get_with() -> Local {
    let cache = moka();
    Local::new("moka, `get_with` with ttl", async move |tenant, id| {
        cache.get_with_by_ref(&(tenant.to_owned(), id), async { User::load(tenant, id) }).await
    })
}

/// A key that owns nothing.
#[derive(Hash)]
struct Borrowed<'a>(&'a str, u64);

impl Equivalent<(String, u64)> for Borrowed<'_> {
    fn equivalent(&self, (tenant, id): &(String, u64)) -> bool {
        self.0 == tenant && self.1 == *id
    }
}

/// What the tables call the floor.
pub const FLOOR: &str = "floor: quick_cache, borrowed `get`";
const TENANT: &str = "acme";
const ROOM: usize = 150_000;
