//! The write path: how a mutation makes stale what it changes.
//!
//! A mutation is *guarded*: before its body it marks what it will invalidate, and when it ends, however it ends, it clears the marks and invalidates.
//! What is filled while a mark stands is filled under the mark's own token and dies with it, so a mutator that is killed between its commit and
//! the clearing leaves nothing stale for longer than its marks live.
//!
//! A body that is dropped or panics half-way may still commit a moment later. Nobody can say when, so what it marked is marked anew and left
//! to expire.

mod begun;
mod clearing;
mod deferral;
mod ending;
mod guard;
mod names;
mod record;
mod rejecting;
mod transaction;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::around::Around;
use crate::cache::Cache;
use crate::context::Context;
use crate::core::Core;
use crate::entry::Entries;
use crate::entry::NamedEntries;
use crate::error::Error;
use crate::error::Kind;
use crate::explain::Told;
use crate::invalidation::begun::Begun;
use crate::invalidation::begun::Enlisted;
use crate::invalidation::begun::How;
use crate::invalidation::begun::Under;
pub(crate) use crate::invalidation::clearing::clear;
pub(crate) use crate::invalidation::clearing::forget_epoch;
pub(crate) use crate::invalidation::deferral::Deferral;
pub(crate) use crate::invalidation::deferral::invalidate;
use crate::invalidation::deferral::invalidate_all;
pub use crate::invalidation::ending::Ending;
pub use crate::invalidation::ending::ResultNames;
pub use crate::invalidation::ending::Returning;
pub use crate::invalidation::ending::Unasked;
use crate::invalidation::guard::Guard;
pub(crate) use crate::invalidation::guard::tell;
use crate::invalidation::names::rendered;
use crate::invalidation::names::sorted_out;
pub use crate::invalidation::record::Record;
pub use crate::invalidation::record::RecordError;
pub(crate) use crate::invalidation::record::apply;
pub use crate::invalidation::rejecting::Refusable;
pub use crate::invalidation::rejecting::Rejecting;
pub use crate::invalidation::transaction::Collected;
pub(crate) use crate::invalidation::transaction::run as transaction;
use crate::key::KeyPart;
use crate::key::Secret;
use crate::key::Text;
use crate::key::Unwritable;
use crate::metrics::Happened;
use crate::outcome::Outcome;
use crate::policy::LONGEST;
use crate::site::Site;
use crate::store::StoreError;
use crate::store::Targets;
use crate::watch::Mutating;

/// How a mutation guards what it invalidates.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Mode, invalidates};
///
/// #[invalidates(key = "stock:{sku}", mode = linearizable)]
/// async fn sell(sku: &str) {}
///
/// assert_eq!(Mode::default(), Mode::Guarded);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Marks before the body, clears after it. Meanwhile reads go on, shared under the mark, and what they store dies when the body ends.
    #[default]
    Guarded,
    /// As `Guarded`, and meanwhile nothing is stored at all and no load is joined that is not fresh for sure: reads through the cache are linearizable with the mutation, while it ends within its hold-off.
    Linearizable,
    /// Only clears after the body: one round trip less, and a mutator that is killed between its commit and the clearing leaves stale entries until they expire.
    After,
}

impl Mode {
    /// As it is written in the attribute.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Linearizable => "linearizable",
            Self::After => "after",
        }
    }
}

/// What became of an invalidation.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Delivery};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// match Cache::memory().invalidate("user:7").await {
///     Delivery::Applied => {}
///     Delivery::Deferred => println!("other processes may read the old value for a while"),
/// }
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an invalidation that was deferred is not in force yet"]
pub enum Delivery {
    /// The store has confirmed it: no read that starts now is given what it made stale.
    Applied,
    /// It is not in force yet: the store could not be told, and is tried again (see [`Cache::pending`]), or it waits for the end of
    /// [`Cache::transaction`]. Until then others may be given what it made stale. What [`Cache::apply`] could not deliver is not tried again by itself.
    Deferred,
}

/// An invalidation: what to invalidate and how. The sentence that `#[invalidates]` prints.
///
/// [`Cache::invalidation`] begins one.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Mode, Site};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// static RENAME: Site = Site::invalidates("shop", "rename").keys(&["user:{id}"]).tags(&["users"]);
///
/// let cache = Cache::memory();
/// let renamed = cache
///     .invalidation(&RENAME)
///     .keys(&[&7])
///     .mode(Mode::Linearizable)
///     .run(async { "renamed in the database" })
///     .await;
/// assert_eq!(renamed, "renamed in the database");
/// # });
/// ```
#[must_use = "an invalidation does nothing until it is run or applied"]
pub struct Invalidation<E = Unasked> {
    said: Said,
    ending: E,
}

