//! What a function returns, and which part of it is stored.
//!
//! `Result<T, E>` stores only `Ok`, `Option<T>` only `Some`, `Result<Option<T>, E>` both, and any other type is stored whole. The type decides, not
//! its spelling, so an alias such as `io::Result<T>` behaves as what it names: [`returns`] finds the kind by walking a chain of [`Deref`]s, where
//! the first level that has a `kind` for the type wins. Inside a generic function the type as written decides.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that can be stored: serializable, cloneable, and free of borrows.
///
/// It is the same for every store, so that changing the store never breaks a build. In process the value is kept as it is and a hit clones it; an
/// [`Arc`](std::sync::Arc) makes that cheap.
///
/// Implemented for every type that fits; there is nothing to implement by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    label = "this value cannot be stored",
    note = "derive `serde::Serialize`, `serde::Deserialize` and `Clone` for it, and let it own its data"
)]
pub trait Cacheable: Serialize + DeserializeOwned + Clone + Send + Sync + Any {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + Any> Cacheable for T {}

/// A kind of return type: what of it is stored, and how a stored value becomes it again.
///
/// [`returns`] finds the one for a type.
pub trait Outcome: sealed::Sealed {
    /// The whole return type.
    type Whole;
    /// What of it is stored.
    type Value;

    /// The value to store, or `None` when this outcome is not stored.
    fn value(whole: &Self::Whole) -> Option<&Self::Value>;

    /// A stored value as the function returns it.
    fn whole(value: Self::Value) -> Self::Whole;

    /// Whether the function failed, so that a waiter should not expect to fare better by trying at once.
    fn failed(whole: &Self::Whole) -> bool;
}

/// The kind of `Result<T, E>`: `Ok` is stored.
#[derive(Debug)]
pub struct Fallible<T, E>(PhantomData<fn() -> (T, E)>);

/// The kind of `Option<T>`: `Some` is stored.
#[derive(Debug)]
pub struct Optional<T>(PhantomData<fn() -> T>);

/// The kind of `Result<Option<T>, E>`: `Ok(Some(_))` is stored.
#[derive(Debug)]
pub struct FallibleOptional<T, E>(PhantomData<fn() -> (T, E)>);

/// The kind of any other type: it is stored as it is.
#[derive(Debug)]
pub struct Plain<T>(PhantomData<fn() -> T>);

impl<T, E> Outcome for Fallible<T, E> {
    type Whole = Result<T, E>;
    type Value = T;

    fn value(whole: &Self::Whole) -> Option<&T> {
        whole.as_ref().ok()
    }

    fn whole(value: T) -> Self::Whole {
        Ok(value)
    }

    fn failed(whole: &Self::Whole) -> bool {
        whole.is_err()
    }
}

impl<T> Outcome for Optional<T> {
    type Whole = Option<T>;
    type Value = T;

    fn value(whole: &Self::Whole) -> Option<&T> {
        whole.as_ref()
    }

    fn whole(value: T) -> Self::Whole {
        Some(value)
    }

    fn failed(_: &Self::Whole) -> bool {
        false
    }
}

impl<T, E> Outcome for FallibleOptional<T, E> {
    type Whole = Result<Option<T>, E>;
    type Value = T;

    fn value(whole: &Self::Whole) -> Option<&T> {
        whole.as_ref().ok()?.as_ref()
    }

    fn whole(value: T) -> Self::Whole {
        Ok(Some(value))
    }

    fn failed(whole: &Self::Whole) -> bool {
        whole.is_err()
    }
}

impl<T> Outcome for Plain<T> {
    type Whole = T;
    type Value = T;

    fn value(whole: &T) -> Option<&T> {
        Some(whole)
    }

    fn whole(value: T) -> T {
        value
    }

    fn failed(_: &T) -> bool {
        false
    }
}

/// Names a return type; its `kind()` says what of it is stored.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// use cache_runtime::{Cache, Site, returns};
///
/// # tokio_test(async {
/// static GREETING: Site = Site::cached("docs", "greeting").key("greeting:{name}");
///
/// let cache = Cache::memory();
/// let entry = cache
///     .entry(&GREETING, returns::<io::Result<String>>().kind())
///     .key(&[&"ada"])
///     .ttl(Duration::from_secs(60));
/// let greeting = entry.get_or_load(async { Ok("hello, ada".to_owned()) }).await?;
/// assert_eq!(greeting, "hello, ada");
/// # io::Result::Ok(())
/// # });
/// # fn tokio_test<T>(f: impl Future<Output = T>) -> T {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
pub const fn returns<R>() -> Returns<R> {
    Returns(ReturnsResult(ReturnsAny(PhantomData)))
}

/// What [`returns`] gives: the first level, for `Result<Option<T>, E>` and `Option<T>`.
#[derive(Debug)]
pub struct Returns<R>(ReturnsResult<R>);

/// The second level, for `Result<T, E>`.
#[derive(Debug)]
pub struct ReturnsResult<R>(ReturnsAny<R>);

/// The last level, for everything else.
#[derive(Debug)]
pub struct ReturnsAny<R>(PhantomData<fn() -> R>);

impl<R> Deref for Returns<R> {
    type Target = ReturnsResult<R>;

    fn deref(&self) -> &ReturnsResult<R> {
        &self.0
    }
}

impl<R> Deref for ReturnsResult<R> {
    type Target = ReturnsAny<R>;

    fn deref(&self) -> &ReturnsAny<R> {
        &self.0
    }
}

impl<T, E> Returns<Result<Option<T>, E>> {
    /// `Ok(Some(_))` is stored.
    pub fn kind(&self) -> FallibleOptional<T, E> {
        FallibleOptional(PhantomData)
    }
}

impl<T> Returns<Option<T>> {
    /// `Some` is stored.
    pub fn kind(&self) -> Optional<T> {
        Optional(PhantomData)
    }
}

impl<T, E> ReturnsResult<Result<T, E>> {
    /// `Ok` is stored.
    pub fn kind(&self) -> Fallible<T, E> {
        Fallible(PhantomData)
    }
}

impl<R> ReturnsAny<R> {
    /// The value is stored whole.
    pub fn kind(&self) -> Plain<R> {
        Plain(PhantomData)
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T, E> Sealed for super::Fallible<T, E> {}
    impl<T> Sealed for super::Optional<T> {}
    impl<T, E> Sealed for super::FallibleOptional<T, E> {}
    impl<T> Sealed for super::Plain<T> {}
}
