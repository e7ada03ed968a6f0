//! The in-process store as if it were outside of the process.
//!
//! A store in process cannot fail, and the engine relies on that: what it holds there dies with it, so nothing is renewed and nothing has to be short-lived. Where a test makes it fail,
//! it has to be used as one that can: entries are bytes, leases and marks are short and renewed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Header;
use crate::envelope::Payload;
use crate::envelope::Stored;
use crate::key::Name;
use crate::local::Arriving;
use crate::local::Local;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::listing::Glimpse;
use crate::store::listing::HEAD;
use crate::store::listing::Page;
use crate::store::pass_on::passes_on;

/// Keeps bytes in the in-process store, with the tokens of their entries, so that these are known for as long as the entries are there.
#[derive(Debug)]
pub(crate) struct Outside(pub(crate) Arc<Local>);

impl Outside {
    /// The bytes as a value that they are.
    fn wrapped(&self, key: &Name, bytes: &Bytes) -> Arriving {
        let decoded = Stored::decode(key, bytes, &[]).ok();
        let length = match decoded.as_ref().map(|stored| &stored.payload) {
            Some(Payload::Bytes(packed)) => packed.bytes.len(),
            _ => bytes.len(),
        };
        let header = decoded.map_or_else(unknown, |stored| stored.header);
        Arriving { encoded: self.0.heaviest().map(|_| length as u64), ..Arriving::of(header, bytes.clone()) }
    }

    async fn fill_bytes(&self, fill: Fill) -> Result<bool, StoreError> {
        let Blob::Bytes(bytes) = &fill.blob else {
            return Err(StoreError::Refused("a value that is not encoded".to_owned()));
        };
        let blob = self.wrapped(&fill.key, bytes).blob();
        self.0.fill(Fill { blob, ..fill }).await
    }

    async fn listed_bytes(&self, tag: Name, from: Option<u64>) -> Result<Page, StoreError> {
        let mut page = self.0.listed(tag, from).await?;
        for listed in &mut page.listed {
            listed.entry = listed.entry.take().and_then(|entry| match unwrapped(entry.head)? {
                Blob::Bytes(bytes) => {
                    let (head, size) = (Blob::Bytes(bytes.slice(..bytes.len().min(HEAD))), bytes.len() as u64);
                    Some(Glimpse { head, size, ..entry })
                }
                _ => None,
            });
        }
        Ok(page)
    }

    async fn read_bytes(&self, reads: Vec<Read>) -> Result<Vec<Reading>, StoreError> {
        let mut readings = self.0.read(reads).await?;
        for reading in &mut readings {
            reading.entry = reading.entry.take().and_then(|(lease, blob)| Some((lease, unwrapped(blob)?)));
        }
        Ok(readings)
    }
}

fn unwrapped(blob: Blob) -> Option<Blob> {
    match blob {
        Blob::Bytes(_) | Blob::Bygone => Some(blob),
        Blob::Value(held) => held.value()?.downcast_ref::<Bytes>().cloned().map(Blob::Bytes),
    }
}

/// The header of bytes that are no entry, which a store does not mind.
fn unknown() -> Header {
    Header {
        schema: 0,
        version: 0,
        created: 0,
        ttl: Duration::ZERO,
        load: Duration::ZERO,
        even_invalidated: false,
        dependencies: Vec::new(),
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Outside {
    passes_on!(0: ready begin renew release touch live_on mark revoke lists discard);

    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        Box::pin(self.read_bytes(reads))
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        Box::pin(self.fill_bytes(fill))
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        Box::pin(self.listed_bytes(tag, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::core::Settings;
    use crate::host::SharedHost;
    use crate::host::Threaded;
    use crate::local::Capacity;
    use crate::store::conformance;
    use crate::store::conformance::Breach;
    use crate::store::conformance::Subject;
    use crate::store::conformance::Waiting;
    use crate::testing::Faults;

    struct Held(Arc<dyn Store>, Clock);

    impl Subject for Held {
        fn store(&self) -> Arc<dyn Store> {
            self.0.clone()
        }

        fn advance(&self, by: Duration) -> Waiting<'_> {
            self.1.advance(by);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn the_store_of_a_test_conforms_while_nothing_is_wrong() {
        let clock = Clock::held();
        let local = Arc::new(Local::new(Capacity::default(), clock.clone()));
        let host: SharedHost = Arc::new(Threaded::default());
        let store = Faults::new().over(Arc::new(Outside(local)), &host, &clock, &Settings::default());
        let breaches = conformance::breaches(&Held(store, clock)).await;
        // In process a token lives until it is revoked, so that none can return.
        let exempt =
            |breach: &&Breach| breach.law == "an expired token never returns" && breach.seen.starts_with("expired:");
        assert_eq!(breaches.iter().filter(exempt).count(), breaches.len(), "{breaches:#?}");
    }
}
