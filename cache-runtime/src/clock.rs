//! What time it is.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The clock of a cache: the system's, or one that a test holds.
///
/// # Examples
///
/// A test holds the time in its hand:
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::{Cache, Clock, cached, scope};
///
/// #[cached(ttl = "1m", key = "double:{n}", jitter = 0.0)]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let clock = Clock::held();
/// let cache = Cache::builder().clock(clock.clone()).build()?;
/// scope(cache.clone(), async {
///     double(21).await;
///     clock.advance(Duration::from_secs(59));
///     double(21).await;
///     assert_eq!(cache.stats().total.loads, 1);
///     clock.advance(Duration::from_secs(1));
///     double(21).await;
///     assert_eq!(cache.stats().total.loads, 2);
/// })
/// .await;
/// # Ok::<(), cache_runtime::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System {
        origin: Instant,
        coarse: coarse::Clock,
    },
    Held {
        now: Arc<AtomicU64>,
        /// How far what it tells others is ahead of it.
        ahead: Arc<AtomicI64>,
    },
}

/// Milliseconds on the clock of one cache. Never goes back while the cache lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Later than everything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long it is from `earlier` to here; zero if it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Clock {
    /// The system's clock. What a cache has if it is told nothing else.
    pub fn system() -> Self {
        Self(Kind::System { origin: Instant::now(), coarse: coarse::Clock::new() })
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it. Clones are the same clock.
    pub fn held() -> Self {
        const A_DAY_IN_2026: u64 = 1_790_000_000_000;
        Self(Kind::Held { now: Arc::new(AtomicU64::new(A_DAY_IN_2026)), ahead: Arc::default() })
    }

    /// Moves a held clock on; does nothing to the system's.
    pub fn advance(&self, duration: Duration) {
        if let Kind::Held { now, .. } = &self.0 {
            now.fetch_add(millis(duration), Ordering::SeqCst);
        }
    }

    /// A held clock of another machine: the same time passes on it, and what it tells others can be set by itself.
    #[cfg(feature = "sim")]
    pub(crate) fn of_another_machine(&self) -> Self {
        match &self.0 {
            Kind::Held { now, .. } => Self(Kind::Held { now: now.clone(), ahead: Arc::default() }),
            Kind::System { .. } => self.clone(),
        }
    }

    /// Sets what a held clock tells others so far ahead of the time that passes on it, or behind it.
    #[cfg(feature = "sim")]
    pub(crate) fn set_ahead(&self, milliseconds: i64) {
        if let Kind::Held { ahead, .. } = &self.0 {
            ahead.store(milliseconds, Ordering::SeqCst);
        }
    }

    /// For measuring how long something takes or may take.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.0 {
            Kind::System { origin, .. } => Moment(millis(origin.elapsed())),
            Kind::Held { now, .. } => Moment(now.load(Ordering::SeqCst)),
        }
    }

    /// A moment that is not before now and some milliseconds after it at most: enough to say that something has not expired, and cheap.
    #[inline]
    pub(crate) fn no_earlier_than_now(&self) -> Moment {
        match &self.0 {
            Kind::System { origin, coarse } => {
                coarse.elapsed().map_or_else(|| Moment(millis(origin.elapsed())), Moment)
            }
            Kind::Held { now, .. } => Moment(now.load(Ordering::SeqCst)),
        }
    }

    /// For what other processes read: milliseconds since the Unix epoch.
    pub(crate) fn wall(&self) -> u64 {
        match &self.0 {
            Kind::System { .. } => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Kind::Held { now, ahead } => now.load(Ordering::SeqCst).saturating_add_signed(ahead.load(Ordering::SeqCst)),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// The clock that the kernel sets at every tick, which is read in a few nanoseconds.
#[cfg(target_os = "linux")]
mod coarse {
    use rustix::time::ClockId;
    use rustix::time::clock_gettime;

    /// How long a tick is on the slowest kernel, and a millisecond for what is cut off.
    const SLACK: u64 = 11;

    #[derive(Clone, Debug)]
    pub(super) struct Clock {
        origin: u64,
    }

    impl Clock {
        pub(super) fn new() -> Self {
            Self { origin: read(ClockId::Monotonic) }
        }

        /// Milliseconds since this was made, rounded up by more than a tick.
        #[inline]
        pub(super) fn elapsed(&self) -> Option<u64> {
            Some((read(ClockId::MonotonicCoarse) + SLACK).saturating_sub(self.origin))
        }
    }

    #[inline]
    fn read(clock: ClockId) -> u64 {
        let time = clock_gettime(clock);
        // Neither is negative: the clock began with the machine.
        time.tv_sec.unsigned_abs() * 1000 + (time.tv_nsec / 1_000_000).unsigned_abs()
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    #[derive(Clone, Debug)]
    pub(super) struct Clock;

    impl Clock {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) fn elapsed(&self) -> Option<u64> {
            None
        }
    }
}

/// Whole milliseconds, cut off; the largest number for what is longer.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
