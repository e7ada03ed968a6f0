//! The cache that applications hold: built, installed, asked.

mod builder;
mod trial;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use once_cell::sync::OnceCell;

pub use crate::cache::builder::Builder;
pub(crate) use crate::cache::builder::is_namespace;
use crate::closing;
use crate::closing::Closed;
use crate::context::Context;
use crate::core::Core;
use crate::core::Settings;
use crate::entry::Entry;
use crate::error::Error;
use crate::error::Kind;
use crate::explain::Bypass;
use crate::host::Threaded;
use crate::invalidation;
use crate::invalidation::Collected;
use crate::invalidation::Delivery;
use crate::invalidation::Invalidation;
use crate::invalidation::Record;
use crate::invalidation::RecordError;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::Secret;
use crate::key::SecretOf;
use crate::key::Text;
use crate::key::Unwritable;
use crate::metrics::Stats;
use crate::outcome::Outcome;
use crate::policy::Unset;
use crate::site::Site;
use crate::store::Targets;
use crate::store::off::Off;
use crate::tag_sets::Tag;

/// A cache: a store, and everything that keeps it from lying.
///
/// It is a handle; clones are the same cache. It works from any async runtime and from several at once, because what it does besides answering its callers it does on
/// a thread of its own, which it starts when it first needs it.
///
/// # Examples
///
/// ```
/// use cache_runtime::Cache;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::connect("memory:").await?;
/// assert_eq!(cache.pending(), 0);
/// # Ok::<(), cache_runtime::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache(Handle);

#[derive(Clone)]
enum Handle {
    /// The installed one, which nobody counts.
    Installed(&'static Arc<Core>),
    Shared(Arc<Core>),
}

static INSTALLED: OnceCell<Arc<Core>> = OnceCell::new();

/// Makes `cache` the one that annotated functions use.
///
/// # Errors
///
/// When there is one already, be it that a cached function was called before this: two caches that do not know of each other's invalidations would
/// be worse than none.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, install};
///
/// install(Cache::memory())?;
/// assert!(install(Cache::memory()).is_err());
/// # Ok::<(), cache_runtime::Error>(())
/// ```
pub fn install(cache: Cache) -> Result<(), Error> {
    INSTALLED.set(cache.core().clone()).map_err(|_| Kind::Installed.into())
}

/// Returns the cache of this task: that of the innermost [`scope`](crate::scope()), or the installed one.
///
/// With none installed, the first call installs what `CACHE_URL` says, as [`Cache::from_env`] would but without waiting for a connection, or the in-process store if nothing is set.
/// If `CACHE_URL` cannot be used, an error event says why, and the cache is off: every call loads, because a store of its own would not hear of
/// other processes' invalidations.
#[inline]
pub fn global() -> Cache {
    match Context::cache() {
        Some(cache) => cache,
        None => Cache(Handle::Installed(INSTALLED.get_or_init(default_core))),
    }
}

#[cold]
fn default_core() -> Arc<Core> {
    match Builder::from_env().and_then(Builder::build) {
        Ok(cache) => cache.core().clone(),
        Err(error) => {
            tracing::error!(%error, "the environment does not say which cache to use, so there is none: every call loads");
            // It stores nothing, so nothing of it can be read.
            let settings = Settings { secret: Some(Secret::random()), ..Settings::default() };
            let host = Arc::new(Threaded::default());
            Arc::new(Core::new(Arc::new(Off(error.to_string())), host, Default::default(), settings))
        }
    }
}

/// Writes `value` as it stands in a key, so that the full text of a key or a tag can be put together by hand.
///
/// A part that is hidden by [`hash_part`](crate::hash_part) is hashed with the secret of [`global`]; [`Cache::key_part`] takes that of another cache.
/// A value that cannot be written, which [`json_part`](crate::json_part) knows, gives text that names no entry.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, key_part};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(key_part(&"ada@example.org"), "ada%40example.org");
/// let _ = Cache::memory().invalidate(format!("mail:{}", key_part(&"ada@example.org"))).await;
/// # });
/// ```
pub fn key_part(value: &dyn KeyPart) -> String {
    part_of(value, SecretOf::Task(|| global().core().settings.secret.clone()))
}

fn part_of(value: &dyn KeyPart, secret: SecretOf<'_>) -> String {
    let mut out = Text::new();
    value.write(&mut KeyWriter::new(&mut out, secret));
    if let Some(why) = Unwritable::find(&out) {
        tracing::error!("{}; the text that was asked for names nothing", why.message());
    }
    // What is not ASCII stands for a part that could not be written, and is replaced by what no part holds.
    String::from_utf8_lossy(&out).into_owned()
}

impl Cache {
    /// A cache in this process, with the defaults.
    pub fn memory() -> Self {
        Self::from_core(Builder::new().build_in_memory())
    }