/// What was said before the body.
struct Said {
    cache: Cache,
    site: &'static Site,
    keys: Option<Text>,
    tags: Option<Text>,
    entries: NamedEntries,
    mode: Mode,
    hold_off: Option<Duration>,
    grace: Duration,
    in_transaction: bool,
    /// Whether the result may say that nothing changed.
    asks: bool,
}

impl Invalidation {
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        let said = Said {
            cache,
            site,
            keys: None,
            tags: None,
            entries: NamedEntries::default(),
            mode: site.mutation_mode(),
            hold_off: None,
            grace: Duration::ZERO,
            in_transaction: false,
            asks: false,
        };
        Self { said, ending: Unasked }
    }

    /// Says what the body returns, so that it can be asked: for [names](Invalidation::result), and [whether it changed anything](Invalidation::when).
    ///
    /// Asked is the value of a success: of a `Result` what is in `Ok`, of an `Option` what is in `Some`, of a `Result<Option<_>, _>` what is in both, and any other type itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Mode, Site, returns};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// static MOVE: Site = Site::invalidates("shop", "relocate").keys(&["user:{id}", "city:{result.city}"]);
    ///
    /// struct Moved {
    ///     city: u32,
    ///     changed: bool,
    /// }
    ///
    /// let relocate = Cache::memory()
    ///     .invalidation(&MOVE)
    ///     .keys(&[&7])
    ///     .mode(Mode::After)
    ///     .returning(returns::<std::io::Result<Moved>>().kind())
    ///     .result(|moved, names| names.keys(&[&moved.city]))
    ///     .when(|moved| moved.changed);
    /// relocate.run(async { Ok(Moved { city: 3, changed: true }) }).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn returning<K: Outcome>(self, kind: K) -> Invalidation<Returning<K>> {
        let _ = kind;
        Invalidation { said: self.said, ending: Returning { names: Unasked, when: Unasked, kind: PhantomData } }
    }

    /// Invalidates at once, with no body to wait for; inside of [`Cache::transaction`], at the end of that.
    ///
    /// # Panics
    ///
    /// When a key or a tag of the site needs a result.
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn apply(self) -> Delivery {
        let (targets, names, unnamed) = self.said.names();
        assert!(!names.are_needed(), "the keys or tags name a result, which only `run` has");
        let targets = targets.into_iter().map(|(cache, targets)| (cache.core().clone(), targets)).collect();
        let delivery = invalidate_all(self.said.site, targets, self.said.grace).await;
        if unnamed { Delivery::Deferred } else { delivery }
    }
}

impl<K: Outcome, N, W> Invalidation<Returning<K, N, W>> {
    /// Names what is read from the result: fills the placeholders of the site's keys and tags that are `{result}` or a field of it.
    ///
    /// They are invalidated after the body and never guarded, whatever the mode. Without a value of a success they are left out, and all else is invalidated.
    ///
    /// # Panics
    ///
    /// The body's future panics at its end, having run the body, when the closure does not fill all of them; what needs no result is invalidated.
    pub fn result<F>(self, names: F) -> Invalidation<Returning<K, F, W>>
    where
        F: FnOnce(&K::Value, ResultNames) -> ResultNames,
    {
        let Returning { when, kind, .. } = self.ending;
        Invalidation { said: self.said, ending: Returning { names, when, kind } }
    }

    /// Invalidates only if the value says so. Where there is none, because the body failed, returned `None`, panicked or was dropped, everything is invalidated.
    ///
    /// Only in [`Mode::After`]: in the other modes everything is invalidated before there is a value.
    pub fn when<F>(mut self, when: F) -> Invalidation<Returning<K, N, F>>
    where
        F: FnOnce(&K::Value) -> bool,
    {
        self.said.asks = true;
        let Returning { names, kind, .. } = self.ending;
        Invalidation { said: self.said, ending: Returning { names, when, kind } }
    }
}

