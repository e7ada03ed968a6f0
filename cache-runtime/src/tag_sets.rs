//! Tag sets: which entries have a tag, and the removal of those that were invalidated.
//!
//! What is invalid is decided by tokens, and by nothing here. A set is the inventory of a tag: the store names the entries that it has listed, and each of them is looked at before it is
//! spoken of. So a set may lack an entry, and names none that would not be served.

mod purge;

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::core::Core;
use crate::envelope::Header;
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::error::Error;
use crate::error::Kind;
use crate::invalidation;
use crate::invalidation::Delivery;
use crate::key::Name;
use crate::site::Site;
use crate::store::Blob;
use crate::store::Read;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::listing::Glimpse;
use crate::store::listing::HEAD;
use crate::store::listing::Listed;
use crate::store::listing::Listing;
use crate::tag_sets::purge::Waiting;
pub(crate) use crate::tag_sets::purge::invalidated;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;
use crate::token::State;

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

    /// Where an entry is listed that depends on these.
    pub(crate) fn listing(&self, dependencies: &[Dependency]) -> Option<Listing> {
        let most = self.most?;
        let tag = |dependency: &Dependency| match &dependency.register {
            Register::Tag(name) if !dependency.register.is_epoch() => Some(name.clone()),
            _ => None,
        };
        Some(Listing { tags: dependencies.iter().filter_map(tag).collect(), most })
    }

    /// Whether an entry that depends on these is listed anywhere.
    pub(crate) fn list(&self, dependencies: &[Dependency]) -> bool {
        self.listing(dependencies).is_some_and(|listing| !listing.tags.is_empty())
    }

    /// The same for one that has `tag` alone.
    pub(crate) fn listing_under(&self, tag: &Name) -> Option<Listing> {
        self.most.map(|most| Listing { tags: vec![tag.clone()], most })
    }
}

/// What is to be thought of an entry that is listed under a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// It may be served, until this time since the Unix epoch and where that is asked for past it.
    Stands { size: u64, until: Duration },
    /// It was invalidated, and will never be served again.
    Dead,
    /// It was invalidated, and may be served again only where its function fails.
    Spared,
    /// It is not served now, or not by this process, and is left alone.
    Held,
    /// There is no entry that has the tag.
    Gone,
}

/// Some of the entries that are listed under a tag, what is to be thought of each, and where to go on.
async fn page(
    core: &Core,
    tag: &Name,
    from: Option<u64>,
) -> Result<(Vec<(Listed, Standing)>, Option<u64>), StoreError> {
    let mut attempts = 0;
    loop {
        let deliveries = core.journal.deliveries();
        let page = core.store.listed(tag.clone(), from).await?;
        let mut judged = judged(core, tag, page.listed).await?;
        if core.journal.deliveries() == deliveries {
            return Ok((judged, page.next));
        }
        // What was read before an invalidation was delivered may be judged after the journal has struck it off.
        attempts += 1;
        if attempts == MOST_LOOKS {
            let standings = judged.iter_mut().map(|(_, standing)| standing);
            standings
                .filter(|standing| matches!(standing, Standing::Stands { .. }))
                .for_each(|it| *it = Standing::Held);
            return Ok((judged, page.next));
        }
    }
}

/// How often a page is looked at while deferred invalidations are delivered.
const MOST_LOOKS: usize = 3;

/// What is to be thought of each entry of `listed`.
async fn judged(core: &Core, tag: &Name, listed: Vec<Listed>) -> Result<Vec<(Listed, Standing)>, StoreError> {
    let heads = heads(core, &listed).await?;
    let states = states(core, &heads).await?;
    let standing = |(listed, head): (Listed, Head)| {
        let standing = standing(core, tag, &listed, head, &states);
        (listed, standing)
    };
    Ok(listed.into_iter().zip(heads).map(standing).collect())
}

/// What is known of an entry that is listed.
enum Head {
    Known(Header),
    /// Nothing vouches for it any more.
    Bygone,
    /// It is longer than what was looked at.
    Longer,
    /// It is of another format, or none of ours.
    Unknown,
    Missing,
}