    /// A cache with other settings than the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Connects to the store that `url` names: `memory:`, `redis://[user:password@]host[:port][/database]`, `redis+unix:///path[?db=0]`, or `memcached://host[:port],host[:port]`. Any of them takes `?namespace=` and
    /// `?codec=`, which is `json` or, with the feature `msgpack`, `msgpack`.
    ///
    /// Waits for the connection, at most for a second. A server that is not there is no error: the cache goes on trying, and until it is there every call loads.
    ///
    /// # Errors
    ///
    /// When the URL cannot be understood, or names a store that this build does not have.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Builder::new().url(url).connect().await
    }

    /// Connects to the store that the environment names: `CACHE_URL` as in [`connect`](Self::connect), `CACHE_NAMESPACE`, which comes before a `?namespace=` in the
    /// URL, and `CACHE_SECRET` as in [`Builder::secret`]. Nothing set means `memory:`.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), with the name of the variable.
    pub async fn from_env() -> Result<Self, Error> {
        Builder::from_env()?.connect().await
    }

    /// Begins a sentence about one entry of `site`, whose function returns what `kind` says. See [`Entry`].
    ///
    /// If the site has no [time-to-live](Site::ttl), say one with [`Entry::ttl`]: without any, loading, storing and refreshing the entry panic, and so does all that its handle looks up.
    #[inline]
    pub fn entry<K: Outcome>(&self, site: &'static Site, kind: K) -> Entry<K, Unset> {
        let _ = kind;
        Entry::new(self.clone(), site)
    }

    /// Begins a sentence about what `site` invalidates. See [`Invalidation`].
    pub fn invalidation(&self, site: &'static Site) -> Invalidation {
        Invalidation::new(self.clone(), site)
    }

    /// Writes `value` as it stands in the keys of this cache: as [`key_part`] does, with the secret of this cache.
    pub fn key_part(&self, value: &dyn KeyPart) -> String {
        part_of(value, SecretOf::Known(&self.core().settings.secret))
    }

    /// Invalidates the entry of `key`, the full text of a key such as `user:7`. What came from arguments stands escaped in it: put such text together with
    /// [`key_part`].
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn invalidate(&self, key: impl AsRef<str>) -> Delivery {
        static SITE: Site = Site::invalidates("cache_runtime::Cache", "invalidate");
        let keys = vec![Name::new(key.as_ref().as_bytes())];
        invalidation::invalidate(self.core(), &SITE, Targets { keys, tags: Vec::new() }).await
    }

    /// Invalidates all entries that have one of `tags`, each the full text of a tag such as `users`. What came from arguments stands escaped in it: put such
    /// text together with [`key_part`].
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn invalidate_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Delivery {
        static SITE: Site = Site::invalidates("cache_runtime::Cache", "invalidate_tags");
        let tags = tags.into_iter().map(|tag| Name::new(tag.as_ref().as_bytes())).collect();
        invalidation::invalidate(self.core(), &SITE, Targets { keys: Vec::new(), tags }).await
    }

