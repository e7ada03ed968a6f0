//! One entry as a value: what `handle = user_entry` makes of a call.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::cache::Cache;
use crate::core::Loaded;
use crate::entry::Entry;
use crate::entry::keeping::Keeping;
use crate::entry::parts::Parts;
use crate::entry::parts::Typed;
use crate::entry::whole;
use crate::invalidation::Delivery;
use crate::key::Name;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::policy::TimeToLive;
use crate::read::Landing;
use crate::read::Request;

/// One entry of a function that returns `R`, by name: looked at, replaced and invalidated without a call of the function.
///
/// `#[cached(handle = user_entry)]` puts a function of that name beside the annotated one, which takes what key and tags name and returns a handle;
/// [`Entry::handle`] makes one by hand. It owns everything, so it can be kept, cloned, collected and sent to another task. It belongs to the cache that was
/// [global](crate::global()) where it was made, or to the one that the function names.
///
/// # Examples
///
/// ```
/// use std::io;
///
/// use cache_runtime::{cached, invalidates};
///
/// #[cached(ttl = "5m", key = "user:{id}", handle = user_entry)]
/// async fn user(id: u64) -> io::Result<String> {
///     Ok(format!("user {id}"))
/// }
///
/// #[invalidates(entries = [user_entry(&from), user_entry(&to)])]
/// async fn merge(from: u64, to: u64) -> io::Result<()> {
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let entry = user_entry(&7);
/// assert!(entry.get().await.is_none());
/// user(7).await?;
/// assert_eq!(entry.get().await.transpose()?.as_deref(), Some("user 7"));
/// assert!(entry.put(Ok("Ada".to_owned())).await);
/// assert_eq!(user(7).await?, "Ada");
/// merge(7, 8).await?;
/// assert_eq!(user(7).await?, "user 7");
/// # Ok(())
/// # }
/// ```
#[must_use = "a handle does nothing until it is asked, as with `get`"]
pub struct Handle<R> {
    parts: Parts,
    keeping: Keeping,
    shape: Shape<R>,
}

/// What a handle can do because it was made where the kind of `R` was known.
struct Shape<R> {
    request: fn(&Parts, &Keeping) -> Request,
    landing: fn(&Parts, &Keeping, &R) -> Landing,
    whole: fn(Loaded) -> Option<R>,
}

impl<R> Handle<R> {
    pub(super) fn new<K, T>(parts: Parts, ttl: T) -> Self
    where
        K: Outcome<Whole = R>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value> + Clone + Send + Sync + 'static,
    {
        let shape = Shape {
            request: |parts, keeping| parts.request(Typed::of::<K>(TimeToLive::<K::Value>::fixed(keeping))),
            landing: |parts, keeping, whole| parts.landing::<K>(whole, keeping),
            whole: whole::<K>,
        };
        Self { parts, keeping: Keeping::new::<K::Value, T>(ttl), shape }
    }

    /// Returns what the function would, if it is stored and may be served: `Some(Ok(user))` of a `Result`, and of an `Option` also `Some(None)`, the stored news that there is
    /// nothing.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held.
    ///
    /// # Panics
    ///
    /// When it was made of an entry without a time-to-live, of a site without one.
    pub async fn get(&self) -> Option<R> {
        let request = (self.shape.request)(&self.parts, &self.keeping);
        let (loaded, _) = self.parts.look(request).await?;
        (self.shape.whole)(loaded)
    }

    /// Returns for how much longer what is stored may be served, short of being invalidated.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held.
    ///
    /// # Panics
    ///
    /// When it was made of an entry without a time-to-live, of a site without one.
    pub async fn remaining_ttl(&self) -> Option<Duration> {
        let request = (self.shape.request)(&self.parts, &self.keeping);
        self.parts.look(request).await.map(|(_, remaining)| remaining)
    }

    /// Stores what the function could have `returned`, in place of whatever is stored or being loaded; says whether it was stored. What the function does not store
    /// is not stored here: no error, no `None` without a `negative_ttl`, and nothing that `unless` says.
    ///
    /// It counts as loaded at the moment it is stored. A value that was read from the source earlier than that may be out of date by then, and would stay: where
    /// that can be, [`refresh`](Self::refresh) or invalidate instead.
    ///
    /// # Cancel safety
    ///
    /// The value is stored or not.
    ///
    /// # Panics
    ///
    /// When it was made of an entry without a time-to-live, of a site without one.
    pub async fn put(&self, returned: R) -> bool {
        let request = (self.shape.request)(&self.parts, &self.keeping);
        let landing = (self.shape.landing)(&self.parts, &self.keeping, &returned);
        drop(returned);
        self.parts.put(request, landing).await
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
    /// When it was made of an entry without a time-to-live, of a site without one.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::cached;
    ///
    /// #[cached(ttl = "5m", key = "rate:{currency}", handle = rate_entry)]
    /// async fn rate(currency: &str) -> u32 {
    ///     ask(currency).await
    /// }
    /// # async fn ask(_: &str) -> u32 { 107 }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert_eq!(rate_entry("chf").refresh(ask("chf")).await, 107);
    /// assert_eq!(rate_entry("chf").get().await, Some(107));
    /// # }
    /// ```
    pub async fn refresh<F: Future<Output = R>>(&self, load: F) -> R {
        let request = (self.shape.request)(&self.parts, &self.keeping);
        let landed = |whole: &R| (self.shape.landing)(&self.parts, &self.keeping, whole);
        self.parts.refresh(request, load, landed).await
    }

    /// Invalidates the entry: no read that starts after this returned `Applied` is given what was stored, or loaded from before, by anybody.
    ///
    /// # Cancel safety
    ///
    /// What was not confirmed by then is delivered beside the caller.
    pub async fn invalidate(&self) -> Delivery {
        self.parts.invalidate().await
    }

    /// The same entry as a sentence of the builder, with the `kind` that it was made with: what a function with a handle goes on with.
    #[inline]
    pub fn entry<K: Outcome<Whole = R>>(self, kind: K) -> Entry<K, Keeping> {
        let _ = kind;
        Entry { parts: self.parts, ttl: self.keeping, kind: PhantomData }
    }

    pub(super) fn named(&self) -> Option<(Cache, Name)> {
        self.parts.name().map(|name| (self.parts.cache.clone(), name))
    }
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        let Shape { request, landing, whole } = self.shape;
        Self { parts: self.parts.clone(), keeping: self.keeping.clone(), shape: Shape { request, landing, whole } }
    }
}

impl<R> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may hold what nobody should read in a log.
        f.debug_struct("Handle").field("function", &self.parts.site.function()).finish_non_exhaustive()
    }
}
