//! The store against real servers.

mod conformance;
mod faults;
#[cfg(feature = "tls")]
mod tls;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::Memcached;
use super::server;
use super::settings;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::LeaseState;
use crate::store::Read;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::fleet::Fleet;
use crate::store::fleet::Ring;
use crate::store::samples;
use crate::store::samples::DEADLINE;
use crate::store::samples::LONG;
use crate::store::samples::PATIENT;
use crate::store::samples::SLACK;
use crate::store::samples::fill;
use crate::store::samples::healed;
use crate::store::samples::many_calls_end_together;
use crate::store::samples::mark;
use crate::store::samples::name;
use crate::store::samples::read_of;
use crate::store::samples::tag;
use crate::store::samples::targets;
use crate::store::witnesses::Witnessed;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;

fn store(server: &server::Memcached, op_timeout: Duration) -> Arc<dyn Store> {
    let settings = settings(&server.url()).unwrap().op_timeout(op_timeout);
    Arc::new(Memcached::all(&settings, &Handle::current()).unwrap().remove(0))
}

fn fleet(servers: &[server::Memcached], op_timeout: Duration) -> (Arc<dyn Store>, Arc<Ring>) {
    let settings = settings(&server::Memcached::url_of(servers)).unwrap().op_timeout(op_timeout);
    let nodes = Memcached::all(&settings, &Handle::current()).unwrap();
    let ring = Arc::new(Ring::new(&settings.servers));
    let fleet = Arc::new(Fleet::new(nodes.into_iter().map(|node| Arc::new(node) as _).collect(), Arc::clone(&ring)));
    (Arc::new(Witnessed::new(fleet, ring.witnesses())), ring)
}

fn begin(key: &str, tags: &[&str]) -> Begin {
    samples::begin(key, LeaseId::asked(rand::random()), tags)
}

/// The lease of a key that nobody holds.
async fn won(store: &dyn Store, begin: Begin) -> LeaseId {
    let begun = store.begin(begin).await.unwrap();
    let Some(LeaseState::Won(lease)) = begun.lease else { panic!("{begun:?}") };
    lease
}

/// Begins and fills as a load does.
async fn load(store: &dyn Store, key: &str, tags: &[&str], text: &'static str) -> bool {
    let lease = won(store, begin(key, tags)).await;
    store.fill(fill(key, lease, Bytes::from_static(text.as_bytes()))).await.unwrap()
}

/// The entry and the states of `read`.
async fn seen(store: &dyn Store, read: Read) -> Result<(Option<Bytes>, Vec<State>), StoreError> {
    let reading = store.read(vec![read]).await?.pop().unwrap();
    let entry = reading.entry.map(|(_, blob)| match blob {
        Blob::Bytes(bytes) => bytes,
        other => panic!("{other:?} from Memcached"),
    });
    Ok((entry, reading.states))
}
