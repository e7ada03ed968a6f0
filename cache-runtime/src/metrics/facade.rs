//! The `metrics` facade: the same happenings under names, for whatever recorder the program has installed.
//!
//! A handle is made when it is first needed, by the recorder of that moment, and kept: nothing is looked up again, and a recorder that is installed later
//! learns nothing of what has a handle already. `docs/observability.md` lists all names and labels.

#[cfg(any(feature = "redis", feature = "memcached"))]
mod times;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::Counter;
use ::metrics::Gauge;
use ::metrics::Histogram;
use ::metrics::Label;
use ::metrics::Unit;

use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Miss;
use crate::explain::Refusal;
use crate::explain::Stale;
use crate::metrics::Happened;
use crate::metrics::Operation;
#[cfg(any(feature = "redis", feature = "memcached"))]
pub(crate) use crate::metrics::facade::times::Timed;
use crate::site::Site;

/// The handles of one function in one cache.
pub(crate) struct Handles {
    namespace: Label,
    function: Label,
    counters: [OnceLock<Counter>; SERIES],
    load: OnceLock<Histogram>,
    requests: [OnceLock<Histogram>; REQUESTS],
}

/// The handles of one cache.
pub(crate) struct Gauges {
    namespace: Arc<str>,
    pending: OnceLock<Gauge>,
    entries: OnceLock<Gauge>,
}

