//! What was counted between two points.

use crate::cache::Cache;
use crate::catalog::catalog;
use crate::metrics::Counts;
use crate::metrics::Stats;
use crate::site::Site;

/// Counts what happens in a cache from one point on.
///
/// # Examples
///
/// ```
/// use cache_runtime::testing::Watch;
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
///     let mut watch = Watch::new(&cache);
///     double(21).await;
///     watch.function("double").assert_loads(1).assert_hits(0);
///
///     watch.restart();
///     double(21).await;
///     watch.function("double").assert_loads(0).assert_hits(1);
/// })
/// .await;
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    cache: Cache,
    before: Stats,
}

/// What a [`Watch`] has counted for one function, or for all.
#[derive(Clone, Debug)]
#[must_use = "nothing is asserted yet"]
pub struct Counted {
    of: String,
    counts: Counts,
}

impl Watch {
    /// Counts from here on.
    pub fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), before: cache.stats() }
    }

    /// Counts from here on, and forgets what was before.
    pub fn restart(&mut self) {
        self.before = self.cache.stats();
    }

    /// What was counted, as it is.
    pub fn stats(&self) -> Stats {
        self.cache.stats().since(&self.before)
    }

    /// What was counted for all functions together.
    pub fn total(&self) -> Counted {
        Counted { of: "the cache".to_owned(), counts: self.stats().total }
    }

    /// What was counted for the function of that name, as [`Stats::function`] takes it.
    ///
    /// # Panics
    ///
    /// When there is no annotated function of that name, called or in the [`catalog`](crate::catalog()). The message names those that there are.
    #[track_caller]
    pub fn function(&self, name: &str) -> Counted {
        let stats = self.stats();
        if !stats.functions.iter().any(|function| function.is_named(name)) {
            assert_exists(name, &stats);
        }
        Counted { of: format!("`{name}`"), counts: stats.function(name) }
    }
}

/// A name that nobody has is more often spelt wrong than meant to be counted as zero.
#[track_caller]
fn assert_exists(name: &str, called: &Stats) {
    let mut known: Vec<_> = catalog().iter().map(Site::name).collect();
    if known.iter().any(|known| known.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with("::")))
    {
        return;
    }
    known.extend(called.functions.iter().map(|function| function.name.clone()));
    known.sort();
    known.dedup();
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    panic!("no annotated function is called `{name}`; there are: {known}");
}

impl Counted {
    /// The numbers themselves.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The function's body ran so often.
    ///
    /// # Panics
    ///
    /// When it did not. The message shows all that was counted.
    #[track_caller]
    pub fn assert_loads(&self, expected: u64) -> &Self {
        self.assert("loads", self.counts.loads, expected)
    }

    /// So many calls were answered by a stored entry. Where the store is outside of the process, an entry is stored a moment after its load: [`settled`](super::settled) waits for that.
    ///
    /// # Panics
    ///
    /// As [`assert_loads`](Self::assert_loads).
    #[track_caller]
    pub fn assert_hits(&self, expected: u64) -> &Self {
        self.assert("hits", self.counts.hits, expected)
    }

    /// So many calls found no entry that they could use.
    ///
    /// # Panics
    ///
    /// As [`assert_loads`](Self::assert_loads).
    #[track_caller]
    pub fn assert_misses(&self, expected: u64) -> &Self {
        self.assert("misses", self.counts.misses, expected)
    }

    /// So many calls were given what another's load brought.
    ///
    /// # Panics
    ///
    /// As [`assert_loads`](Self::assert_loads).
    #[track_caller]
    pub fn assert_joined(&self, expected: u64) -> &Self {
        self.assert("joined", self.counts.joined, expected)
    }

    /// So many entries were stored.
    ///
    /// # Panics
    ///
    /// As [`assert_loads`](Self::assert_loads).
    #[track_caller]
    pub fn assert_fills(&self, expected: u64) -> &Self {
        self.assert("fills", self.counts.fills, expected)
    }

    /// So many loads ended with an error.
    ///
    /// # Panics
    ///
    /// As [`assert_loads`](Self::assert_loads).
    #[track_caller]
    pub fn assert_failures(&self, expected: u64) -> &Self {
        self.assert("failures", self.counts.failures, expected)
    }

    #[track_caller]
    fn assert(&self, what: &str, counted: u64, expected: u64) -> &Self {
        let hint = match what {
            "hits" if self.counts.joined > 0 => {
                "; who joined came before the entry was stored: await `settled(&cache)` first"
            }
            _ => "",
        };
        assert!(
            counted == expected,
            "{} has {what}: {counted}, not {expected}; counted {}{hint}",
            self.of,
            self.shown()
        );
        self
    }

    /// All that is not zero.
    fn shown(&self) -> String {
        let rows: Vec<_> = self.counts.rows().filter(|(_, count)| *count > 0).collect();
        match rows.is_empty() {
            true => "nothing".to_owned(),
            false => rows.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", "),
        }
    }
}
