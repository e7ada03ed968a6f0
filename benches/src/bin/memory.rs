//! What a hit allocates, and what an entry keeps.
//!
//! `cargo run --release --bin memory`. Everything is counted by the allocator, so nothing here depends on the machine's mood.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use benches::keys;
use benches::local::named;
use benches::table::Table;
use cache_runtime::Cache;
use cache_runtime::Capacity;
use cache_runtime::cached;
use cache_runtime::scope;
use serde::Deserialize;
use serde::Serialize;
use stats_alloc::INSTRUMENTED_SYSTEM;
use stats_alloc::Region;
use stats_alloc::StatsAlloc;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    println!("Allocations of a hit:\n\n{}", allocations(&runtime));
    println!("Bytes that each of 100,000 entries keeps, 64 of them the value:\n\n{}", bytes(&runtime));
}

fn allocations(runtime: &Runtime) -> Table {
    let mut table = Table::new(["", "allocations", "bytes"]);
    for local in named("", runtime) {
        let keys = keys::hot(HITS);
        let region = Region::new(ALLOCATOR);
        local.run(runtime, &keys);
        let change = region.change();
        let per_hit = |count: usize| format!("{:.1}", count as f64 / HITS as f64);
        table.row([local.name.to_owned(), per_hit(change.allocations), per_hit(change.bytes_allocated)]);
    }
    table
}

fn bytes(runtime: &Runtime) -> Table {
    let mut table = Table::new(["", "bytes per entry"]);
    let mut row = |name: &str, kept: isize| table.row([name.to_owned(), (kept / keys::MANY as isize).to_string()]);
    row("quick_cache", kept_by(quick_cache));
    row("moka with ttl", kept_by(|| runtime.block_on(moka())));
    row("annotated", kept_by(|| runtime.block_on(annotated(plain))));
    row("annotated, two fixed tags", kept_by(|| runtime.block_on(annotated(two_tags))));
    row("annotated, a fixed tag and one of its own", kept_by(|| runtime.block_on(annotated(tag_of_its_own))));
    table
}

/// How many more bytes there are once `fill` has run and what it returned still lives.
fn kept_by<T>(fill: impl FnOnce() -> T) -> isize {
    let region = Region::new(ALLOCATOR);
    let filled = fill();
    let change = region.change();
    drop(filled);
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

/// A value of 64 bytes.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
struct Small([u64; 8]);

fn quick_cache() -> quick_cache::sync::Cache<(String, u64), Arc<Small>> {
    let cache = quick_cache::sync::Cache::new(ROOM);
    for id in 0..keys::MANY {
        cache.insert((TENANT.to_owned(), id), Arc::new(Small::default()));
    }
    assert_eq!(cache.len() as u64, keys::MANY);
    cache
}

async fn moka() -> moka::future::Cache<(String, u64), Arc<Small>> {
    let cache =
        moka::future::Cache::builder().max_capacity(ROOM as u64).time_to_live(Duration::from_secs(3600)).build();
    for id in 0..keys::MANY {
        cache.insert((TENANT.to_owned(), id), Arc::new(Small::default())).await;
    }
    cache.run_pending_tasks().await;
    assert_eq!(cache.entry_count(), keys::MANY);
    cache
}

#[cached(ttl = "1h", key = "user:{tenant}:{id}")]
async fn plain(tenant: &str, id: u64) -> Arc<Small> {
    Arc::new(Small::default())
}

#[cached(ttl = "1h", key = "user:{tenant}:{id}", tags = ["users", "all"])]
async fn two_tags(tenant: &str, id: u64) -> Arc<Small> {
    Arc::new(Small::default())
}

#[cached(ttl = "1h", key = "user:{tenant}:{id}", tags = ["users", "user:{id}"])]
async fn tag_of_its_own(tenant: &str, id: u64) -> Arc<Small> {
    Arc::new(Small::default())
}

async fn annotated(call: impl AsyncFn(&'static str, u64) -> Arc<Small>) -> Cache {
    let cache = Cache::builder().capacity(Capacity::Entries(ROOM)).build().expect("a cache in memory");
    scope(cache.clone(), async {
        for id in 0..keys::MANY {
            call(TENANT, id).await;
        }
    })
    .await;
    // Whenever it makes room for twice as many tags, one that no entry has yet may go, and a load then stores nothing.
    assert!(cache.stats().total.fills > keys::MANY - 100);
    cache
}

const TENANT: &str = "acme";
const HITS: usize = 1000;
/// More than there are keys, because each cache is divided and its parts do not fill evenly.
const ROOM: usize = 120_000;