impl Handles {
    pub(crate) fn new(namespace: &Arc<str>, site: &Site) -> Self {
        Self {
            namespace: Label::new("namespace", namespace.to_string()),
            function: Label::new("function", site.name()),
            counters: std::array::from_fn(|_| OnceLock::new()),
            load: OnceLock::new(),
            requests: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    #[inline]
    pub(crate) fn count(&self, happened: Happened) {
        self.counters[index(happened)].get_or_init(|| self.counter(happened)).increment(1);
    }

    pub(crate) fn load(&self, took: Duration) {
        self.load.get_or_init(|| self.histogram("cache_load_seconds", None)).record(took);
    }

    /// Only what is on its way to an answer for longer than a look into this process's memory is measured.
    pub(crate) fn request(&self, took: Duration, ending: Ending) {
        let index = match ending {
            Ending::Hit => 0,
            Ending::Joined => 1,
            Ending::Waited => 2,
            Ending::Loaded => 3,
            Ending::Bypassed(_) => 4,
            Ending::Stale(_) => 5,
            Ending::Rejected => 6,
            _ => return,
        };
        let outcome = Some(("outcome", ending.name()));
        self.requests[index].get_or_init(|| self.histogram("cache_request_seconds", outcome)).record(took);
    }

    #[cold]
    fn counter(&self, happened: Happened) -> Counter {
        let (name, label) = series(happened);
        describe(name);
        ::metrics::counter!(name, self.labels(label))
    }

    #[cold]
    fn histogram(&self, name: &'static str, label: Option<(&'static str, &'static str)>) -> Histogram {
        describe(name);
        ::metrics::histogram!(name, self.labels(label))
    }

    fn labels(&self, more: Option<(&'static str, &'static str)>) -> Vec<Label> {
        let more = more.map(|(key, value)| Label::from_static_parts(key, value));
        [self.namespace.clone(), self.function.clone()].into_iter().chain(more).collect()
    }
}

impl Gauges {
    pub(crate) fn new(namespace: &Arc<str>) -> Self {
        Self { namespace: namespace.clone(), pending: OnceLock::new(), entries: OnceLock::new() }
    }

    pub(crate) fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    pub(crate) fn pending(&self, count: usize) {
        self.pending.get_or_init(|| self.gauge("cache_pending_invalidations")).set(count as f64);
    }

    pub(crate) fn local_entries(&self, count: impl FnOnce() -> Option<usize>) {
        if let Some(count) = count() {
            self.entries.get_or_init(|| self.gauge("cache_local_entries")).set(count as f64);
        }
    }

    #[cold]
    fn gauge(&self, name: &'static str) -> Gauge {
        describe(name);
        ::metrics::gauge!(name, "namespace" => self.namespace.to_string())
    }
}

const REQUESTS: usize = 7;
const PLAIN: usize = 15;
const MISSES: usize = PLAIN;
const BYPASSES: usize = MISSES + Miss::ALL.len();
const REFUSALS: usize = BYPASSES + Bypass::ALL.len();
const STALE: usize = REFUSALS + Refusal::ALL.len();
const SERIES: usize = STALE + Stale::ALL.len();

/// Where the handle is.
#[inline]
fn index(happened: Happened) -> usize {
    match happened {
        Happened::Hit => 0,
        Happened::Joined => 1,
        Happened::Waited => 2,
        Happened::Loading => 3,
        Happened::LoadFailed => 4,
        Happened::Filled => 5,
        Happened::Unreadable => 6,
        Happened::Applied => 7,
        Happened::Deferred => 8,
        Happened::StoreFailed(Operation::Begin) => 9,
        Happened::StoreFailed(_) => 10,
        Happened::Unnamed => 11,
        Happened::Rejected => 12,
        Happened::Overloaded => 13,
        Happened::Shed => 14,
        Happened::Missed(why) => MISSES + why as usize,
        Happened::Bypassed(why) => BYPASSES + why as usize,
        Happened::Refused(why) => REFUSALS + why as usize,
        Happened::Stale(why) => STALE + why as usize,
    }
}

/// The name of the counter, and the label it has besides those of its function.
fn series(happened: Happened) -> (&'static str, Option<(&'static str, &'static str)>) {
    match happened {
        Happened::Hit => ("cache_hits_total", None),
        Happened::Missed(why) => ("cache_misses_total", Some(("reason", why.name()))),
        Happened::Joined => ("cache_joined_total", None),
        Happened::Waited => ("cache_waited_total", None),
        Happened::Stale(why) => ("cache_stale_total", Some(("reason", why.name()))),
        Happened::Overloaded => ("cache_overloaded_total", None),
        Happened::Loading => ("cache_loads_total", None),
        Happened::LoadFailed => ("cache_failures_total", None),
        Happened::Bypassed(why) => ("cache_bypassed_total", Some(("reason", why.name()))),
        Happened::Filled => ("cache_fills_total", None),
        Happened::Refused(why) if why.is_of_the_value() => ("cache_unstorable_total", Some(("reason", why.name()))),
        Happened::Refused(Refusal::Unwanted) => ("cache_unwanted_total", None),
        Happened::Refused(why) => ("cache_refused_total", Some(("reason", why.name()))),
        Happened::Unreadable => ("cache_unreadable_total", None),
        Happened::Unnamed => ("cache_unnamed_total", None),
        Happened::StoreFailed(operation) => ("cache_store_failures_total", Some(("operation", operation.name()))),
        Happened::Shed => ("cache_shed_total", None),
        Happened::Applied => ("cache_invalidations_total", Some(("outcome", "applied"))),
        Happened::Deferred => ("cache_invalidations_total", Some(("outcome", "deferred"))),
        Happened::Rejected => ("cache_invalidations_total", Some(("outcome", "rejected"))),
    }
}

/// Tells the recorder what a metric means.
fn describe(name: &'static str) {
    let described = DESCRIPTIONS.iter().find(|(described, _)| *described == name);
    let Some((_, text)) = described else { return };
    if name.ends_with("_seconds") {
        ::metrics::describe_histogram!(name, Unit::Seconds, *text);
    } else if name.ends_with("_total") {
        ::metrics::describe_counter!(name, Unit::Count, *text);
    } else {
        ::metrics::describe_gauge!(name, Unit::Count, *text);
    }
}

const DESCRIPTIONS: &[(&str, &str)] = &[
    ("cache_hits_total", "Calls answered by a stored entry"),
    ("cache_misses_total", "Calls that found no entry they could use"),
    ("cache_joined_total", "Calls answered by another call's load in this process"),
    ("cache_waited_total", "Calls answered by another process's load"),
    ("cache_stale_total", "Calls answered by an entry past its time, or one that was invalidated"),
    ("cache_overloaded_total", "Calls that found no place among the loads that may run at once"),
    ("cache_loads_total", "Times the function's body ran"),
    ("cache_failures_total", "Loads that returned an error"),
    ("cache_bypassed_total", "Loads without the right to store what they brought"),
    ("cache_fills_total", "Entries stored"),
    ("cache_refused_total", "Loaded values that were not stored"),
    ("cache_unwanted_total", "Loaded values that nobody wanted to be stored"),
    (
        "cache_unnamed_total",
        "Calls and invalidations that passed by the cache, because a part of their key or of a tag could not be written",
    ),
    ("cache_unstorable_total", "Loaded values that cannot be stored"),
    ("cache_unreadable_total", "Stored entries that could not be read"),
    ("cache_store_failures_total", "Operations of the store that failed, on the read path"),
    (
        "cache_invalidations_total",
        "Invalidations, confirmed by the store or deferred, and mutations that were rejected",
    ),
    ("cache_shed_total", "Looks at the store that were not made, because it does not answer these days"),
    ("cache_load_seconds", "How long loads took"),
    ("cache_request_seconds", "How long calls took that the memory of the process did not answer"),
    ("cache_store_seconds", "How long the operations of a remote store took"),
    ("cache_pending_invalidations", "Keys and tags whose invalidation the store has not confirmed"),
    ("cache_local_entries", "Entries in the in-process store"),
];

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Begin => "begin",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Renew => "renew",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Release => "release",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Fill => "fill",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Touch => "touch",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Mark => "mark",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Revoke => "revoke",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::List => "list",
            #[cfg(any(feature = "redis", feature = "memcached"))]
            Self::Discard => "discard",
        }
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}