async fn heads(core: &Core, listed: &[Listed]) -> Result<Vec<Head>, StoreError> {
    let mut heads: Vec<Head> = listed.iter().map(|listed| head(&listed.key, listed.entry.as_ref())).collect();
    let mut longer: Vec<(&mut Head, &Name)> = heads.iter_mut().zip(listed.iter().map(|listed| &listed.key)).collect();
    longer.retain(|(head, _)| matches!(head, Head::Longer));
    for some in longer.chunks_mut(MOST_WHOLE) {
        let read = |(_, key): &(&mut Head, &Name)| Read { entry: Some((*key).clone()), registers: Vec::new() };
        let readings = core.store.read(some.iter().map(read).collect()).await?;
        for ((head, key), reading) in some.iter_mut().zip(readings) {
            **head = whole(key, reading.entry);
        }
    }
    Ok(heads)
}

/// How many entries are read as a whole at a time, for headers that are longer than what was looked at.
const MOST_WHOLE: usize = 8;

fn head(key: &Name, entry: Option<&Glimpse>) -> Head {
    match entry.map(|entry| &entry.head) {
        None => Head::Missing,
        Some(Blob::Bygone) => Head::Bygone,
        Some(Blob::Value(held)) => Head::Known(held.header().clone()),
        Some(Blob::Bytes(bytes)) => match Header::glimpse(key, bytes) {
            Ok(header) => Head::Known(header),
            Err(Unreadable::Length) if bytes.len() >= HEAD => Head::Longer,
            Err(_) => Head::Unknown,
        },
    }
}

fn whole(key: &Name, entry: Option<(LeaseId, Blob)>) -> Head {
    match entry.map(|(_, blob)| blob) {
        Some(Blob::Bytes(bytes)) => {
            Stored::decode(key, &bytes, &[]).map_or(Head::Unknown, |stored| Head::Known(stored.header))
        }
        Some(Blob::Value(held)) => Head::Known(held.header().clone()),
        Some(Blob::Bygone) => Head::Bygone,
        None => Head::Missing,
    }
}

/// The states of everything that these depend on.
async fn states(core: &Core, heads: &[Head]) -> Result<HashMap<Register, State>, StoreError> {
    let headers = heads.iter().filter_map(|head| if let Head::Known(header) = head { Some(header) } else { None });
    let registers = headers.flat_map(|header| &header.dependencies).map(|dependency| dependency.register.clone());
    let registers: Vec<Register> = registers.collect::<HashSet<_>>().into_iter().collect();
    let mut states = HashMap::new();
    for registers in registers.chunks(Targets::BATCH) {
        let readings = core.store.read(vec![Read { entry: None, registers: registers.to_vec() }]).await?;
        let read = readings.into_iter().flat_map(|reading| reading.states);
        states.extend(registers.iter().cloned().zip(read));
    }
    Ok(states)
}

fn standing(core: &Core, tag: &Name, listed: &Listed, head: Head, states: &HashMap<Register, State>) -> Standing {
    let header = match head {
        Head::Missing => return Standing::Gone,
        Head::Bygone => return Standing::Dead,
        Head::Longer | Head::Unknown => return Standing::Held,
        Head::Known(header) => header,
    };
    let registers = || header.dependencies.iter().map(|dependency| &dependency.register);
    if !registers().any(|register| matches!(register, Register::Tag(name) if name == tag)) {
        return Standing::Gone;
    }
    let stands = |dependency: &Dependency| {
        states.get(&dependency.register).and_then(|state| state.usable()) == Some(dependency.token)
    };
    let mut fallen = header.dependencies.iter().filter(|dependency| !stands(dependency)).peekable();
    if fallen.peek().is_some() {
        // What is of another epoch is served in no case.
        let is_of_this_epoch = !fallen.any(|dependency| dependency.register.is_epoch());
        return if header.even_invalidated && is_of_this_epoch { Standing::Spared } else { Standing::Dead };
    }
    if core.journal.holds(registers().chain([&Register::Key(listed.key.clone())])) {
        return Standing::Held;
    }
    let size = listed.entry.as_ref().map_or(0, |entry| entry.size);
    Standing::Stands { size, until: Duration::from_millis(header.created).saturating_add(header.ttl) }
}
