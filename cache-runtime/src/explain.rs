//! Why a call hit, missed, waited, loaded, or was not stored.
//!
//! [`Scoped::explain`](crate::scope::Scoped::explain) lists the calls of a test. The same reasons are fields of the `tracing` spans and labels of the metrics.
//! None of them ever holds an argument, a key, a tag or a value.

mod reason;
mod recorder;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

use crate::catalog::common_module;
pub use crate::explain::reason::Bypass;
pub use crate::explain::reason::Miss;
pub use crate::explain::reason::Refusal;
pub use crate::explain::reason::Stale;
pub(crate) use crate::explain::recorder::Page;
pub(crate) use crate::explain::recorder::Recorder;
pub(crate) use crate::explain::recorder::Trace;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;

/// One call of a cached function or a mutator, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The module of the function.
    pub module: &'static str,
    /// The name of the function, or the one that its attribute gives it.
    pub function: &'static str,
    /// How many calls it is inside of.
    pub depth: usize,
    /// Where the call that it is inside of stands in the list.
    pub parent: Option<usize>,
    /// How it ended.
    pub ending: Ending,
    /// Why it found nothing stored that it could use, if it looked and did not.
    pub missed: Option<Miss>,
    /// What became of what it loaded with the right to store it.
    pub fill: Option<Fill>,
}

/// How a call ended.
///
/// # Examples
///
/// ```
/// use cache_runtime::explain::{Bypass, Ending};
///
/// assert_eq!(Ending::Hit.name(), "hit");
/// assert_eq!(Ending::Bypassed(Bypass::NoFill).to_string(), "loaded without the right to store: it runs inside of `no_fill`");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It has not ended: the list was taken before that.
    Running,
    /// A stored entry answered it.
    Hit,
    /// Another call's load in this process answered it.
    Joined,
    /// It waited for the load of another process, and found that stored.
    Waited,
    /// A stored entry answered it that is past its time, or was invalidated.
    Stale(Stale),
    /// It was rejected: too many loads were running.
    Rejected,
    /// The function ran, with the right to store what it returned.
    Loaded,
    /// The function ran, without that right.
    Bypassed(Bypass),
    /// It only asked for what is stored, and there was nothing for it.
    Missed,
    /// It only stored a value.
    Put,
    /// It was a mutation.
    #[non_exhaustive]
    Mutated {
        /// How the mutation was guarded; `After` if it had no body.
        mode: Mode,
        /// How many keys it invalidates.
        keys: usize,
        /// How many tags it invalidates.
        tags: usize,
        /// What became of that.
        told: Told,
    },
    /// It was dropped half-way, or panicked.
    Dropped,
}

/// What became of a loaded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fill {
    /// It was on its way to the store when the list was taken.
    Pending,
    /// It was stored.
    Stored,
    /// It was not stored.
    Refused(Refusal),
    /// There was nothing to store: the function said that there is nothing.
    Nothing,
    /// There was nothing to store: the function failed.
    Failed,
}

/// What became of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// The store has confirmed it.
    Applied,
    /// The store could not be told, and is tried again.
    Undelivered,
    /// It waits for the end of [`Cache::transaction`](crate::Cache::transaction).
    AtTheEnd,
    /// It was part of a transaction that nobody told of: its marks are left to expire.
    Uncommitted,
    /// Nothing was invalidated: the mutator's `when` said that nothing changed.
    Unchanged,
    /// The body did not run: the store could not be told, and the mutator says `on_unreachable = reject`.
    Rejected,
}

