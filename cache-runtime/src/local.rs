//! The in-process store: decoded values, and tokens that entries point to.
//!
//! A hit is one look-up and one load for each token: the entry holds the very cells its tokens live in, so nothing is looked up by name, no
//! lock is held and nothing is allocated. Everything else takes the lock of one shard.
//!
//! What holds:
//!
//! - a token is a number of this process that is never used again;
//! - a cell that leaves its shard is killed first, under the shard's lock, and with it all entries under it: a register that was
//!   forgotten can never be revoked behind an entry's back;
//! - leases, marks and the entry of a key change together under the lock of its shard.
//!
//! Leases and marks die with the process, so nobody renews them: they are taken for as long as they may last.

mod arriving;
mod cell;
mod kept;
mod registers;
#[cfg(shuttle)]
pub(crate) mod model {
    //! What the models look into.
    pub(crate) use super::cell::Cell;
}

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quick_cache::DefaultHashBuilder;
use quick_cache::Options;
use quick_cache::OptionsBuilder;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Entries;
use quick_cache::sync::DefaultLifecycle;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::key::HASHED;
use crate::key::Name;
use crate::key::Written;
pub(crate) use crate::local::arriving::Arriving;
pub(crate) use crate::local::arriving::Origin;
use crate::local::cell::fresh;
use crate::local::kept::About;
pub(crate) use crate::local::kept::Call;
pub(crate) use crate::local::kept::Keep;
pub(crate) use crate::local::kept::Kept;
use crate::local::kept::Times;
use crate::local::kept::Tokens;
pub(crate) use crate::local::kept::keep;
use crate::local::registers::Lease;
use crate::local::registers::Shard;
use crate::policy;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Steal;
use crate::store::Store;
use crate::store::Targets;
use crate::store::listing::Glimpse;
use crate::store::listing::Gone;
use crate::store::listing::Listed;
use crate::store::listing::Page;
use crate::sync::Mutex;
use crate::sync::MutexGuard;
use crate::sync::lock;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;

/// How much the in-process store may hold.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Capacity};
///
/// let cache = Cache::builder().capacity(Capacity::Bytes(64 << 20)).build()?;
/// # drop(cache);
/// # Ok::<(), cache_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capacity {
    /// So many entries.
    Entries(usize),
    /// So many bytes of values, as they would be encoded, plus what keeping them takes. Each value is encoded once to be weighed.
    ///
    /// The store is divided into parts of 4 MiB or more, of which a smaller one has only one, and a value has to fit into a part. One that does not is not stored, and counted as [`unstorable`](crate::Counts::unstorable),
    /// as are values beyond [`max_entry`](crate::Builder::max_entry).
    Bytes(u64),
}

impl Default for Capacity {
    /// 100,000 entries.
    fn default() -> Self {
        Self::Entries(100_000)
    }
}

/// See the module.
pub(crate) struct Local {
    clock: Clock,
    capacity: Capacity,
    entries: Entries<Name, Arc<Kept>, Weigh>,
    /// Whether it keeps nothing any more.
    closed: AtomicBool,
    shards: [Mutex<Shard>; SHARDS],
}

const SHARDS: usize = 32;
/// How many entries are looked at before others go on, which takes less than a tenth of a millisecond.
const AT_A_TIME: usize = 256;
/// What an entry takes besides its value, roughly.
const OVERHEAD: u64 = 256;
/// The least that a part of a store holds, if all of it holds that much: a few of the largest entries.
const LEAST_PART: u64 = 4 << 20;
/// How much of a part is for entries that were read more than once, which is also the largest entry.
const SHARE: f64 = 0.97;

fn options(capacity: Capacity) -> Options {
    let mut options = OptionsBuilder::new();
    options.estimated_items_capacity(items(capacity)).hot_allocation(SHARE);
    match capacity {
        Capacity::Entries(entries) => options.weight_capacity(entries as u64),
        Capacity::Bytes(bytes) => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let parts = usize::try_from(bytes / LEAST_PART).unwrap_or(usize::MAX).clamp(1, 4 * processors);
            options.weight_capacity(bytes).shards(1 << parts.ilog2())
        }
    };
    // Both numbers that it has to have are there.
    options.build().expect("options of a store")
}

fn items(capacity: Capacity) -> usize {
    match capacity {
        Capacity::Entries(entries) => entries,
        Capacity::Bytes(bytes) => usize::try_from(bytes / (4 * OVERHEAD)).unwrap_or(usize::MAX).max(16),
    }
}

/// Weighs entries as the capacity is said.
#[derive(Clone, Debug)]
struct Weigh(Capacity);

