//! Counting what happens, per function and in total.

#[cfg(feature = "metrics")]
pub(crate) mod facade;
mod happened;
mod hits;
mod timer;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::explain::Ending;
use crate::explain::Refusal;
#[cfg(feature = "metrics")]
use crate::metrics::facade::Gauges;
#[cfg(feature = "metrics")]
use crate::metrics::facade::Handles;
pub(crate) use crate::metrics::happened::Happened;
pub(crate) use crate::metrics::happened::Operation;
use crate::metrics::hits::Hits;
pub(crate) use crate::metrics::timer::Timer;
use crate::site::Site;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// How often each thing happened since the cache was built. They can be added up.
        ///
        /// # Examples
        ///
        /// ```
        /// use cache_runtime::Counts;
        ///
        /// let mut sum = Counts::default();
        /// sum += Counts::default();
        /// assert_eq!(sum.hits, 0);
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters of one function in one cache.
        #[derive(Debug, Default)]
        struct Counters {
            $($name: Counter,)*
        }

        impl Counters {
            fn read(&self) -> Counts {
                Counts { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl Counts {
            /// What was counted after `earlier`, which the same cache had counted for the same.
            #[must_use]
            pub fn since(self, earlier: Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }

            #[cfg(feature = "test-util")]
            pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl std::ops::AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Calls answered by a stored entry.
    hits
    /// Calls that found no entry they could use.
    misses
    /// Times the function's body ran.
    loads
    /// Calls that were given what another call's load in this process brought.
    joined
    /// Calls that waited for the load of another process, and were given what that stored.
    waited
    /// Calls that were given an entry past its time, or one that was invalidated, as their function allows.
    stale
    /// Calls that found no place among the loads that may run at once, and waited for one as long as they may.
    overloaded
    /// Loads that returned an error.
    failures
    /// Loads that ran without the right to store what they brought: the store was away, a mutation was running, a wait had reached its deadline, or `when` said not to use the cache.
    bypassed
    /// Entries stored.
    fills
    /// Entries that were not stored, because they were invalidated while they were loaded, because something in them cannot be depended on, or because the store could not take them.
    refused
    /// Values that were not stored because nobody wanted them to be: `unless` said so, or their time-to-live was zero.
    unwanted
    /// Values that were not stored because they could not be encoded, or are too large: for [`max_entry`](crate::Builder::max_entry), or for an in-process store that is
    /// [bounded in bytes](crate::Capacity::Bytes).
    unstorable
    /// Calls and invalidations that passed by the cache, because a part of their key or of a tag could not be written.
    unnamed
    /// Entries that could not be read: of another format, cut short, damaged, of another key or another type, in a codec or a compression that this build does not have, or longer than they may
    /// be when decompressed.
    unreadable
    /// Operations of the store that failed, on the read path.
    store_failures
    /// Looks at the store that were not made, because it does not answer these days: its breaker was open.
    shed
    /// Invalidations that the store confirmed.
    applied
    /// Invalidations that could not be delivered when they were due.
    deferred
    /// Mutations that did not run, because the store could not be told and they say `on_unreachable = reject`.
    rejected
}

/// A number that only grows.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    #[inline]
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a cache has counted. See [`Cache::stats`](crate::Cache::stats).
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, cached, scope};
///
/// #[cached(ttl = "1m", key = "double:{n}")]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::memory();
/// scope(cache.clone(), async { double(double(1).await).await }).await;
/// let stats = cache.stats();
/// assert_eq!(stats.total.loads, 2);
/// assert_eq!(stats.function("double").misses, 2);
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Over all functions.
    pub total: Counts,
    /// Per function, in the order of their first use.
    pub functions: Vec<FunctionStats>,
}

/// What a cache has counted for one function.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, cached, scope};
///
/// #[cached(ttl = "1m", key = "double:{n}")]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::memory();
/// scope(cache.clone(), async { double(double(1).await).await }).await;
/// for function in cache.stats().functions {
///     println!("{} ({}:{}): {} loads", function.name, function.file, function.line, function.counts.loads);
/// }
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionStats {
    /// The module and the name of the function, as in `shop::users::user`, or the name that it was given.
    pub name: String,
    /// The file it stands in.
    pub file: &'static str,
    /// Its line in that file.
    pub line: u32,
    /// What was counted.
    pub counts: Counts,
}

impl Stats {
    /// What was counted after `earlier`, which the same cache had counted. Functions that were not called meanwhile are there, with zeros.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, cached, scope};
    ///
    /// #[cached(ttl = "1m", key = "double:{n}")]
    /// async fn double(n: u64) -> u64 {
    ///     2 * n
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::memory();
    /// scope(cache.clone(), async {
    ///     double(1).await;
    ///     let before = cache.stats();
    ///     double(1).await;
    ///     let since = cache.stats().since(&before);
    ///     assert_eq!((since.function("double").loads, since.total.hits), (0, 1));
    /// })
    /// .await;
    /// # });
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        // Several can have one name, file and line, where a macro wrote them: the first is the first.
        let mut before: Vec<_> = earlier.functions.iter().collect();
        let functions = self.functions.iter().map(|function| {
            let at = before.iter().position(|earlier| earlier.place() == function.place());
            let counts = at.map(|at| before.remove(at).counts).unwrap_or_default();
            FunctionStats { counts: function.counts.since(counts), ..function.clone() }
        });
        Self { functions: functions.collect(), total: self.total.since(earlier.total) }
    }

    /// What was counted for the function of that name, or nothing if it was never called. The name may leave out leading modules. Functions of one name in one
    /// module, such as methods of two types, are added up; [`functions`](Self::functions) has them apart, with their lines.
    pub fn function(&self, name: &str) -> Counts {
        let mut sum = Counts::default();
        let named = self.functions.iter().filter(|function| function.is_named(name));
        named.for_each(|function| sum += function.counts);
        sum
    }
}

