//! The store against real servers.

mod cluster;
mod conformance;
mod faults;
mod foreign;
mod incarnations;
mod lists;
mod login;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::MakeBreaker;
use super::Redis;
use super::server::Server;
use super::settings;
use crate::breaker::Breaker;
use crate::breaker::Limits;
use crate::clock::Clock;
use crate::host::Threaded;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::samples;
use crate::store::samples::DEADLINE;
use crate::store::samples::LONG;
use crate::store::samples::PATIENT;
use crate::store::samples::SLACK;
use crate::store::samples::fill;
use crate::store::samples::many_calls_end_together;
use crate::store::samples::mark;
use crate::store::samples::name;
use crate::store::samples::read_of;
use crate::store::samples::tag;
use crate::store::samples::targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;

/// As a cache makes them that says nothing of them.
pub(super) fn breakers() -> MakeBreaker {
    let (host, clock) = (Arc::new(Threaded::default()), Clock::default());
    Arc::new(move |debt| Arc::new(Breaker::new(Limits::default(), clock.clone(), host.clone(), debt)))
}

fn store(server: &Server, op_timeout: Duration) -> Arc<Redis> {
    let settings = settings(&server.url()).unwrap().namespace("test").op_timeout(op_timeout);
    Arc::new(Redis::new(settings, Handle::current(), breakers()).unwrap())
}

/// A store whose deadline no test of something else runs into.
fn patient(server: &Server) -> Arc<Redis> {
    store(server, PATIENT)
}

fn asker(id: u128) -> LeaseId {
    LeaseId::asked(id << 64)
}

fn begin(key: &str, id: u128, tags: &[&str]) -> Begin {
    samples::begin(key, asker(id), tags)
}

/// The entry and the states of `read`.
async fn seen(store: &Redis, read: Read) -> (Option<Bytes>, Vec<State>) {
    let reading = store.read(vec![read]).await.unwrap().pop().unwrap();
    let entry = reading.entry.map(|(_, blob)| match blob {
        Blob::Bytes(bytes) => bytes,
        Blob::Value(_) => panic!("a value from Redis"),
        Blob::Bygone => Bytes::from_static(b"bygone"),
    });
    (entry, reading.states)
}

/// Begins and fills as a load does.
async fn load(store: &Redis, key: &str, id: u128, tags: &[&str], text: &'static str) -> bool {
    let begun = store.begin(begin(key, id, tags)).await.unwrap();
    let Some(LeaseState::Won(lease)) = begun.lease else { return false };
    store.fill(fill(key, lease, text)).await.unwrap()
}

/// The lease of a key that nobody holds.
async fn won(store: &Redis, begin: Begin) -> (LeaseId, Vec<State>) {
    let begun = store.begin(begin).await.unwrap();
    let Some(LeaseState::Won(lease)) = begun.lease else { panic!("{begun:?}") };
    (lease, begun.states)
}

/// Every operation there is, with how long it took and whether it failed.
async fn every_operation(store: &Redis) -> Vec<(&'static str, Duration, Option<StoreError>)> {
    let mut seen = Vec::new();
    let (key, lease) = (name("k"), asker(1));
    timed(&mut seen, "read", store.read(vec![read_of("k", &["a"])])).await;
    timed(&mut seen, "begin", store.begin(begin("k", 1, &["a"]))).await;
    timed(&mut seen, "renew", store.renew(key.clone(), lease, Generation(1), LONG)).await;
    timed(&mut seen, "fill", store.fill(fill("k", lease, "v"))).await;
    timed(&mut seen, "release", store.release(key, lease)).await;
    timed(&mut seen, "mark", store.mark(targets(&["k"], &["a"]), mark(1))).await;
    timed(&mut seen, "revoke", store.revoke(targets(&["k"], &["a"]), Some(MarkId(1)))).await;
    seen
}

async fn timed<T>(
    seen: &mut Vec<(&'static str, Duration, Option<StoreError>)>,
    what: &'static str,
    operation: impl Future<Output = Result<T, StoreError>>,
) {
    let began = Instant::now();
    let error = operation.await.err();
    seen.push((what, began.elapsed(), error));
}

/// Waits until the store answers again, and says how long the longest call meanwhile took.
async fn healed(store: &Redis) -> Duration {
    samples::healed(store, read_of("k", &["a"])).await
}
