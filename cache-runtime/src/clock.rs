//! What time it is.

use std::sync::Arc;
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
/// use cache_runtime::{Cache, Clock};
///
/// let clock = Clock::held();
/// let cache = Cache::builder().clock(clock.clone()).build()?;
/// clock.advance(Duration::from_secs(60));
/// # drop(cache);
/// # Ok::<(), cache_runtime::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { origin: Instant },
    Held(Arc<AtomicU64>),
}

/// Milliseconds on the clock of one cache. Never goes back while the cache lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
        Self(Kind::System { origin: Instant::now() })
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it. Clones are the same clock.
    pub fn held() -> Self {
        const A_DAY_IN_2026: u64 = 1_790_000_000_000;
        Self(Kind::Held(Arc::new(AtomicU64::new(A_DAY_IN_2026))))
    }

    /// Moves a held clock on; does nothing to the system's.
    pub fn advance(&self, duration: Duration) {
        if let Kind::Held(now) = &self.0 {
            now.fetch_add(millis(duration), Ordering::SeqCst);
        }
    }

    /// For measuring how long something takes or may take.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.0 {
            Kind::System { origin } => Moment(millis(origin.elapsed())),
            Kind::Held(now) => Moment(now.load(Ordering::SeqCst)),
        }
    }

    /// For what other processes read: milliseconds since the Unix epoch.
    pub(crate) fn wall(&self) -> u64 {
        match &self.0 {
            Kind::System { .. } => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Kind::Held(now) => now.load(Ordering::SeqCst),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Whole milliseconds, cut off; the largest number for what is longer.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