impl FunctionStats {
    /// Whether `name` is its name, or the end of it.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with("::"))
    }

    fn place(&self) -> (&str, &str, u32) {
        (&self.name, self.file, self.line)
    }
}

/// The counters of a cache: a row for each site, found by the site's number.
#[derive(Debug)]
pub(crate) struct Metrics {
    blocks: [OnceLock<Box<[Row; BLOCK]>>; BLOCKS],
    hits: Hits,
    #[cfg(feature = "metrics")]
    gauges: Gauges,
}

#[derive(Debug, Default)]
struct Row {
    owner: OnceLock<Owner>,
    counters: Counters,
}

/// Whose row it is.
#[derive(Debug)]
struct Owner {
    site: &'static Site,
    #[cfg(feature = "metrics")]
    handles: Box<Handles>,
}

/// Everything that is counted and measured of one function in one cache.
#[derive(Clone, Copy)]
pub(crate) struct Tally<'a> {
    counters: &'a Counters,
    #[cfg(feature = "metrics")]
    handles: &'a Handles,
}

const BLOCK: usize = 64;
const BLOCKS: usize = 128;

impl Metrics {
    pub(crate) fn new(namespace: &Arc<str>) -> Self {
        #[cfg(not(feature = "metrics"))]
        let _ = namespace;
        Self {
            blocks: std::array::from_fn(|_| OnceLock::new()),
            hits: Hits::new(),
            #[cfg(feature = "metrics")]
            gauges: Gauges::new(namespace),
        }
    }

