//! What can happen, as one value for everything that tells of it.

use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Miss;
use crate::explain::Refusal;
use crate::explain::Stale;

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Hit,
    Missed(Miss),
    Joined,
    Waited,
    Stale(Stale),
    /// There was no place for its load in time.
    Overloaded,
    Loading,
    LoadFailed,
    Bypassed(Bypass),
    Filled,
    Refused(Refusal),
    Unreadable,
    /// A part of a key or of a tag could not be written.
    Unnamed,
    /// On the read path.
    StoreFailed(Operation),
    /// The store was not asked for an entry.
    Shed,
    Applied,
    Deferred,
    /// A mutation did not run, because the store could not be told.
    Rejected,
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Begin,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Renew,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Release,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Fill,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Touch,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Mark,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Revoke,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    List,
    #[cfg(all(feature = "metrics", any(feature = "redis", feature = "memcached")))]
    Discard,
}

impl Happened {
    /// What is counted when a call ends. Loads are counted when they begin.
    pub(crate) fn at_the_end(ending: Ending) -> Option<Self> {
        match ending {
            Ending::Hit => Some(Self::Hit),
            Ending::Joined => Some(Self::Joined),
            Ending::Waited => Some(Self::Waited),
            Ending::Stale(why) => Some(Self::Stale(why)),
            _ => None,
        }
    }
}