impl<E> Invalidation<E> {
    /// Fills the placeholders of the site's keys, all of them in order but those of the result.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn keys(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.said.keys = Some(rendered(self.said.site.key_templates(), parts, self.said.secret()));
        self
    }

    /// Fills the placeholders of the site's tags, all of them in order but those of the result.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.said.tags = Some(rendered(self.said.site.tag_templates(), parts, self.said.secret()));
        self
    }

    /// Names entries by their handles, beside what the site's templates name. Each is invalidated in its own cache.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Delivery, Site, cached, global};
    ///
    /// #[cached(ttl = "5m", key = "name:{id}", handle = name_entry)]
    /// async fn name(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// static RENAME: Site = Site::invalidates("docs", "rename");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let renamed: Vec<_> = (1..=3).map(|id| name_entry(&id)).collect();
    /// let invalidation = global().invalidation(&RENAME).entries(&[&renamed, &name_entry(&7)]);
    /// assert_eq!(invalidation.apply().await, Delivery::Applied);
    /// # }
    /// ```
    pub fn entries(mut self, entries: &[&dyn Entries]) -> Self {
        entries.iter().for_each(|entries| entries.collect(&mut self.said.entries));
        self
    }

    /// How what is invalidated is guarded meanwhile. Defaults to the [site's](Site::mode).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.said.mode = mode;
        self
    }

    /// The longest the mutation stays guarded; in [`Mode::After`] it is not. Defaults to what the cache was built with, which defaults to 60 seconds.
    pub fn hold_off(mut self, hold_off: Duration) -> Self {
        self.said.hold_off = Some(hold_off);
        self
    }

    /// How long fills of what is invalidated stay refused after the mutation has ended, however it ends, in every mode: what loads then is not stored, and not given to others who do not know it to be
    /// fresh. So a load that reads a database replica is never served from the store after it, if no replica lags behind for longer. Defaults to zero.
    ///
    /// What the store forgets, because it is full or restarts, it does not hold back any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_runtime::{Cache, Site};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// static RENAME: Site = Site::invalidates("shop", "rename").keys(&["user:{id}"]);
    ///
    /// let rename = Cache::memory().invalidation(&RENAME).keys(&[&7]).grace(Duration::from_secs(2));
    /// rename.run(async { "renamed in the primary" }).await;
    /// # });
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.said.grace = grace.min(LONGEST);
        self
    }

    /// Says that the body runs inside of a database transaction, which is committed after it returned.
    ///
    /// Inside of [`Cache::transaction`] the invalidation waits for the end of that. Elsewhere nobody can say when the commit comes: the marks are left
    /// to expire by themselves, some seconds later, and an event says so.
    pub fn in_transaction(mut self) -> Self {
        self.said.in_transaction = true;
        self
    }

    /// Does not run the mutation while the cache cannot be told of it: it fails before its body, with what the error of its `Result` makes of an
    /// [`Error`](crate::Error) that [is one of these](crate::Error::is_unreachable). What was marked for it already is marked no more.
    ///
    /// Said after everything else. Without it the mutation runs, and its invalidation is delivered when that is possible; until then other processes may read the old value.
    ///
    /// It speaks for the moment before the body. If the cache goes away while the body runs, the marks are there already, and expire by themselves. What is
    /// named by the result is not marked, and alone is nothing to be told.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Error, Site};
    ///
    /// static LOCK: Site = Site::invalidates("shop", "lock").keys(&["user:{id}"]);
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let lock = Cache::memory().invalidation(&LOCK).keys(&[&7]).reject_unreachable();
    /// lock.run(async { Ok::<_, Error>("locked in the database") }).await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    pub fn reject_unreachable<O: Refusable>(self) -> Invalidation<Rejecting<E, O>> {
        Invalidation { said: self.said, ending: Rejecting::new(self.ending) }
    }

    /// Runs `body`, the mutation, and invalidates however it ends: with a value, an error, a panic, or dropped half-way.
    ///
    /// Once this has returned, no read that starts later is given a value from before the mutation, unless the store could not be told; see [`Cache::pending`].
    ///
    /// # Errors
    ///
    /// Only those of `body`. It runs whether the store can be told or not, but for [`reject_unreachable`](Self::reject_unreachable).
    ///
    /// # Panics
    ///
    /// When [`when`](Invalidation::when) is asked in another mode than [`Mode::After`], when [`reject_unreachable`](Self::reject_unreachable) is said in that mode, which tells the
    /// cache nothing before the body, or when not all placeholders were filled.
    ///
    /// # Cancel safety
    ///
    /// A body dropped half-way may still commit a moment later, so what it changes stays marked for some seconds.
    #[track_caller]
    pub fn run<F: Future>(self, body: F) -> impl Future<Output = F::Output>
    where
        E: Ending<F::Output>,
    {
        let Self { said, ending } = self;
        assert!(
            !said.asks || said.mode == Mode::After,
            "`when` asks the result, which comes too late in a mode that guards"
        );
        let refused = ending.refused();
        assert!(
            refused.is_none() || said.mode != Mode::After,
            "`reject_unreachable` has nothing to go by in mode `after`, which tells the cache nothing before the body"
        );
        let end = |begun: Begun, output: &F::Output| begun.end(ending, output);
        let begin = said.begin(E::READS_NAMES, refused.is_some());
        Around::new(Box::pin(begin), body, Begun::within, end).or(refused)
    }
}

