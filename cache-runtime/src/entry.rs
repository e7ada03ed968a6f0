//! STUB.
use crate::cache::Cache;
use crate::key::KeyPart;
use crate::outcome::{Cacheable, Outcome};
use crate::policy::{TimeToLive, Unset};
use crate::site::Site;
use std::marker::PhantomData;
use std::time::Duration;
/// One entry.
#[must_use = "an entry does nothing until it is asked, as with `get_or_load`"]
#[derive(Debug)]
pub struct Entry<K, T = Unset> {
    cache: Cache,
    site: &'static Site,
    ttl: T,
    kind: PhantomData<fn() -> K>,
}
impl<K: Outcome> Entry<K, Unset> {
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        Self { cache, site, ttl: Unset, kind: PhantomData }
    }
}
impl<K: Outcome, T> Entry<K, T> {
    /// Says whose function this is; only for a key that was not given.
    pub fn of<S: ?Sized>(self) -> Self {
        self
    }
    /// Fills the key's placeholders.
    pub fn key(self, parts: &[&dyn KeyPart]) -> Self {
        let _ = parts;
        self
    }
    /// Fills the tags' placeholders, all of them in order.
    pub fn tags(self, parts: &[&dyn KeyPart]) -> Self {
        let _ = parts;
        self
    }
    /// ttl.
    pub fn ttl(self, ttl: Duration) -> Entry<K, Duration> {
        Entry { cache: self.cache, site: self.site, ttl, kind: PhantomData }
    }
    /// ttl from the value.
    pub fn ttl_with<F: Fn(&K::Value) -> Duration>(self, ttl: F) -> Entry<K, F> {
        Entry { cache: self.cache, site: self.site, ttl, kind: PhantomData }
    }
    /// jitter.
    pub fn jitter(self, jitter: f64) -> Self {
        let _ = jitter;
        self
    }
    /// in transaction.
    pub fn in_transaction(self) -> Self {
        self
    }
    /// Get or load.
    pub async fn get_or_load<F>(self, load: F) -> K::Whole
    where
        F: Future<Output = K::Whole>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        let _ = (&self.cache, &self.site, &self.ttl);
        load.await
    }
}
