//! The annotated functions whose hits are measured on a store outside of this process, and the caches that they are called with.

use std::pin::Pin;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use tokio::runtime::Handle;
use tokio::runtime::Runtime;

use crate::hits::KEYS;
use crate::hits::User;
use crate::hits::rate;
use crate::rounds::Contender;

/// Two caches on one store, with every key stored.
#[derive(Debug)]
pub struct Caches {
    /// Its connections live on a thread of its own.
    own: Cache,
    /// Its connections live on the runtime of the callers.
    here: Cache,
    size: usize,
}

/// How a measurement is run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// That of the callers.
    pub runtime: &'a Runtime,
    /// How many of them there are at once.
    pub callers: u64,
    /// How many calls they make in all.
    pub count: u64,
}

type Load<'a> = Pin<Box<dyn Future<Output = f64> + 'a>>;

impl Caches {
    /// Connects, and stores values of about `size` bytes. To be called on the runtime of the callers.
    ///
    /// # Panics
    ///
    /// When the store cannot be reached.
    pub async fn connect(url: &str, size: usize) -> Self {
        // On a machine that is busy with something else, a deadline would turn a hit into a load.
        let builder = || Cache::builder().url(url).op_timeout(Duration::from_secs(5));
        let own = builder().connect().await.expect("a cache");
        let here = builder().runtime(Handle::current()).connect().await.expect("a cache");
        for id in 0..KEYS {
            scope(own.clone(), async { (plain(id, size).await, two_tags(id, size).await) }).await;
        }
        // A value is stored beside its caller.
        while own.stats().total.fills < 2 * KEYS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { own, here, size }
    }

    /// The annotated functions with one cache and with the other.
    pub fn contenders<'a>(&'a self, run: Run<'a>) -> [Contender<'a>; 4] {
        let size = self.size;
        let Run { runtime, callers, count } = run;
        let within = move |cache: &Cache, load: Load<'_>| runtime.block_on(scope(cache.clone(), load));
        let plain = move |cache| within(cache, Box::pin(rate(callers, count, move |id| plain(id, size))));
        let two_tags = move |cache| within(cache, Box::pin(rate(callers, count, move |id| two_tags(id, size))));
        [
            Contender::new("annotated", move || plain(&self.own)),
            Contender::new("annotated, two tags", move || two_tags(&self.own)),
            Contender::new("annotated, on the callers' runtime", move || plain(&self.here)),
            Contender::new("annotated, two tags, on the callers' runtime", move || two_tags(&self.here)),
        ]
    }

    /// Ends the program where not every call was a hit: something else was measured then.
    ///
    /// # Panics
    ///
    /// As it says.
    pub fn were_hits(&self) {
        for cache in [&self.own, &self.here] {
            let total = cache.stats().total;
            assert!(total.store_failures == 0 && total.loads <= 2 * KEYS, "not all were hits: {total:?}");
        }
    }
}

#[cached(ttl = "1h", key = "user:{id}", skip(size))]
async fn plain(id: u64, size: usize) -> User {
    User::load(id, size)
}

#[cached(ttl = "1h", key = "tagged:{id}", skip(size), tags = ["users", "user:{id}"])]
async fn two_tags(id: u64, size: usize) -> User {
    User::load(id, size)
}
