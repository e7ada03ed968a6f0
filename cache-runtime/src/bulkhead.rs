//! How many loads run at once: what protects the source of truth when the cache is empty, or away.
//!
//! A cache has one bulkhead for all of its functions, and a function may have one of its own in each cache. Who finds no place waits in a queue that is bounded in length and in time. A load inside of another takes
//! no place of its own: with all places taken by loads that wait for their inner ones, none would ever end. For the same reason a load that waits for another's lends its places to that one, if it has none; until they are
//! given back, an inner load of the lender's own waits for them or takes a place like everybody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::core::lock;
use crate::host::Host;
use crate::host::within;
use crate::site::Site;

/// How many loads run at once, and how many may wait for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) loads: usize,
    /// The most that wait, for each bulkhead.
    pub(crate) queue: usize,
    pub(crate) wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { loads: 256, queue: 10_000, wait: Duration::from_secs(10) }
    }
}

/// All bulkheads of a cache.
#[derive(Debug)]
pub(crate) struct Bulkheads {
    limits: Limits,
    all: Bulkhead,
    /// Those of functions that have one, by the address of their site, which lives as long as the program.
    of_functions: Mutex<HashMap<usize, Arc<Bulkhead>>>,
}

/// A number of places, and a queue.
#[derive(Debug)]
struct Bulkhead {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A load's places. Dropped when it ends.
#[derive(Debug, Default)]
pub(crate) struct Places {
    _of_function: Option<OwnedSemaphorePermit>,
    _of_cache: Option<OwnedSemaphorePermit>,
    /// Whether another load has them for now.
    are_lent: AtomicBool,
    given_back: Notify,
    /// Whose they are, of places that were borrowed.
    _borrowed: Option<Borrowed>,
}

/// Places of somebody else. Dropped when they are given back.
#[derive(Debug)]
struct Borrowed(Arc<Places>);

/// There was no place in time, or too many were waiting already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl Places {
    fn taken(of_function: Option<OwnedSemaphorePermit>, of_cache: OwnedSemaphorePermit) -> Self {
        Self { _of_function: of_function, _of_cache: Some(of_cache), ..Self::default() }
    }

    /// The same places for another load, unless one has them already.
    pub(crate) fn borrow(self: &Arc<Self>) -> Option<Arc<Self>> {
        let is_first = !self.are_lent.swap(true, Ordering::AcqRel);
        is_first.then(|| Arc::new(Self { _borrowed: Some(Borrowed(self.clone())), ..Self::default() }))
    }

    pub(crate) fn are_lent(&self) -> bool {
        self.are_lent.load(Ordering::Acquire)
    }

    /// Ends when nobody else has them.
    pub(crate) async fn given_back(&self) {
        loop {
            // Before the look, so that nothing is missed in between.
            let given_back = self.given_back.notified();
            if !self.are_lent() {
                return;
            }
            given_back.await;
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.0.are_lent.store(false, Ordering::Release);
        self.0.given_back.notify_waiters();
    }
}

impl Bulkheads {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, all: Bulkhead::new(limits.loads), of_functions: Mutex::default() }
    }

    /// Waits for a place among the loads of `site`, of which `own` may run at once if it says, and among all.
    pub(crate) async fn enter(
        &self,
        host: &dyn Host,
        site: &'static Site,
        own: Option<usize>,
    ) -> Result<Places, Overloaded> {
        if let Some(places) = self.try_enter(site, own) {
            return Ok(places);
        }
        let entering = async {
            // First that of the function, so that who waits for it keeps none of the others from theirs.
            let of_function = match own {
                Some(own) => Some(self.of(site, own).enter(self.limits.queue).await?),
                None => None,
            };
            Ok(Places::taken(of_function, self.all.enter(self.limits.queue).await?))
        };
        within(host, self.limits.wait, entering).await.unwrap_or(Err(Overloaded))
    }

    /// The same without waiting.
    pub(crate) fn try_enter(&self, site: &'static Site, own: Option<usize>) -> Option<Places> {
        let of_function = match own {
            Some(own) => Some(self.of(site, own).try_enter()?),
            None => None,
        };
        Some(Places::taken(of_function, self.all.try_enter()?))
    }

    /// The bulkhead of a function. The number of its places is what its first call said.
    fn of(&self, site: &'static Site, places: usize) -> Arc<Bulkhead> {
        let address = std::ptr::from_ref(site).addr();
        let mut of_functions = lock(&self.of_functions);
        of_functions.entry(address).or_insert_with(|| Arc::new(Bulkhead::new(places))).clone()
    }
}

impl Bulkhead {
    fn new(places: usize) -> Self {
        let places = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self { places, waiting: AtomicUsize::new(0) }
    }

    /// Nobody is overtaken: while somebody waits, a place that comes free is theirs.
    fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    async fn enter(&self, queue: usize) -> Result<OwnedSemaphorePermit, Overloaded> {
        let _waiting = Waiting::join(&self.waiting, queue).ok_or(Overloaded)?;
        // Nobody closes it.
        self.places.clone().acquire_owned().await.map_err(|_| Overloaded)
    }
}

/// A place in a queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        // Dropped again if there were too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