impl Said {
    async fn begin(self, reads_names: bool, rejects: bool) -> Result<Begun, Error> {
        let (targets, names, _) = self.names();
        assert!(reads_names || !names.are_needed(), "the keys or tags name the result; say `.returning(…).result(…)`");
        let context = Context::current();
        let watch = Mutating::call(self.site, &context, self.mode, targets.iter().map(|(_, targets)| targets));
        let span = watch.span.clone();
        let begun = self.begin_all(targets, &context, rejects).instrument(span).await;
        let inside = watch.inside().map(|trace| Context { trace: Some(trace), ..context });
        match begun {
            Ok(under) => Ok(Begun { under, names, watch, inside }),
            Err(error) => {
                self.cache.core().metrics.of(self.site).count(Happened::Rejected);
                watch.end(Told::Rejected);
                Err(Kind::Unreachable(error.to_string()).into())
            }
        }
    }

    async fn begin_all(
        &self,
        targets: Vec<(Cache, Targets)>,
        context: &Context,
        rejects: bool,
    ) -> Result<Vec<Under>, StoreError> {
        let mut under = Vec::with_capacity(1);
        for (cache, targets) in targets {
            match self.begin_one(&cache, targets, context, rejects).await {
                Ok(one) => under.push(one),
                Err(error) => {
                    under.into_iter().for_each(Under::call_off);
                    return Err(error);
                }
            }
        }
        Ok(under)
    }

    async fn begin_one(
        &self,
        cache: &Cache,
        targets: Targets,
        context: &Context,
        rejects: bool,
    ) -> Result<Under, StoreError> {
        if let Some(deferral) = context.deferral.clone() {
            let (mode, hold_off, grace) = (self.mode, self.hold_off, self.grace);
            let how = How { mode, hold_off, grace, asks: self.asks, rejects };
            if let Some(enlisted) = Enlisted::begin(deferral, cache, self.site, targets.clone(), how).await? {
                return Ok(Under::Transaction(enlisted));
            }
        }
        let guard = Guard::new(cache.core(), self.site);
        guard.hold_back(self.grace);
        if !rejects {
            guard.add(targets, self.mode, self.hold_off).await;
        } else if let Err(error) = guard.try_add(targets, self.mode, self.hold_off).await {
            guard.call_off();
            return Err(error);
        }
        Ok(if self.in_transaction { Under::Uncommitted(guard) } else { Under::Guard(guard) })
    }

    fn secret(&self) -> &Option<Secret> {
        &self.cache.core().settings.secret
    }

    /// What is known before the body, in which cache; what the result fills, which is of the first of them; and whether a part could not be written, which is then reported.
    #[track_caller]
    fn names(&self) -> (Vec<(Cache, Targets)>, ResultNames, bool) {
        let fixed =
            |given: &Option<Text>, templates| given.clone().unwrap_or_else(|| rendered(templates, &[], self.secret()));
        let keys = fixed(&self.keys, self.site.key_templates());
        let tags = fixed(&self.tags, self.site.tag_templates());
        let unwritable = Unwritable::find(&keys).or_else(|| Unwritable::find(&tags));
        if let Some(why) = unwritable {
            report(self.cache.core(), self.site, why);
        }
        let ((keys, half_keys), (tags, half_tags)) = (sorted_out(&keys), sorted_out(&tags));
        let names = ResultNames::new(half_keys, half_tags, self.secret().clone());
        let mut all = self.with_entries(Targets { keys, tags });
        all.retain(|(_, targets)| !targets.is_empty() || names.are_needed());
        (all, names, unwritable.is_some() || self.entries.unnamed)
    }

    /// What to invalidate in which cache, its own first.
    fn with_entries(&self, own: Targets) -> Vec<(Cache, Targets)> {
        let mut all = vec![(self.cache.clone(), own)];
        for (cache, name) in &self.entries.entries {
            let at = all.iter().position(|(known, _)| Arc::ptr_eq(known.core(), cache.core()));
            let at = at.unwrap_or_else(|| {
                all.push((cache.clone(), Targets::default()));
                all.len() - 1
            });
            if !all[at].1.keys.contains(name) {
                all[at].1.keys.push(name.clone());
            }
        }
        all
    }
}

/// Counts and says that something cannot be invalidated, because a part of its name could not be written.
fn report(core: &Core, site: &'static Site, why: Unwritable) {
    core.metrics.of(site).count(Happened::Unnamed);
    site.report(why);
}

impl<E> fmt::Debug for Invalidation<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation")
            .field("function", &self.said.site.function())
            .field("mode", &self.said.mode)
            .finish_non_exhaustive()
    }
}