    /// What can be asked about the entries that have `tag`, the full text of a tag as for [`invalidate_tags`](Self::invalidate_tags), where the cache was built with
    /// [`tag_sets`](Builder::tag_sets).
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, cached, scope};
    ///
    /// #[cached(ttl = "1m", key = "user:{id}", tags = ["users"])]
    /// async fn user(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::builder().tag_sets(10_000).build()?;
    /// scope(cache.clone(), async { drop((user(7).await, user(8).await)) }).await;
    ///
    /// let users = cache.tag("users");
    /// assert_eq!(users.count().await?, 2);
    /// for entry in users.entries().await? {
    ///     println!("{} takes {} bytes, for {:?}", entry.key(), entry.size(), entry.remaining());
    /// }
    /// # Ok::<(), cache_runtime::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn tag(&self, tag: impl AsRef<str>) -> Tag {
        Tag::new(self.core(), Name::new(tag.as_ref().as_bytes()))
    }

    /// Empties the namespace at once: nothing that was loaded before this was called is served any more, whatever its key and tags.
    ///
    /// Once this has returned [`Applied`](Delivery::Applied), no read of this process that starts later is given such a value, and none of another process that starts
    /// two seconds later. Until then another process may still serve what it finds. What is being loaded meanwhile is not served after it either. The entries themselves are left to expire.
    ///
    /// It is for emergencies, such as a change past all mutators: everything is loaded anew, by one caller for each key. It does not wait for the end of
    /// [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Delivery, cached, scope};
    ///
    /// #[cached(ttl = "1m", key = "double:{n}")]
    /// async fn double(n: u64) -> u64 {
    ///     2 * n
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::memory();
    /// scope(cache.clone(), double(1)).await;
    /// assert_eq!(cache.clear().await, Delivery::Applied);
    /// scope(cache.clone(), double(1)).await;
    /// assert_eq!(cache.stats().total.loads, 2);
    /// # });
    /// ```
    pub async fn clear(&self) -> Delivery {
        static SITE: Site = Site::invalidates("cache_runtime::Cache", "clear");
        invalidation::clear(self.core(), &SITE).await
    }

    /// Runs a database transaction: collects what the mutators in it invalidate, and invalidates that when it has ended.
    ///
    /// `body` is given what is [`Collected`]: to say that the transaction was [rolled back](Collected::rolled_back), and to have it [recorded](Collected::records) in an outbox table. It begins and commits the
    /// transaction of the database itself. Whatever it returns, an error among it, what was collected is invalidated unless it has said that it was rolled back: `commit` may have failed with an error after it had succeeded.
    ///
    /// It collects for every cache that is used inside. Until the end that is guarded: other tasks store nothing that outlives the transaction. Reads inside of what was collected so far pass by the cache,
    /// so that the transaction sees its own writes, and of no other read is stored what it loaded: it may be an old snapshot, or never be committed.
    ///
    /// Inside of another it is a savepoint: what it has collected goes to the transaction around it, however it ended, and is invalidated at the end of that.
    ///
    /// # Cancel safety
    ///
    /// As with a mutator that is dropped half-way: it may yet commit, so what was collected stays marked for some seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, invalidates, scope};
    ///
    /// # struct Database;
    /// # impl Database {
    /// #     async fn begin(&self) -> Result<Transaction, Error> { Ok(Transaction) }
    /// # }
    /// # struct Transaction;
    /// # impl Transaction {
    /// #     async fn commit(self) -> Result<(), Error> { Ok(()) }
    /// #     async fn rollback(self) -> Result<(), Error> { Ok(()) }
    /// # }
    /// # #[derive(Debug)]
    /// # struct Error;
    /// #[invalidates(key = "user:{id}", in_transaction)]
    /// async fn rename(transaction: &mut Transaction, id: u64, name: &str) -> Result<(), Error> {
    ///     // …
    /// #   let _ = (transaction, id, name);
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let (cache, database) = (Cache::memory(), Database);
    /// # let shown = async {
    /// cache
    ///     .transaction(async |collected| {
    ///         let mut transaction = database.begin().await?;
    ///         match rename(&mut transaction, 7, "Ada").await {
    ///             Ok(()) => transaction.commit().await,
    ///             Err(error) => {
    ///                 transaction.rollback().await?;
    ///                 collected.rolled_back().await;
    ///                 Err(error)
    ///             }
    ///         }
    ///     })
    ///     .await
    /// # };
    /// # scope(cache.clone(), shown).await.unwrap();
    /// # assert_eq!(cache.stats().total.applied, 1);
    /// # });
    /// ```
    pub async fn transaction<F: Future>(&self, body: impl FnOnce(Collected) -> F) -> F::Output {
        invalidation::transaction(body).await
    }

    /// Runs `future`, which commits a transaction at its end, and only then applies the invalidations of all mutators called in it.
    ///
    /// It is [`transaction`](Self::transaction) for those who never roll back, or do not mind that what was collected is then invalidated for nothing.
    ///
    /// # Cancel safety
    ///
    /// As with a mutator that is dropped half-way: what was collected stays marked for some seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, cached, invalidates, scope};
    ///
    /// #[invalidates(tags = ["users"])]
    /// async fn rename() {}
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::memory();
    /// scope(cache.clone(), async {
    ///     cache
    ///         .defer_invalidations(async {
    ///             // begin a transaction
    ///             rename().await;
    ///             // commit it
    ///         })
    ///         .await;
    /// })
    /// .await;
    /// assert_eq!(cache.stats().total.applied, 1);
    /// # });
    /// ```
    pub async fn defer_invalidations<F: Future>(&self, future: F) -> F::Output {
        self.transaction(|_| future).await
    }

    /// Delivers what an outbox table holds: invalidates, at once, what `records` name. Any process of the namespace can, in any order and as often as it likes.
    ///
    /// After [`Delivery::Applied`] the rows are done with, and can be deleted. After [`Delivery::Deferred`] the store could not be told of all of it: the rows are to be kept, and tried again. Nothing else
    /// keeps them. This process does not note them for delivery, so [`pending`](Self::pending) does not count them, and an outage as long as you like costs it no memory.
    ///
    /// Inside of [`transaction`](Self::transaction) it does not wait for the end: records speak of what is committed.
    ///
    /// # Errors
    ///
    /// [`RecordError::Namespace`] when one of the records is of another namespace. Then none is applied.
    ///
    /// # Cancel safety
    ///
    /// Any part may have been applied, so the rows are to be kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Delivery, Record};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::builder().namespace("shop:prod").build()?;
    /// let rows = [(1, "v1 shop:prod key:user:7 ."), (2, "v1 shop:prod tag:users .")];
    ///
    /// let records = rows.iter().map(|(_, text)| text.parse()).collect::<Result<Vec<Record>, _>>()?;
    /// if cache.apply(&records).await? == Delivery::Applied {
    ///     // delete rows 1 and 2
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn apply<R: Borrow<Record>>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Delivery, RecordError> {
        invalidation::apply(self.core(), records).await
    }

    /// Runs `future` so that nothing it loads, through whichever cache, is stored or shared, as where it reads an old snapshot. What is stored is served.
    pub fn no_fill<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        let context = Context { no_fill: Some(Bypass::NoFill), ..Context::current() };
        context.carry(future)
    }

    /// The namespace that all of its keys and tags are in. See [`Builder::namespace`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::Cache;
    ///
    /// let cache = Cache::builder().namespace("shop:prod").build()?;
    /// assert_eq!(cache.namespace(), "shop:prod");
    /// # Ok::<(), cache_runtime::Error>(())
    /// ```
    pub fn namespace(&self) -> &str {
        &self.core().settings.namespace
    }

    /// Ends the cache before its process ends: nothing is served or stored any more, what was invalidated is delivered, and what others would wait for is given up. Says what was left when `deadline` had passed.
    ///
    /// A lease that a process takes along keeps the others from loading that key until it expires. An invalidation that it takes along is lost to them. So call this last, when no more requests are
    /// served; a load that runs on is not waited for, but its lease is given up.
    ///
    /// Afterwards cached functions run and are not stored, and mutators tell the store once: what it does not confirm is [`Deferred`](Delivery::Deferred) and not tried again, until this
    /// is called once more. It can be, and by several at a time.
    ///
    /// # Cancel safety
    ///
    /// The cache is closed from the first poll on. Dropping the future ends the waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, cached, scope};
    ///
    /// #[cached(ttl = "1m", key = "double:{n}")]
    /// async fn double(n: u64) -> u64 {
    ///     2 * n
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::memory();
    /// scope(cache.clone(), double(1)).await;
    /// let closed = cache.close(Duration::from_secs(2)).await;
    /// if !closed.is_complete() {
    ///     eprintln!("others may read {} old keys and tags until they expire", closed.undelivered);
    /// }
    /// # });
    /// ```
    pub async fn close(&self, deadline: Duration) -> Closed {
        closing::close(self.core(), deadline).await
    }

    /// What was counted so far, in total and for each function.
    pub fn stats(&self) -> Stats {
        self.core().metrics.read()
    }

    /// How many keys and tags were invalidated and the store has not confirmed it yet. All of the namespace counts as one.
    pub fn pending(&self) -> usize {
        self.core().journal.len()
    }

    pub(crate) fn from_core(core: Core) -> Self {
        Self(Handle::Shared(Arc::new(core)))
    }

    /// The engine, while nobody else has it.
    #[cfg(feature = "sim")]
    pub(crate) fn core_mut(&mut self) -> Option<&mut Core> {
        match &mut self.0 {
            Handle::Installed(_) => None,
            Handle::Shared(core) => Arc::get_mut(core),
        }
    }

    #[inline]
    pub(crate) fn core(&self) -> &Arc<Core> {
        match &self.0 {
            Handle::Installed(core) => core,
            Handle::Shared(core) => core,
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("store", &self.core().store).finish_non_exhaustive()
    }
}
