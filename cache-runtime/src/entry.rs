//! One entry, from the typed side: the sentence that `#[cached]` prints.

mod entries;
mod get_or_load;
mod handle;
mod keeping;
mod parts;
mod said;
mod stage;

use std::any::Any;
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::coder::Value;
use crate::core::Loaded;
pub use crate::entry::entries::Entries;
pub(crate) use crate::entry::entries::NamedEntries;
use crate::entry::get_or_load::Calling;
pub use crate::entry::get_or_load::GetOrLoad;
pub use crate::entry::get_or_load::GetOrLoadOwned;
pub use crate::entry::handle::Handle;
pub use crate::entry::keeping::Keeping;
use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::entry::said::Said;
use crate::invalidation::Delivery;
use crate::key::KeyPart;
use crate::outcome::Cacheable;
use crate::outcome::Fails;
use crate::outcome::MayBeEmpty;
use crate::outcome::Negative;
use crate::outcome::Outcome;
use crate::outcome::Rejectable;
use crate::outcome::Shedding;
use crate::policy::Negatively;
use crate::policy::TimeToLive;
use crate::policy::Unless;
use crate::policy::Unset;
use crate::site::Site;

/// One entry of a cache: a key, tags and a time-to-live, and then what to do with it.
///
/// [`Cache::entry`] begins one. What `#[cached]` prints is such a sentence, so everything that it does can be done by hand. Its parts are borrowed until the end of the
/// statement, so where the future has to be `Send`, a `let` makes the entry and the next statement awaits it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::{Cache, Site, returns};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// static PRICE: Site = Site::cached("shop", "price").key("price:{sku}").tags(&["prices"]);
///
/// let cache = Cache::memory();
/// let price = |sku: &str| cache.entry(&PRICE, returns::<u32>().kind()).key(&[&sku]).ttl(Duration::from_secs(60));
///
/// assert_eq!(price("tea").get_or_load(async { 350 }).await, 350);
/// assert_eq!(price("tea").get().await, Some(350));
///
/// cache.invalidate_tags(["prices"]).await;
/// assert_eq!(price("tea").get().await, None);
/// # });
/// ```
#[must_use = "an entry does nothing until it is asked, as with `get_or_load`"]
pub struct Entry<K, T = Unset> {
    parts: Parts,
    ttl: T,
    kind: PhantomData<fn() -> K>,
}

impl<K: Outcome> Entry<K, Unset> {
    #[inline]
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        let parts = Parts { cache, site, said: Said::default() };
        Self { parts, ttl: Unset(site), kind: PhantomData }
    }

    /// Keeps the value for `ttl`, give or take the jitter, counted from the start of its load. At most ten years. Defaults to the [site's](Site::ttl).
    #[inline]
    pub fn ttl(self, ttl: Duration) -> Entry<K, Duration> {
        Entry { parts: self.parts, ttl, kind: PhantomData }
    }

    /// Keeps the value for as long as `ttl` says when it is asked with the value. Zero means that it is not stored.
    pub fn ttl_with<F: Fn(&K::Value) -> Duration>(self, ttl: F) -> Entry<K, F> {
        Entry { parts: self.parts, ttl, kind: PhantomData }
    }
}

impl<K: Outcome, T> Entry<K, T> {
    /// Says which type's function this is, for a site without a key: the type's name becomes part of the key. To be called before [`key`](Self::key).
    pub fn of<S: ?Sized>(mut self) -> Self {
        self.parts.said.options.rare_mut().of = Some(type_name::<S>());
        self
    }

    /// Says which instance of generic code this is, by the type of any closure or `async` block in it.
    ///
    /// Methods of `Repo<User>` and of `Repo<Order>`, or those that two types have of one trait, have one site and may be given one key. What one of them has stored, or is loading, the others
    /// do not take for theirs. Type parameters of the function itself do not count; the attributes ask for them in the key.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::marker::PhantomData;
    ///
    /// use cache_runtime::cached;
    ///
    /// struct Bits<T>(PhantomData<T>);
    ///
    /// impl<T> Bits<T> {
    ///     // Becomes `entry.get_or_load_here(load)`.
    ///     #[cached(ttl = "5m", key = "bits:{unit}")]
    ///     async fn size(&self, unit: u32) -> usize {
    ///         size_of::<T>() * 8 / unit as usize
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert_eq!(Bits::<u8>(PhantomData).size(1).await, 8);
    /// assert_eq!(Bits::<u64>(PhantomData).size(1).await, 64);
    /// # }
    /// ```
    #[inline]
    pub fn here<C>(mut self, _: &C) -> Self {
        self.parts.said.options.here = type_name::<C>();
        self
    }

