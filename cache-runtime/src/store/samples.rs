//! What the tests of stores on real servers ask for, and how long they wait.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::key::Name;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Steal;
use crate::store::Store;
use crate::store::Targets;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;

pub(super) const LONG: Duration = Duration::from_secs(60);
/// As a cache has it by default.
pub(super) const DEADLINE: Duration = Duration::from_millis(100);
/// For a machine that does other things too.
pub(super) const SLACK: Duration = Duration::from_millis(150);
/// A deadline that no test of something else runs into.
pub(super) const PATIENT: Duration = Duration::from_secs(5);

pub(super) fn name(name: &str) -> Name {
    Name::new(name.as_bytes())
}

pub(super) fn tag(tag: &str) -> Register {
    Register::Tag(name(tag))
}

pub(super) fn read_of(key: &str, tags: &[&str]) -> Read {
    Read { entry: Some(name(key)), registers: tags.iter().map(|text| tag(text)).collect() }
}

pub(super) fn begin(key: &str, id: LeaseId, tags: &[&str]) -> Begin {
    let lease = LeaseRequest { key: name(key), id, generation: None, life: LONG, seen: None, steal: Steal::Nobodys };
    Begin { lease: Some(lease), registers: tags.iter().map(|text| tag(text)).collect(), token_life: LONG }
}

pub(super) fn fill(key: &str, lease: LeaseId, bytes: impl Into<Bytes>) -> Fill {
    Fill {
        key: name(key),
        lease,
        blob: Blob::Bytes(bytes.into()),
        fresh: LONG,
        life: LONG,
        touch: vec![tag("a")],
        token_life: LONG,
        listing: None,
    }
}

pub(super) fn targets(keys: &[&str], tags: &[&str]) -> Targets {
    let names = |texts: &[&str]| texts.iter().map(|text| name(text)).collect();
    Targets { keys: names(keys), tags: names(tags) }
}

pub(super) fn mark(id: u128) -> Mark {
    Mark { id: MarkId(id), life: LONG, strict: false, renew: false, late: false }
}

/// Waits until the store answers `read` again, and says how long the longest call meanwhile took.
pub(super) async fn healed(store: &dyn Store, read: Read) -> Duration {
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let call = Instant::now();
        let answer = store.read(vec![read.clone()]).await;
        longest = longest.max(call.elapsed());
        if answer.is_ok() {
            return longest;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still away: {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks a server that is silent many times at once: all of it ends by one deadline.
pub(super) async fn many_calls_end_together(store: Arc<dyn Store>) {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..500 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.read(vec![read_of(&format!("k{number}"), &["a"])]).await.is_err() });
    }
    assert!(calls.join_all().await.into_iter().all(|failed| failed));
    assert!(began.elapsed() < DEADLINE + SLACK, "they took {:?}", began.elapsed());
}
