//! STUB.
use crate::cache::Cache;
use crate::key::KeyPart;
use crate::site::Site;
use std::time::Duration;
/// How.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// guarded
    #[default]
    Guarded,
    /// linearizable
    Linearizable,
    /// after
    After,
}
/// One invalidation.
#[must_use]
#[derive(Debug)]
pub struct Invalidation {
    cache: Cache,
    site: &'static Site,
}
impl Invalidation {
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        Self { cache, site }
    }
    /// Fills the keys' placeholders, all of them in order.
    pub fn keys(self, parts: &[&dyn KeyPart]) -> Self {
        let _ = parts;
        self
    }
    /// Fills the tags' placeholders, all of them in order.
    pub fn tags(self, parts: &[&dyn KeyPart]) -> Self {
        let _ = parts;
        self
    }
    /// mode
    pub fn mode(self, mode: Mode) -> Self {
        let _ = mode;
        self
    }
    /// hold-off
    pub fn hold_off(self, hold_off: Duration) -> Self {
        let _ = hold_off;
        self
    }
    /// in transaction
    pub fn in_transaction(self) -> Self {
        self
    }
    /// Runs `body`, the mutation, and invalidates however it ends.
    pub async fn run<F: Future>(self, body: F) -> F::Output {
        let _ = (&self.cache, &self.site);
        body.await
    }
}