/// The calls of a scope in the order in which they began, at most the first [`Calls::MOST`]. Printed, it is a tree, and functions of one name in several modules have these in front of it.
///
/// # Examples
///
/// ```
/// use cache_runtime::explain::{Ending, Fill, Miss};
/// use cache_runtime::{Cache, cached, scope};
///
/// #[cached(ttl = "1m", key = "double:{n}")]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// #[cached(ttl = "1m", key = "quadruple:{n}")]
/// async fn quadruple(n: u64) -> u64 {
///     double(double(n).await).await
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (answer, calls) = scope(Cache::memory(), quadruple(3)).explain().await;
/// assert_eq!(answer, 12);
/// assert_eq!((calls[0].ending, calls[0].missed, calls[0].fill), (Ending::Loaded, Some(Miss::Absent), Some(Fill::Stored)));
/// assert_eq!(calls[1].parent, Some(0));
/// assert_eq!(calls.to_string(), "\
/// quadruple: there is no entry; loaded; stored
///   double: there is no entry; loaded; stored
///   double: there is no entry; loaded; stored
/// ");
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    pub(crate) list: Vec<Explanation>,
    pub(crate) left_out: usize,
}

impl Calls {
    /// How many calls are listed at most.
    pub const MOST: usize = 10_000;

    /// How many calls came after that, and are not listed.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

impl Ending {
    /// Its name in spans and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Waited => "waited",
            Self::Stale(_) => "stale",
            Self::Rejected => "rejected",
            Self::Loaded => "loaded",
            Self::Bypassed(_) => "bypassed",
            Self::Missed => "missed",
            Self::Put => "put",
            Self::Mutated { .. } => "mutated",
            Self::Dropped => "dropped",
        }
    }
}

impl Fill {
    /// Its name in spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Stored => "stored",
            Self::Refused(_) => "refused",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

impl Told {
    /// Its name in spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Undelivered => "undelivered",
            Self::AtTheEnd => "at_the_end",
            Self::Uncommitted => "uncommitted",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
        }
    }
}

impl Told {
    /// Of two caches that one mutation has told, what became of the one that was told less.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |told| match told {
            Self::Applied | Self::Unchanged => 0,
            Self::AtTheEnd => 1,
            Self::Undelivered => 2,
            Self::Uncommitted => 3,
            Self::Rejected => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Delivery> for Told {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Applied => Self::Applied,
            Delivery::Deferred => Self::Undelivered,
        }
    }
}

impl Deref for Calls {
    type Target = [Explanation];

    fn deref(&self) -> &[Explanation] {
        &self.list
    }
}

impl IntoIterator for Calls {
    type Item = Explanation;
    type IntoIter = std::vec::IntoIter<Explanation>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = common_module(self.list.iter().map(|call| call.module));
        let mut modules: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for call in &self.list {
            modules.entry(call.function).or_default().insert(call.module);
        }
        for call in &self.list {
            write!(f, "{:indent$}", "", indent = 2 * call.depth)?;
            if modules[call.function].len() > 1 {
                let module = format!("{}::", call.module);
                f.write_str(module.strip_prefix(&common).unwrap_or(&module))?;
            }
            writeln!(f, "{call}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.function)?;
        if let Some(missed) = self.missed {
            write!(f, "{missed}; ")?;
        }
        write!(f, "{}", self.ending)?;
        self.fill.map_or(Ok(()), |fill| write!(f, "; {fill}"))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("still running"),
            Self::Hit => f.write_str("hit"),
            Self::Joined => f.write_str("joined another call's load"),
            Self::Waited => f.write_str("waited for another process"),
            Self::Stale(why) => write!(f, "given an old value: {why}"),
            Self::Rejected => f.write_str("rejected: too many loads were running"),
            Self::Loaded => f.write_str("loaded"),
            Self::Bypassed(why) => write!(f, "loaded without the right to store: {why}"),
            Self::Missed => f.write_str("nothing to return"),
            Self::Put => f.write_str("put"),
            Self::Mutated { mode, keys, tags, told } => {
                write!(f, "mutation of {keys} keys and {tags} tags, {}: {told}", mode.name())
            }
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("being stored"),
            Self::Stored => f.write_str("stored"),
            Self::Refused(why) => write!(f, "not stored: {why}"),
            Self::Nothing => f.write_str("nothing to store"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applied => "applied",
            Self::Undelivered => "the store could not be told yet",
            Self::AtTheEnd => "waits for the end of the transaction",
            Self::Uncommitted => "its transaction ends at an unknown time",
            Self::Unchanged => "nothing changed, as its `when` said",
            Self::Rejected => "not run, because the store could not be told",
        })
    }
}