impl Weighter<Name, Arc<Kept>> for Weigh {
    fn weight(&self, _: &Name, kept: &Arc<Kept>) -> u64 {
        match self.0 {
            Capacity::Entries(_) => 1,
            Capacity::Bytes(_) => kept.encoded() + OVERHEAD,
        }
    }
}

impl Local {
    pub(crate) fn new(capacity: Capacity, clock: Clock) -> Self {
        let registers_per_shard = (2 * items(capacity) / SHARDS).max(64);
        Self {
            clock,
            capacity,
            closed: AtomicBool::new(false),
            entries: Entries::with_options(
                options(capacity),
                Weigh(capacity),
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(registers_per_shard))),
        }
    }

    /// The largest encoded value that is kept, if this store is bounded in bytes. The part of it that is for entries just stored takes none that is larger than the rest.
    pub(crate) fn heaviest(&self) -> Option<u64> {
        let part = (self.entries.shard_capacity() as f64 * SHARE) as u64;
        matches!(self.capacity, Capacity::Bytes(_)).then(|| part.saturating_sub(OVERHEAD))
    }

    /// The entry of the key that is written `text`, if it may be served to `call` now and if that is its name too. Long and odd texts have other names, and are found by
    /// the longer way.
    // Inlined into its caller, that becomes too large for the look-up to be inlined into it, which costs a hit some nanoseconds.
    #[inline(never)]
    pub(crate) fn hit(&self, text: &[u8], call: &Call<'_>) -> Option<Arc<Kept>> {
        if text.first().is_none_or(|first| *first == HASHED) {
            return None;
        }
        let kept = self.entries.get(&Written(text))?;
        kept.is_for(call, self.clock.no_earlier_than_now()).then_some(kept)
    }

    /// Whether there is an entry of `key` whose time is up.
    pub(crate) fn has_expired(&self, key: &Name) -> bool {
        self.entries.peek(key).is_some_and(|kept| kept.has_ended(self.clock.now()))
    }

    /// Whether an entry is in the last part of its time.
    pub(crate) fn is_ending(&self, kept: &Kept) -> bool {
        kept.expires().since(self.clock.now()) <= policy::early_window(kept.ttl())
    }

    /// Keeps an entry that was just served for as long as it may be of use, which is less if it dies of not being read.
    #[inline]
    pub(crate) fn was_used(&self, kept: &Kept, stale: &policy::Stale) {
        let now = self.clock.now();
        kept.keep_until(now.after(stale.life(kept.expires().since(now))));
    }

    /// How many entries there are, of use or not.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn shard(&self, name: &Name) -> MutexGuard<'_, Shard> {
        let hash = xxhash_rust::xxh3::xxh3_64(name.as_str().as_bytes());
        lock(&self.shards[hash as usize % SHARDS])
    }

    fn read_one(&self, read: &Read) -> Reading {
        let now = self.clock.now();
        // The states first: an entry that is read before them may be gone by the time its key has the token that it would be taken to stand under.
        let state = |register: &Register| self.shard(name_of(register)).state(register, now);
        let states = read.registers.iter().map(state).collect();
        let entry = read.entry.as_ref().and_then(|key| self.entry(key, now));
        let entry = entry.map(|kept| (kept.fill(), Blob::Value(Arc::new(kept))));
        Reading { entry, states }
    }

    /// The entry of `key` if it is still kept, whatever its tokens are.
    fn entry(&self, key: &Name, now: Moment) -> Option<Arc<Kept>> {
        self.entries.get(key).filter(|kept| !kept.has_ended(now))
    }

    fn take_lease(&self, request: &LeaseRequest) -> LeaseState {
        let now = self.clock.now();
        let mut shard = self.shard(&request.key);
        if let State::Pending { token, strict } = shard.mark_of_key(&request.key, now) {
            return LeaseState::Marked { token, strict };
        }
        if let Some(lease) = shard.lease(&request.key, now) {
            let mine = lease.id.is_asked_by(request.id);
            if !mine && !request.steal.takes(lease.id) {
                return LeaseState::Held { id: lease.id, generation: lease.generation };
            }
        } else if request.steal == Steal::Nobodys {
            let fill = self.entry(&request.key, now).map(|kept| kept.fill());
            if fill.is_some() && fill != request.seen {
                return LeaseState::Changed;
            }
        }
        let id = request.id.given(fresh());
        let lease = Lease { id, generation: request.generation, expires: now.after(request.life) };
        shard.set_lease(&request.key, lease, now);
        LeaseState::Won(id)
    }

    /// The entry of `fill`, with the cells of its tokens; `None` if one of them is gone already.
    fn keep(&self, fill: &Fill, now: Moment) -> Option<Arc<Kept>> {
        let Blob::Value(held) = &fill.blob else { return None };
        let arriving = (&**held as &dyn Any).downcast_ref::<Arriving>()?;
        let alive = |dependency: &crate::token::Dependency| {
            let token = u64::try_from(dependency.token.0).ok()?;
            let cell = self.shard(name_of(&dependency.register)).cell(&dependency.register, token, now)?;
            Some((token, cell))
        };
        let tokens = arriving.header.dependencies.iter().map(alive).collect::<Option<Tokens>>()?;
        let times = Times { expires: now.after(fill.fresh), ends: now.after(fill.life) };
        arriving.kept(About::new(arriving, fill.lease, times, tokens))
    }

    fn fill_now(&self, fill: &Fill) -> bool {
        let now = self.clock.now();
        let kept = self.keep(fill, now);
        let mut shard = self.shard(&fill.key);
        if shard.lease(&fill.key, now).is_none_or(|lease| lease.id != fill.lease) {
            return false;
        }
        shard.end_lease(&fill.key);
        let Some(kept) = kept.filter(|_| !self.closed.load(Ordering::SeqCst)) else { return false };
        self.entries.insert(fill.key.clone(), kept);
        true
    }

    /// Forgets what was invalidated or is past its time, which would be found out when it is read next, or make room when there is none. Lets others go on meanwhile.
    pub(crate) async fn purge(&self) {
        for (at, (key, kept)) in self.entries.iter().enumerate() {
            let now = self.clock.now();
            if kept.has_ended(now) || kept.is_dead(now) {
                self.remove(&key, kept.fill());
            }
            if at % AT_A_TIME == AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Forgets the entry of `key` if it is still the one that was filled under `lease`, and says whether it was.
    fn remove(&self, key: &Name, lease: LeaseId) -> bool {
        self.entries.remove_if(key, |kept| kept.fill() == lease).is_some()
    }

    /// All entries that have `tag`. They are found by looking at every one, so that storing one costs nothing more.
    fn with_tag(&self, tag: &Name) -> Vec<Listed> {
        let now = self.clock.now();
        let kept = self.entries.iter().filter(|(_, kept)| !kept.has_ended(now) && kept.has_tag(tag));
        let listed = kept.map(|(key, kept)| {
            let (lease, size) = (kept.fill(), kept.encoded());
            Listed { key, noted: 0, entry: Some(Glimpse { lease, head: Blob::Value(Arc::new(kept)), size }) }
        });
        listed.collect()
    }

    /// Forgets every entry, and with it the right to store what is being loaded.
    pub(crate) fn clear(&self) {
        let now = self.clock.now();
        // Under the lock of its shard a fill either has ended, and its entry goes, or has lost its lease.
        self.shards.iter().for_each(|shard| lock(shard).forget(now));
        self.entries.clear();
    }

    /// Forgets every entry, and keeps none from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.clear();
    }

    fn change(&self, targets: &Targets, change: impl Fn(&mut Shard, &Register)) {
        for key in &targets.keys {
            let mut shard = self.shard(key);
            shard.end_lease(key);
            self.entries.remove(key);
            change(&mut shard, &Register::Key(key.clone()));
        }
        for tag in &targets.tags {
            change(&mut self.shard(tag), &Register::Tag(tag.clone()));
        }
    }

    /// Forgets an entry, as eviction would.
    #[cfg(feature = "sim")]
    pub(crate) fn evict(&self, key: &Name) {
        self.entries.remove(key);
    }

    /// Forgets the token of a register, as eviction would.
    #[cfg(feature = "sim")]
    pub(crate) fn evict_register(&self, register: &Register) {
        self.shard(name_of(register)).evict(register);
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

fn name_of(register: &Register) -> &Name {
    match register {
        Register::Tag(name) | Register::Key(name) => name,
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Reply<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Store for Local {
    fn keeps(&self) -> Keeps {
        Keeps::Values
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        ready(reads.iter().map(|read| self.read_one(read)).collect())
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        let now = self.clock.now();
        let create = |register: &Register| self.shard(name_of(register)).state_or_create(register, now);
        let states = begin.registers.iter().map(create).collect();
        ready(Begun { states, lease: begin.lease.as_ref().map(|request| self.take_lease(request)) })
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        let now = self.clock.now();
        let mut shard = self.shard(&key);
        let held = shard.lease(&key, now).is_some_and(|held| held.id == lease);
        if held {
            let lease = Lease { id: lease, generation: Some(generation), expires: now.after(life) };
            shard.set_lease(&key, lease, now);
        }
        ready(held)
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        let now = self.clock.now();
        let mut shard = self.shard(&key);
        if shard.lease(&key, now).is_some_and(|held| held.id.is_asked_by(lease)) {
            shard.end_lease(&key);
        }
        ready(())
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        ready(self.fill_now(&fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        let now = self.clock.now();
        if let Some(kept) = self.entry(&key, now) {
            kept.keep_until(now.after(life));
        }
        ready(())
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        let now = self.clock.now();
        if mark.renew {
            // What still stands lives on as it is; what is lost is placed anew, with all that goes with it.
            let mut lost = Targets::default();
            for key in targets.keys {
                let stands = self.shard(&key).renew_mark(&Register::Key(key.clone()), mark, now);
                if !stands {
                    lost.keys.push(key);
                }
            }
            for tag in targets.tags {
                let stands = self.shard(&tag).renew_mark(&Register::Tag(tag.clone()), mark, now);
                if !stands {
                    lost.tags.push(tag);
                }
            }
            self.change(&lost, |shard, register| shard.mark(register, mark, now));
        } else {
            self.change(&targets, |shard, register| shard.mark(register, mark, now));
        }
        ready(())
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        let now = self.clock.now();
        self.change(&targets, |shard, register| shard.revoke(register, ended, now));
        ready(())
    }

    fn lists(&self) -> bool {
        true
    }

    fn listed(&self, tag: Name, _: Option<u64>) -> Reply<'_, Page> {
        ready(Page { listed: self.with_tag(&tag), next: None })
    }

    fn discard(&self, _: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        let removed = gone.iter().filter(|gone| gone.lease.is_some_and(|lease| self.remove(&gone.key, lease)));
        ready(removed.count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::outcome::returns;
    use crate::site::Site;
    use crate::store::conformance;
    use crate::store::conformance::Subject;
    use crate::store::conformance::Waiting;

    struct Held(Arc<Local>, Clock);

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
    async fn the_in_process_store_conforms() {
        let clock = Clock::held();
        let local = Arc::new(Local::new(Capacity::default(), clock.clone()));
        conformance::all(&Held(local, clock)).await;
    }

    #[test]
    fn a_part_of_a_store_bounded_in_bytes_takes_entries_of_almost_four_mebibytes() {
        for mebibytes in [1_u64, 3, 4, 9, 33, 64, 1023] {
            let local = Local::new(Capacity::Bytes(mebibytes << 20), Clock::held());
            let least = (mebibytes.min(4) << 20) * 9 / 10;
            assert!(local.heaviest() >= Some(least), "{mebibytes} MiB: {:?}", local.heaviest());
        }
        assert_eq!(Local::new(Capacity::Entries(10), Clock::held()).heaviest(), None);
    }

    #[tokio::test]
    async fn it_keeps_no_more_than_its_capacity_says() {
        static TEXT: Site = Site::cached("local", "text").key("text:{id}");
        let kept = async |capacity, length| {
            let cache = Cache::builder().capacity(capacity).build().unwrap();
            for id in 0..1000_u64 {
                let entry = cache.entry(&TEXT, returns::<String>().kind()).key(&[&id]).ttl(Duration::from_secs(60));
                assert!(entry.put("x".repeat(length)).await);
            }
            cache.core().local.as_ref().unwrap().len()
        };
        let entries = kept(Capacity::Entries(100), 10).await;
        assert!((50..=100).contains(&entries), "{entries} are kept");
        let bytes = kept(Capacity::Bytes(1 << 20), 10_000).await;
        assert!((50..=104).contains(&bytes), "{bytes} are kept");
    }

    #[tokio::test]
    async fn tokens_of_loads_under_way_outlive_those_that_are_made_meanwhile() {
        let local = Local::new(Capacity::default(), Clock::held());
        let tag = |number: usize| Register::Tag(Name::new(format!("t{number}").as_bytes()));
        let begin = |number| Begin { lease: None, registers: vec![tag(number)], token_life: Duration::from_secs(60) };
        let first = local.begin(begin(0)).await.unwrap().states;
        for number in 1..50_000 {
            local.begin(begin(number)).await.unwrap();
        }
        assert_eq!(local.begin(begin(0)).await.unwrap().states, first);
    }

    #[tokio::test]
    async fn tokens_that_nobody_came_to_use_are_swept() {
        let clock = Clock::held();
        let local = Local::new(Capacity::default(), clock.clone());
        for number in 0..100_000 {
            let tag = Register::Tag(Name::new(format!("t{number}").as_bytes()));
            clock.advance(Duration::from_millis(10));
            local
                .begin(Begin { lease: None, registers: vec![tag], token_life: Duration::from_secs(60) })
                .await
                .unwrap();
        }
        let kept: usize = local.shards.iter().map(|shard| lock(shard).len()).sum();
        assert!(kept < 40_000, "{kept} are kept");
    }
}
