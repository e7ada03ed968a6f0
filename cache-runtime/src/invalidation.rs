//! The write path: how a mutation makes stale what it changes.
//!
//! A mutation is *guarded*: before its body it marks what it will invalidate, and when it ends, however it ends, it clears the marks and invalidates.
//! What is filled while a mark stands is filled under the mark's own token and dies with it, so a mutator that is killed between its commit and
//! the clearing leaves nothing stale for longer than its marks live.
//!
//! A body that is dropped or panics half-way may still commit a moment later. Nobody can say when, so what it marked is marked anew and left
//! to expire.

mod deferral;
mod guard;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::around::Around;
use crate::cache::Cache;
use crate::context::Context;
use crate::core::Core;
use crate::entry::Entries;
use crate::entry::NamedEntries;
use crate::entry::rendered_names;
use crate::host::Task;
pub(crate) use crate::invalidation::deferral::Deferral;
use crate::invalidation::deferral::Enlisted;
pub(crate) use crate::invalidation::deferral::invalidate;
use crate::invalidation::guard::Guard;
use crate::key::KeyPart;
use crate::key::Text;
use crate::site::Site;
use crate::site::Templates;
use crate::store::Targets;

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
    /// [`Cache::defer_invalidations`]. Until then others may be given what it made stale.
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
pub struct Invalidation {
    cache: Cache,
    site: &'static Site,
    keys: Option<Text>,
    tags: Option<Text>,
    entries: NamedEntries,
    mode: Mode,
    hold_off: Option<Duration>,
    in_transaction: bool,
}

impl Invalidation {
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        let (entries, mode) = (NamedEntries::default(), site.mutation_mode());
        Self { cache, site, keys: None, tags: None, entries, mode, hold_off: None, in_transaction: false }
    }

    /// Fills the placeholders of the site's keys, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn keys(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.keys = Some(rendered(self.site.key_templates(), parts));
        self
    }

    /// Fills the placeholders of the site's tags, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.tags = Some(rendered(self.site.tag_templates(), parts));
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
        entries.iter().for_each(|entries| entries.collect(&mut self.entries));
        self
    }

    /// How what is invalidated is guarded meanwhile. Defaults to the [site's](Site::mode).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The longest the mutation stays guarded. Defaults to what the cache was built with, which defaults to 60 seconds.
    pub fn hold_off(mut self, hold_off: Duration) -> Self {
        self.hold_off = Some(hold_off);
        self
    }

    /// Says that the body runs inside of a database transaction, which is committed after it returned.
    ///
    /// Inside of [`Cache::defer_invalidations`] the invalidation waits for the end of that. Elsewhere nobody can say when the commit comes: the marks are left
    /// to expire by themselves, some seconds later, and an event says so.
    pub fn in_transaction(mut self) -> Self {
        self.in_transaction = true;
        self
    }

    /// Runs `body`, the mutation, and invalidates however it ends: with a value, an error, a panic, or dropped half-way.
    ///
    /// Once this has returned, no read that starts later is given a value from before the mutation, unless the store could not be told; see [`Cache::pending`].
    ///
    /// # Errors
    ///
    /// Only those of `body`. It runs whether the store can be told or not.
    ///
    /// # Cancel safety
    ///
    /// A body dropped half-way may still commit a moment later, so what it changes stays marked for some seconds.
    pub fn run<F: Future>(self, body: F) -> impl Future<Output = F::Output> {
        let span = tracing::debug_span!("cache_mutation", module = self.site.module(), function = self.site.function());
        Around::new(Box::pin(self.begin().instrument(span)), body, Begun::end_all)
    }

    async fn begin(self) -> Vec<Begun> {
        let mut begun = Vec::with_capacity(1);
        for (cache, targets) in self.targets() {
            begun.push(self.begin_one(cache.core(), targets).await);
        }
        begun
    }

    async fn begin_one(&self, core: &Arc<Core>, targets: Targets) -> Begun {
        if let Some(deferral) = Context::current().deferral {
            let how = (self.mode, self.hold_off);
            if deferral.enlist(core, self.site, targets.clone(), how).await {
                return Begun::Enlisted(Enlisted { deferral, core: core.clone(), site: self.site, targets });
            }
        }
        let guard = Guard::new(core, self.site);
        guard.add(targets, self.mode, self.hold_off).await;
        if self.in_transaction { Begun::Uncommitted(guard) } else { Begun::Guarded(guard) }
    }

    /// Invalidates at once, with no body to wait for; inside of [`Cache::defer_invalidations`], at the end of that.
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn apply(self) -> Delivery {
        let mut delivery = Delivery::Applied;
        for (cache, targets) in self.targets() {
            if invalidate(cache.core(), self.site, targets).await == Delivery::Deferred {
                delivery = Delivery::Deferred;
            }
        }
        delivery
    }

    /// What to invalidate in which cache, its own first.
    #[track_caller]
    fn targets(&self) -> Vec<(Cache, Targets)> {
        let own = Targets {
            keys: rendered_names(self.site.key_templates(), self.keys.as_deref()),
            tags: rendered_names(self.site.tag_templates(), self.tags.as_deref()),
        };
        let mut all = vec![(self.cache.clone(), own)];
        for (cache, name) in &self.entries.0 {
            let at = all.iter().position(|(known, _)| Arc::ptr_eq(known.core(), cache.core()));
            let at = at.unwrap_or_else(|| {
                all.push((cache.clone(), Targets::default()));
                all.len() - 1
            });
            if !all[at].1.keys.contains(name) {
                all[at].1.keys.push(name.clone());
            }
        }
        all.retain(|(_, targets)| !targets.is_empty());
        all
    }
}

/// How a mutation was begun.
enum Begun {
    /// The transaction it is a part of invalidates at its end.
    Enlisted(Enlisted),
    Guarded(Guard),
    /// It is a part of a transaction that nobody told us of.
    Uncommitted(Guard),
}

impl Begun {
    /// Ends all of them, also if one takes long: each has the store's deadline for itself.
    fn end_all(all: Vec<Self>) -> Option<Task> {
        let mut ends: Vec<Task> = all.into_iter().filter_map(Self::end).collect();
        match ends.len() {
            0 | 1 => ends.pop(),
            _ => Some(Box::pin(async move {
                for end in ends {
                    end.await;
                }
            })),
        }
    }

    fn end(self) -> Option<Task> {
        match self {
            // Dropping it sees to a transaction that has ended too early.
            Self::Enlisted(enlisted) => {
                drop(enlisted);
                None
            }
            Self::Guarded(guard) => Some(Box::pin(async move {
                let _ = guard.clear().await;
            })),
            Self::Uncommitted(guard) => {
                tracing::warn!(
                    function = guard.site.function(),
                    "a mutation inside of a transaction has returned before the commit; run it inside of `defer_invalidations`"
                );
                None
            }
        }
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation")
            .field("function", &self.site.function())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn rendered(templates: &Templates, parts: &[&dyn KeyPart]) -> Text {
    let takes = templates.placeholders();
    assert!(takes == parts.len(), "the templates take {takes} parts, not {}", parts.len());
    let mut out = Text::new();
    templates.render(parts, &mut out);
    out
}
