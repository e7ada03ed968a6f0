//! STUB.
use crate::entry::Entry;
use crate::invalidation::Invalidation;
use crate::outcome::Outcome;
use crate::policy::Unset;
use crate::site::Site;
/// A cache.
#[derive(Clone, Debug)]
pub struct Cache;
/// The installed cache.
pub fn global() -> Cache {
    Cache
}
impl Cache {
    /// In process.
    pub fn memory() -> Self {
        Self
    }
    /// An entry.
    pub fn entry<K: Outcome>(&self, site: &'static Site, _kind: K) -> Entry<K, Unset> {
        Entry::new(self.clone(), site)
    }
    /// An invalidation.
    pub fn invalidation(&self, site: &'static Site) -> Invalidation {
        Invalidation::new(self.clone(), site)
    }
}
