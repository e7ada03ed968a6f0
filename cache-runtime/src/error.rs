//! What can go wrong when a cache is set up. Nothing does when it is used, but where a function asks for that, and where a tag is asked for its entries.

use std::fmt;

/// Why a cache could not be built or installed, why a mutation was rejected, or why the entries of a tag cannot be said.
///
/// No call of a cached function fails with one, unless it says `overload = reject`: a store that is away means running the function. A mutator fails with one only if it says
/// `on_unreachable = reject`. [`is_overload`](Self::is_overload) and [`is_unreachable`](Self::is_unreachable) tell these apart from everything else.
///
/// # Examples
///
/// ```
/// use cache_runtime::Cache;
///
/// let error = Cache::builder().url("ftp://cache").build().unwrap_err();
/// assert!(error.to_string().contains("`ftp:`"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Kind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{0}")]
    Url(String),
    #[error("`{0}` is not a namespace; use up to 64 letters, digits, `-`, `_`, `.` and `:`")]
    Namespace(String),
    #[error("{0}")]
    Setting(&'static str),
    #[error("`{0}`: {1}")]
    Variable(&'static str, Box<Self>),
    #[error("too many loads are running")]
    Overload,
    #[error("a cache is installed already, or a cached function was called before `install`")]
    Installed,
    #[error("the mutation was not run, because the cache could not be told of it: {0}")]
    Unreachable(String),
    #[error("{0} cannot be used: {1}")]
    Unusable(String, String),
    #[error("a Memcached cannot say which entries have a tag; use the in-process store or a Redis for that")]
    Unlisting,
    #[error("the entries of a tag cannot be said: {0}")]
    Unlisted(String),
    #[cfg(any(feature = "redis", feature = "memcached"))]
    #[error("the system has no thread for the cache")]
    Thread,
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl Error {
    /// Whether it says that a mutation was rejected: its body has not run, because the cache could not be told of it. The same call may go through a moment later.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::{Cache, Error, invalidates, scope};
    ///
    /// #[invalidates(key = "user:{id}", on_unreachable = reject)]
    /// async fn lock(id: u64) -> Result<(), Error> {
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// scope(Cache::memory(), async {
    ///     match lock(7).await {
    ///         Err(error) if error.is_unreachable() => println!("nothing was changed; try again"),
    ///         other => other?,
    ///     }
    ///     Ok::<(), Error>(())
    /// })
    /// .await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    pub fn is_unreachable(&self) -> bool {
        matches!(self.0, Kind::Unreachable(_))
    }

    /// The same, said of the variable of the environment that it comes from.
    pub(crate) fn of_variable(self, name: &'static str) -> Self {
        Self(Kind::Variable(name, Box::new(self.0)))
    }

    /// Whether it is the error of a call that found no place among the loads that may run at once, and whose function says [`reject_overload`](crate::Entry::reject_overload).
    pub fn is_overload(&self) -> bool {
        matches!(self.0, Kind::Overload)
    }

    /// Whether it says that the store cannot do this at all, whatever is set: a Memcached keeps no [tag sets](crate::Cache::tag).
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::Cache;
    ///
    /// # #[cfg(feature = "memcached")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::builder().url("memcached://127.0.0.1").tag_sets(10_000).build()?;
    /// let error = cache.tag("users").count().await.unwrap_err();
    /// assert!(error.is_unsupported());
    /// # Ok::<(), cache_runtime::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn is_unsupported(&self) -> bool {
        matches!(self.0, Kind::Unlisting)
    }

    pub(crate) fn overload() -> Self {
        Self(Kind::Overload)
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}
