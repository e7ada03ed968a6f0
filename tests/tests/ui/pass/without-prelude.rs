#![no_implicit_prelude]

extern crate cache_runtime;
extern crate std;

use cache_runtime::cached;
use cache_runtime::invalidates;

// Names that the expansion must not take for its own.
#[allow(dead_code)]
mod core {}
#[allow(dead_code, non_camel_case_types)]
struct Option;
#[allow(dead_code)]
static SITE: u8 = 0;
#[allow(dead_code)]
fn entry() {}

#[cached(ttl = "5m", key = "user:{id}", cache = cache_of(SITE))]
async fn user(id: u64) -> u64 {
    id
}

#[invalidates(key = "user:{id}", mode = after)]
async fn rename(id: u64) -> u64 {
    id
}

fn cache_of(site: u8) -> cache_runtime::Cache {
    let _: u8 = site;
    cache_runtime::Cache::memory()
}

fn main() {
    let _ = (user(1), rename(1));
}
