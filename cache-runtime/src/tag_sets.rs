//! Tag sets: which entries have a tag, and the removal of those that were invalidated.
//!
//! What is invalid is decided by tokens, and by nothing here. A set is the inventory of a tag: the store names the entries that it has listed, and each of them is looked at before it is
//! spoken of. So a set may lack an entry, and names none that would not be served.

mod purge;
mod standing;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::core::Core;
use crate::error::Error;
use crate::error::Kind;
use crate::invalidation;
use crate::invalidation::Delivery;
use crate::key::Name;
use crate::site::Site;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::listing::Listing;
use crate::tag_sets::purge::Waiting;
pub(crate) use crate::tag_sets::purge::invalidated;
use crate::tag_sets::standing::Standing;
use crate::tag_sets::standing::page;
use crate::token::Dependency;
use crate::token::Register;

/// A tag, to be asked about its entries. [`Cache::tag`](crate::Cache::tag) gives one.
///
/// What it says is put together from many answers of the store, so each entry is spoken of as it was at some moment after the call. An entry that was invalidated before the call is never
/// among them. Entries may be missing: beyond [`tag_sets`](crate::Builder::tag_sets), where a store that was full did not write them down or has evicted the list, and where another process that keeps no lists stored them. So
/// it is for looking and for cleaning up, and not for deciding what is cached.
///
/// # Errors
///
/// Every question fails when the cache was built without [`tag_sets`](crate::Builder::tag_sets), when its store keeps none ([`is_unsupported`](Error::is_unsupported)), and when the store does not answer. Each operation of the
/// store has its [deadline](crate::Builder::op_timeout), and there are as many as it takes to look at a hundred entries at a time.
///
/// # Cancel safety
///
/// Nothing is left behind.
#[derive(Clone)]
pub struct Tag {
    core: Arc<Core>,
    name: Name,
}

/// An entry that has a tag, as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedEntry {
    key: Name,
    size: u64,
    remaining: Duration,
}

impl TaggedEntry {
    /// The full text of its key, such as `user:7`, as [`Cache::invalidate`](crate::Cache::invalidate) takes it; a hash of it, which begins with `#`, if it is longer than 200 bytes.
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    /// How many bytes of it are stored: on a Redis all of the entry, in process as many as the value has when it is encoded.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// For how long it may still be served. Zero for one that is only kept to be served past its time, as with `stale_if_error`.
    pub fn remaining(&self) -> Duration {
        self.remaining
    }
}

impl Tag {
    pub(crate) fn new(core: &Arc<Core>, name: Name) -> Self {
        Self { core: Arc::clone(core), name }
    }

    /// The entries that have this tag and were not invalidated, at most as many as [`tag_sets`](crate::Builder::tag_sets) says, in no order.
    ///
    /// # Errors
    ///
    /// Those of [`Tag`].
    pub async fn entries(&self) -> Result<Vec<TaggedEntry>, Error> {
        let mut entries = Vec::new();
        self.each(|entry| entries.push(entry)).await?;
        Ok(entries)
    }

    /// How many entries [`entries`](Self::entries) would name.
    ///
    /// # Errors
    ///
    /// Those of [`Tag`].
    pub async fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        self.each(|_| count += 1).await?;
        Ok(count)
    }

    /// How many bytes those entries take, as each [says](TaggedEntry::size).
    ///
    /// # Errors
    ///
    /// Those of [`Tag`].
    pub async fn size(&self) -> Result<u64, Error> {
        let mut size: u64 = 0;
        self.each(|entry| size = size.saturating_add(entry.size)).await?;
        Ok(size)
    }

    /// Removes from the store the listed entries that were invalidated, by this tag or another, and says how many those were.
    ///
    /// This is done by itself, soon after the tag is invalidated, by the process that invalidates it. Nothing is served less for it, with one exception that is spared: what may be served
    /// [even if it was invalidated](crate::Entry::even_invalidated) is left to expire.
    ///
    /// A call that finds an entry gone, where it would have found it invalidated, says so: [`Miss::Absent`](crate::explain::Miss::Absent).
    ///
    /// # Errors
    ///
    /// Those of [`Tag`].
    pub async fn purge(&self) -> Result<u64, Error> {
        self.most()?;
        purge::purge(&self.core, &self.name).await.map_err(unlisted)
    }

    /// Invalidates all entries that have this tag, listed or not, as [`Cache::invalidate_tags`](crate::Cache::invalidate_tags) does on any store.
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn invalidate(&self) -> Delivery {
        static SITE: Site = Site::invalidates("cache_runtime::Tag", "invalidate");
        let targets = Targets { keys: Vec::new(), tags: vec![self.name.clone()] };
        invalidation::invalidate(&self.core, &SITE, targets).await
    }

    /// Gives `of_use` every entry that is listed, stands and was not given before.
    async fn each(&self, mut of_use: impl FnMut(TaggedEntry)) -> Result<(), Error> {
        let most = self.most()?;
        let mut given = HashSet::new();
        let mut from = None;
        while given.len() < most {
            let (looked_at, next) = page(&self.core, &self.name, from).await.map_err(unlisted)?;
            for (listed, standing) in looked_at {
                let Standing::Stands { size, until } = standing else { continue };
                if given.len() < most && given.insert(listed.key.clone()) {
                    let remaining = until.saturating_sub(Duration::from_millis(self.core.clock.wall()));
                    of_use(TaggedEntry { key: listed.key, size, remaining });
                }
            }
            let Some(next) = next else { break };
            from = Some(next);
        }
        Ok(())
    }

    /// The most entries that are listed.
    fn most(&self) -> Result<usize, Error> {
        if !self.core.store.lists() {
            return Err(Kind::Unlisting.into());
        }
        self.core.tag_sets.most.ok_or_else(|| Kind::Unlisted("say `tag_sets` when the cache is built".into()).into())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tag").field(&self.name.as_str()).finish()
    }
}

fn unlisted(error: StoreError) -> Error {
    Kind::Unlisted(error.reason()).into()
}

/// What a cache knows of its tag sets.
#[derive(Debug)]
pub(crate) struct TagSets {
    most: Option<usize>,
    /// Tags that were invalidated, whose entries are still to be removed.
    waiting: Mutex<Waiting>,
}

impl TagSets {
    /// Sets of at most `most` entries, or none.
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self { most, waiting: Mutex::default() }
    }

    pub(crate) fn are_on(&self) -> bool {
        self.most.is_some()
    }

    /// Where an entry is listed that depends on these, if it is anywhere.
    pub(crate) fn listing(&self, dependencies: &[Dependency]) -> Option<Listing> {
        let most = self.most?;
        let tag = |dependency: &Dependency| match &dependency.register {
            Register::Tag(name) if !dependency.register.is_epoch() => Some(name.clone()),
            _ => None,
        };
        let tags: Vec<Name> = dependencies.iter().filter_map(tag).collect();
        (!tags.is_empty()).then_some(Listing { tags, most })
    }

    /// The same for one that has `tag` alone.
    pub(crate) fn listing_under(&self, tag: &Name) -> Option<Listing> {
        self.most.map(|most| Listing { tags: vec![tag.clone()], most })
    }
}
