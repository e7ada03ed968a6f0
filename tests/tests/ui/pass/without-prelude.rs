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

#[derive(cache_runtime::KeyPart)]
struct Id(u64);

#[derive(cache_runtime::KeyPart)]
enum Kind {
    Old,
    New { id: Id },
}

#[cached(ttl = "5m", key = "kind:{kind}:{name:json}")]
async fn kind(kind: Kind, name: &str) -> u64 {
    7
}

#[invalidates(key = "user:{result}", mode = after, when = |id| *id > 0)]
async fn create() -> u64 {
    7
}

fn cache_of(site: u8) -> cache_runtime::Cache {
    let _: u8 = site;
    cache_runtime::Cache::memory()
}

fn main() {
    let _ = (user(1), rename(1), create());
    let _ = (kind(Kind::Old, "x"), kind(Kind::New { id: Id(7) }, "x"));
}