    /// Fills the placeholders of the site's key, in order. Without a key on the site, the parts follow the function's name.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders: entries would be mixed up.
    #[track_caller]
    #[inline]
    pub fn key(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.parts.render_key(parts);
        self
    }

    /// Fills the placeholders of the site's tags, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    #[inline]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        let templates = self.parts.site.tag_templates();
        assert!(
            templates.placeholders() == parts.len(),
            "the tags take {} parts, not {}",
            templates.placeholders(),
            parts.len()
        );
        self.parts.render_tags(parts);
        self
    }

    /// Keeps the news that there is nothing for `ttl`, give or take the jitter. Defaults to not storing it.
    ///
    /// Only for functions that return `Option<T>` or `Result<Option<T>, E>`. Whoever calls one of these under the same key is served it, with a `ttl` of its own or
    /// without; to any other function it is a miss.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self
    where
        K: MayBeEmpty,
    {
        self.parts.said.options.rare_mut().negative_ttl = Some(ttl);
        self
    }

    /// Keeps the errors of which `negative` is true for `ttl`, give or take the jitter, and shares them with those who wait. Of a `Result<Option<T>, E>` it also keeps the news that there is nothing. To be called after
    /// [`ttl`](Self::ttl), [`ttl_with`](Self::ttl_with) and [`unless`](Self::unless). Defaults to none.
    ///
    /// For the answers of a source that come as an error and are as good as any: what is not there, or not allowed. Other functions under the same key are not served them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, Site, returns};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// enum DbError {
    ///     NotFound,
    ///     Timeout,
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// static USER: Site = Site::cached("shop", "user").key("user:{id}");
    ///
    /// let cache = Cache::memory();
    /// let user = || {
    ///     let entry = cache.entry(&USER, returns::<Result<String, DbError>>().kind()).key(&[&7]);
    ///     entry.ttl(Duration::from_secs(300)).negative(|error| *error == DbError::NotFound, Duration::from_secs(30))
    /// };
    ///
    /// assert_eq!(user().get_or_load(async { Err(DbError::Timeout) }).await, Err(DbError::Timeout));
    /// assert_eq!(user().get_or_load(async { Err(DbError::NotFound) }).await, Err(DbError::NotFound));
    /// // Is not asked again.
    /// assert_eq!(user().get_or_load(async { Ok("Ada".to_owned()) }).await, Err(DbError::NotFound));
    /// # });
    /// ```
    // The error is a parameter of its own: where a bound of a method is in its signature too, the compiler says that there is no such method.
    pub fn negative<E, F>(mut self, negative: F, ttl: Duration) -> Entry<Negative<K>, Negatively<T, E, F>>
    where
        K: Fails<Error = E>,
        E: Cacheable,
        F: Fn(&E) -> bool,
    {
        self.parts.said.options.rare_mut().negative_ttl = Some(ttl);
        let ttl = Negatively { ttl: self.ttl, negative, error: PhantomData };
        Entry { parts: self.parts, ttl, kind: PhantomData }
    }

    /// Says which values are not stored. To be called after [`ttl`](Self::ttl) or [`ttl_with`](Self::ttl_with). Defaults to none.
    ///
    /// Who waited for the load is given the value all the same.
    pub fn unless<F: Fn(&K::Value) -> bool>(self, unless: F) -> Entry<K, Unless<T, F>>
    where
        T: TimeToLive<K::Value>,
    {
        Entry { parts: self.parts, ttl: Unless { ttl: self.ttl, unless }, kind: PhantomData }
    }

    /// Says whether to use the cache for this call. Defaults to `true`.
    ///
    /// Otherwise the load runs with no look at what is stored or running, and what it brings is neither stored nor shared. A load around this one is not stored
    /// either, because nothing would tell it of a change.
    pub fn when(mut self, when: bool) -> Self {
        // Nothing is written where nothing changes: mostly, there is no box to write to yet.
        if self.parts.said.options.rare().unused == when {
            self.parts.said.options.rare_mut().unused = !when;
        }
        self
    }

    /// Spreads the time-to-live by up to `jitter` of it in both directions, so that what was stored together does not expire together.
    ///
    /// Between 0 and 1. Defaults to what the cache was built with, which defaults to 0.1.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.parts.said.options.rare_mut().jitter = Some(jitter);
        self
    }

    /// Says that the load runs inside of a database transaction: what it reads may never be committed or be long out of date, so it is neither stored nor
    /// shared with other callers. An entry that is stored already is served, unless this task has just invalidated it inside of
    /// [`Cache::transaction`].
    pub fn in_transaction(mut self) -> Self {
        self.parts.said.options.rare_mut().in_transaction = true;
        self
    }

    /// Serves a value for so long past its time, while one caller refreshes it. Defaults to not at all.
    ///
    /// The caller that gets the lease refreshes: [`get_or_load`](Self::get_or_load) before it returns, [`get_or_load_owned`](Self::get_or_load_owned) beside it. All others are given the old value at once. If the load
    /// fails, so is the one. An entry that was invalidated is not served. What is computed from an old value, by a load around the call, is not stored.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.parts.said.options.rare_mut().stale.while_revalidate = window;
        self
    }

    /// Serves a value for so long past its time where its load fails, where that takes longer than the [`soft_timeout`](Self::soft_timeout), or where too many loads are running. Defaults to not at all.
    ///
    /// An entry that was invalidated is not served, unless [`even_invalidated`](Self::even_invalidated) is said.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.parts.said.options.rare_mut().stale.if_error = window;
        self
    }

    /// Lets [`stale_if_error`](Self::stale_if_error) serve an entry of which a tag was invalidated: where the source is down, an answer that is known to be out of date is better than none. Defaults to not.
    ///
    /// Of an entry that was invalidated by its key nothing is left.
    pub fn even_invalidated(mut self) -> Self {
        self.parts.said.options.rare_mut().stale.even_invalidated = true;
        self
    }

    /// Waits no longer than this where [`stale_if_error`](Self::stale_if_error) has an old value, and returns that. Defaults to waiting.
    ///
    /// The load goes on, and is stored. Of [`get_or_load`](Self::get_or_load) this goes for those who wait for another's load; the caller whose load it is has to stay with it.
    pub fn soft_timeout(mut self, limit: Duration) -> Self {
        self.parts.said.options.rare_mut().stale.soft_timeout = Some(limit);
        self
    }

    /// Refreshes an entry before its time, by a caller that chance elects: the more likely, the nearer its end and the longer its load takes, and never before the last tenth of its time. Defaults to not.
    ///
    /// 1 is the `beta` that suits most; more refreshes earlier. The algorithm is XFetch (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015), here behind the lease: one caller refreshes, as in
    /// [`stale_while_revalidate`](Self::stale_while_revalidate).
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.parts.said.options.rare_mut().stale.early = Some(beta);
        self
    }

    /// Drops an entry that nobody has read for so long. Reading it puts that off, and never past its time-to-live. Defaults to not.
    ///
    /// On a store outside of the process that is told at most eight times in `idle`, so an entry may be dropped an eighth of it early.
    pub fn time_to_idle(mut self, idle: Duration) -> Self {
        self.parts.said.options.rare_mut().stale.idle = Some(idle);
        self
    }

    /// How many loads of this function run at once in this process, beside [what the cache allows](crate::Builder::max_loads). Defaults to no bound of its own; none is taken as one. The first call in a cache decides.
    ///
    /// A load inside of another takes no place, here either.
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.parts.said.options.rare_mut().max_loads = Some(loads);
        self
    }

    /// Fails a call that finds no place among the loads that may run at once, within the [time for that](crate::Builder::load_queue), with an error for which [`Error::is_overload`](crate::Error::is_overload) is true. Defaults to loading all the same.
    ///
    /// Only for functions that return a `Result` whose error implements `From<cache_runtime::Error>`. To be called after the others that ask what the function returns.
    pub fn reject_overload(self) -> Entry<Shedding<K>, T>
    where
        K: Rejectable,
    {
        Entry { parts: self.parts, ttl: self.ttl, kind: PhantomData }
    }

    /// Returns the stored value, or runs `load` and stores what it returns.
    ///
    /// Of callers that miss together, in this process or in others on the same store, one runs `load` and the rest wait for it, at most for the cache's
    /// `max_wait`. An error is its caller's own: it is not stored and not shared, and one of those who wait tries instead.
    ///
    /// What `load` reads through other entries of this cache, this entry comes to depend on: it goes when any of theirs goes.
    ///
    /// # Errors
    ///
    /// Only those of `load`. A store that is away counts as a miss, and is seen in [`Cache::stats`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up whatever it held, and one of those who wait takes over.
    ///
    /// # Panics
    ///
    /// The future does, when neither the entry nor its site says for how long the value is kept.
    #[inline]
    pub fn get_or_load<F>(self, load: F) -> GetOrLoad<K, T, F>
    where
        F: Future<Output = K::Whole>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        GetOrLoad { calling: Calling::new(self.parts, self.ttl), load, kind: PhantomData }
    }

    /// Does what [`get_or_load`](Self::get_or_load) does, as [of the code](Self::here) that `load` stands in. The same as `.here(&load).get_or_load(load)`, which takes longer to compile.
    ///
    /// # Errors
    ///
    /// Only those of `load`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up whatever it held, and one of those who wait takes over.
    ///
    /// # Panics
    ///
    /// The future does, when neither the entry nor its site says for how long the value is kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, Site, returns};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// static SIZE: Site = Site::cached("docs", "size").key("size").ttl(Duration::from_secs(60));
    ///
    /// async fn size<T>(cache: &Cache) -> usize {
    ///     cache.entry(&SIZE, returns::<usize>().kind()).get_or_load_here(async { size_of::<T>() }).await
    /// }
    ///
    /// let cache = Cache::memory();
    /// assert_eq!(size::<u64>(&cache).await, 8);
    /// assert_eq!(size::<u64>(&cache).await, 8);
    /// # });
    /// ```
    #[inline]
    pub fn get_or_load_here<F>(self, load: F) -> GetOrLoad<K, T, F>
    where
        F: Future<Output = K::Whole>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        // There is one of this for every annotated function, so it is to be small.
        GetOrLoad { calling: Calling::within(self.parts, self.ttl, type_name::<F>()), load, kind: PhantomData }
    }

    /// The same with a load that owns all it needs, and so can go on beside its caller: on the runtime that the caller is on, where an old value is returned at once and
    /// [refreshed](Self::stale_while_revalidate), or returned when the load [takes too long](Self::soft_timeout).
    ///
    /// Without a tokio runtime around it, it is [`get_or_load`](Self::get_or_load).
    ///
    /// # Errors
    ///
    /// Only those of `load`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up whatever it held, and one of those who wait takes over. A load that goes on beside its caller is not the future's any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, Clock, Site, returns};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// static RATE: Site = Site::cached("shop", "rate").key("rate:{currency}");
    ///
    /// let clock = Clock::held();
    /// let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    /// let minute = Duration::from_secs(60);
    /// let rate = || {
    ///     cache.entry(&RATE, returns::<f64>().kind()).key(&[&"eur"]).ttl(minute).jitter(0.0).stale_while_revalidate(minute)
    /// };
    ///
    /// assert_eq!(rate().get_or_load_owned(async { 1.08 }).await, 1.08);
    /// clock.advance(minute);
    /// // Its time is up: this call returns at once, and its load runs beside it.
    /// assert_eq!(rate().get_or_load_owned(async { 1.09 }).await, 1.08);
    /// tokio::task::yield_now().await;
    /// assert_eq!(rate().get_or_load_owned(async { 1.10 }).await, 1.09);
    /// # }
    /// ```
    #[inline]
    pub fn get_or_load_owned<F>(self, load: F) -> GetOrLoadOwned<K, T, F>
    where
        F: Future<Output = K::Whole> + Send + 'static,
        K::Value: Cacheable,
        T: TimeToLive<K::Value> + Send + 'static,
    {
        GetOrLoadOwned::new(self.parts, self.ttl, load)
    }

    /// Returns the stored value, if it may be served.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held.
    pub async fn get(self) -> Option<K::Value>
    where
        K::Value: Cacheable,
    {
        let (loaded, _) = self.stored().await?;
        owned(loaded.value?).ok()
    }

    /// Returns what the function would, if it is stored and may be served: for an `Option<T>`, `Some(None)` is the stored news that there is nothing, and `None`
    /// is a miss.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, Site, returns};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// static NAME: Site = Site::cached("docs", "name").key("name:{id}");
    ///
    /// let cache = Cache::memory();
    /// let minute = Duration::from_secs(60);
    /// let name = || cache.entry(&NAME, returns::<Option<String>>().kind()).key(&[&7]).ttl(minute).negative_ttl(minute);
    ///
    /// assert_eq!(name().lookup().await, None);
    /// name().get_or_load(async { None }).await;
    /// assert_eq!(name().lookup().await, Some(None));
    /// # });
    /// ```
    pub async fn lookup(self) -> Option<K::Whole>
    where
        K::Value: Cacheable,
    {
        let (loaded, _) = self.stored().await?;
        whole::<K>(loaded)
    }

    /// Returns for how much longer the stored value may be served, short of being invalidated.
    pub async fn remaining_ttl(self) -> Option<Duration>
    where
        K::Value: Cacheable,
    {
        self.stored().await.map(|(_, remaining)| remaining)
    }

    /// Stores `value` in place of whatever is stored or being loaded; says whether it was stored.
    ///
    /// It counts as loaded at the moment it is stored. A value that was read from the source earlier than that may be out of date by then, and would stay: where
    /// that can be, invalidate instead. Inside of a transaction or of [`Cache::no_fill`] nothing is stored.
    ///
    /// # Cancel safety
    ///
    /// The value is stored or not.
    ///
    /// # Panics
    ///
    /// When neither the entry nor its site says for how long the value is kept.
    pub async fn put(self, value: K::Value) -> bool
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        let ttl = self.ttl.of(&value);
        let landing = self.parts.stored(Some(Arc::new(value)), ttl);
        self.parts.put(self.parts.request(Typed::of::<K>(self.ttl.fixed())), landing).await
    }

    /// Runs `load` whatever is stored, stores what it returns in place of that, and returns it.
    ///
    /// Others are served what is stored meanwhile, and a load of theirs that is running already is not stored. An error leaves what is stored as it is. Inside of another load, that one is not stored.
    ///
    /// # Errors
    ///
    /// Only those of `load`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up whatever it held. What is stored stays as it is.
    ///
    /// # Panics
    ///
    /// When neither the entry nor its site says for how long the value is kept.
    pub async fn refresh<F>(self, load: F) -> K::Whole
    where
        F: Future<Output = K::Whole>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        let request = self.parts.request(Typed::of::<K>(self.ttl.fixed()));
        self.parts.refresh(request, load, |whole| self.parts.landing::<K>(whole, &self.ttl)).await
    }

    /// Invalidates the entry: no read that starts after this returned `Applied` is given what was stored, or loaded from before, by anybody.
    ///
    /// # Cancel safety
    ///
    /// The entry is invalidated or not.
    pub async fn invalidate(self) -> Delivery {
        self.parts.invalidate().await
    }

    /// The same entry as a value that borrows nothing, and is asked as often as one likes. See [`Handle`].
    pub fn handle(self) -> Handle<K::Whole>
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value> + Clone + Send + Sync + 'static,
    {
        Handle::new::<K, T>(self.parts, self.ttl)
    }

    async fn stored(&self) -> Option<(Loaded, Duration)>
    where
        K::Value: Cacheable,
    {
        self.parts.look(self.parts.request(Typed::of::<K>(None))).await
    }
}

impl<K, T> fmt::Debug for Entry<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may hold what nobody should read in a log.
        f.debug_struct("Entry").field("function", &self.parts.site.function()).finish_non_exhaustive()
    }
}

fn whole<K: Outcome>(loaded: Loaded) -> Option<K::Whole>
where
    K::Value: Cacheable,
{
    match loaded.value {
        Some(value) => owned(value).map_or_else(|value| K::failed(&*value), |value| Some(K::whole(value))),
        None => K::empty(),
    }
}

/// The value itself: moved out if nobody else has it, cloned if somebody has. Given back if it is of another type.
fn owned<V: Any + Clone + Send + Sync>(value: Value) -> Result<V, Value> {
    let value = value.downcast::<V>()?;
    Ok(Arc::try_unwrap(value).unwrap_or_else(|shared| V::clone(&shared)))
}