    /// The tally of `site`.
    #[inline]
    pub(crate) fn of(&self, site: &'static Site) -> Tally<'_> {
        let index = index(site);
        let block = self.blocks[index / BLOCK].get_or_init(|| Box::new(std::array::from_fn(|_| Row::default())));
        let row = &block[index % BLOCK];
        let owner = row.owner.get_or_init(|| self.owner(site));
        #[cfg(not(feature = "metrics"))]
        let _ = owner;
        Tally {
            counters: &row.counters,
            #[cfg(feature = "metrics")]
            handles: &owner.handles,
        }
    }

    /// Counts a hit of a function that has loaded something in this cache before.
    #[inline]
    pub(crate) fn hit(&self, site: &'static Site) {
        self.hits.add(index(site));
        #[cfg(feature = "metrics")]
        self.of(site).handles.count(Happened::Hit);
    }

    #[cold]
    fn owner(&self, site: &'static Site) -> Owner {
        Owner {
            site,
            #[cfg(feature = "metrics")]
            handles: Box::new(Handles::new(self.gauges.namespace(), site)),
        }
    }

    /// How many keys and tags were invalidated and the store has not confirmed it yet.
    pub(crate) fn pending(&self, count: usize) {
        #[cfg(feature = "metrics")]
        self.gauges.pending(count);
        let _ = count;
    }

    /// How many entries the in-process store holds. Counting them takes its locks, so it is only done for somebody.
    pub(crate) fn local_entries(&self, count: impl FnOnce() -> Option<usize>) {
        #[cfg(feature = "metrics")]
        self.gauges.local_entries(count);
        #[cfg(not(feature = "metrics"))]
        let _ = count;
    }

    pub(crate) fn read(&self) -> Stats {
        let mut stats = Stats::default();
        let blocks = self.blocks.iter().enumerate().filter_map(|(at, block)| Some((at, block.get()?)));
        let rows = blocks.flat_map(|(at, block)| block.iter().zip(at * BLOCK..));
        for (row, index) in rows {
            let Some(Owner { site, .. }) = row.owner.get() else { continue };
            let mut counts = row.counters.read();
            counts.hits += self.hits.read(index);
            stats.total += counts;
            stats.functions.push(FunctionStats { name: site.name(), file: site.file(), line: site.line(), counts });
        }
        stats
    }
}

impl Tally<'_> {
    /// Counts it: the one place for [`Stats`] and, with the feature, for the `metrics` facade.
    #[inline]
    pub(crate) fn count(self, happened: Happened) {
        self.counters.of(happened).add();
        #[cfg(feature = "metrics")]
        self.handles.count(happened);
    }

    /// Measures a call from its start to an end.
    pub(crate) fn request(self, timer: &Timer, ending: Ending) {
        #[cfg(feature = "metrics")]
        self.handles.request(timer.elapsed(), ending);
        #[cfg(not(feature = "metrics"))]
        let _ = (timer, ending);
    }

    /// Measures a load.
    pub(crate) fn load(self, timer: &Timer) {
        #[cfg(feature = "metrics")]
        self.handles.load(timer.elapsed());
        #[cfg(not(feature = "metrics"))]
        let _ = timer;
    }
}

impl Counters {
    #[inline]
    fn of(&self, happened: Happened) -> &Counter {
        match happened {
            Happened::Hit => &self.hits,
            Happened::Missed(_) => &self.misses,
            Happened::Joined => &self.joined,
            Happened::Waited => &self.waited,
            Happened::Stale(_) => &self.stale,
            Happened::Overloaded => &self.overloaded,
            Happened::Loading => &self.loads,
            Happened::LoadFailed => &self.failures,
            Happened::Bypassed(_) => &self.bypassed,
            Happened::Filled => &self.fills,
            Happened::Refused(why) if why.is_of_the_value() => &self.unstorable,
            Happened::Refused(Refusal::Unwanted) => &self.unwanted,
            Happened::Refused(_) => &self.refused,
            Happened::Unreadable => &self.unreadable,
            Happened::Unnamed => &self.unnamed,
            Happened::StoreFailed(_) => &self.store_failures,
            Happened::Shed => &self.shed,
            Happened::Applied => &self.applied,
            Happened::Deferred => &self.deferred,
            Happened::Rejected => &self.rejected,
        }
    }
}

/// Where the counts of `site` are. More sites than there are places share the last.
#[inline]
fn index(site: &'static Site) -> usize {
    number(site).min(BLOCK * BLOCKS - 1)
}

/// The number of `site` in this process, given at its first use.
#[inline]
fn number(site: &'static Site) -> usize {
    match site.index.load(Ordering::Relaxed) {
        0 => first_number(site),
        given => given - 1,
    }
}

#[cold]
fn first_number(site: &'static Site) -> usize {
    site.register();
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    match site.index.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => number - 1,
        Err(given) => given - 1,
    }
}
