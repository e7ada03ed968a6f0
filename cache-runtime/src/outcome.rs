//! What a function returns, and which part of it is stored.
//!
//! `Result<T, E>` stores only `Ok`, `Option<T>` only `Some`, `Result<Option<T>, E>` both, and any other type is stored whole. The type decides, not
//! its spelling, so an alias such as `io::Result<T>` behaves as what it names: [`returns`] finds the kind by walking a chain of [`Deref`]s, where
//! the first level that has a `kind` for the type wins. Inside a generic function the type as written decides.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::coder::Coder;
use crate::coder::Failure;
use crate::coder::Value;
use crate::error::Error;

/// A value that can be stored: serializable, cloneable, and free of borrows.
///
/// It is the same for every store, so that changing the store never breaks a build. In process the value is kept as it is and a hit clones it; an
/// [`Arc`](std::sync::Arc) makes that cheap.
///
/// Implemented for every type that fits; there is nothing to implement by hand.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use cache_runtime::Cacheable;
///
/// fn is_cacheable<T: Cacheable>() {}
/// is_cacheable::<Arc<Vec<String>>>();
/// ```
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
///
/// # Examples
///
/// ```
/// use cache_runtime::{Fallible, Outcome, Split};
///
/// type Parsed = Fallible<u32, std::num::ParseIntError>;
/// assert_eq!(Parsed::split(&"7".parse()), Split::Value(&7));
/// assert_eq!(Parsed::split(&"x".parse()), Split::Failed);
/// assert_eq!(Parsed::whole(7), Ok(7));
/// ```
pub trait Outcome: sealed::Sealed {
    /// The whole return type.
    type Whole;
    /// What of it is stored.
    type Value;

    /// What came of a call.
    fn split(whole: &Self::Whole) -> Split<'_, Self::Value>;

    /// A stored value as the function returns it.
    fn whole(value: Self::Value) -> Self::Whole;

    /// How the function says that there is nothing, if it can.
    fn empty() -> Option<Self::Whole>;

    /// Whether a call fails that finds no place among the loads that may run at once.
    #[doc(hidden)]
    const REJECTS: bool = false;

    /// What a call returns that failed for that.
    #[doc(hidden)]
    fn rejected(_: Error) -> Option<Self::Whole> {
        None
    }

    /// The error, where some errors are stored.
    #[doc(hidden)]
    fn error(_: &Self::Whole) -> Option<&dyn Any> {
        None
    }

    /// The error as it is stored.
    #[doc(hidden)]
    fn failure(_: &Self::Whole) -> Option<Value> {
        None
    }

    /// A stored error as the function returns it.
    #[doc(hidden)]
    fn failed(_: &(dyn Any + Send + Sync)) -> Option<Self::Whole> {
        None
    }

    /// What can be done with stored errors.
    #[doc(hidden)]
    fn failures() -> Option<Coder> {
        None
    }
}

/// A kind of return type that can say that there is nothing: `Option<T>` and `Result<Option<T>, E>`.
///
/// # Examples
///
/// ```
/// use cache_runtime::{MayBeEmpty, Outcome, returns};
///
/// fn says_that_there_is_nothing<K: MayBeEmpty>(_: K) -> Option<K::Whole> {
///     K::empty()
/// }
/// assert_eq!(says_that_there_is_nothing(returns::<Option<u32>>().kind()), Some(None));
/// ```
#[diagnostic::on_unimplemented(
    message = "this function never returns `None`, so `negative_ttl` has nothing to keep",
    label = "the kind of what it returns is `{Self}`",
    note = "`negative_ttl` is for functions that return `Option<T>` or `Result<Option<T>, E>`; leave it out, or return one of these"
)]
pub trait MayBeEmpty: Outcome {}

/// A kind of return type that can carry an error of the cache: `Result<_, E>` with `E: From<cache_runtime::Error>`.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Error, Rejectable, returns};
///
/// fn can_be_rejected<K: Rejectable>(_: K) {}
/// can_be_rejected(returns::<Result<u32, Error>>().kind());
/// can_be_rejected(returns::<Result<u32, Box<dyn std::error::Error>>>().kind());
/// ```
#[diagnostic::on_unimplemented(
    message = "this function cannot return an error of the cache, so its calls cannot be rejected",
    label = "the kind of what it returns is `{Self}`",
    note = "let it return a `Result` whose error implements `From<cache_runtime::Error>`"
)]
pub trait Rejectable: Outcome {
    /// The error as the function returns it.
    fn reject(error: Error) -> Self::Whole;
}

impl<T, E: From<Error>> Rejectable for Fallible<T, E> {
    fn reject(error: Error) -> Self::Whole {
        Err(error.into())
    }
}

impl<T, E: From<Error>> Rejectable for FallibleOptional<T, E> {
    fn reject(error: Error) -> Self::Whole {
        Err(error.into())
    }
}

/// The same kind, of a function whose calls are rejected when too many loads are running. See [`Entry::reject_overload`](crate::Entry::reject_overload).
#[derive(Debug)]
pub struct Shedding<K>(PhantomData<fn() -> K>);

impl<K: Rejectable> Outcome for Shedding<K> {
    type Whole = K::Whole;
    type Value = K::Value;

    fn split(whole: &Self::Whole) -> Split<'_, Self::Value> {
        K::split(whole)
    }

    fn whole(value: Self::Value) -> Self::Whole {
        K::whole(value)
    }

    fn empty() -> Option<Self::Whole> {
        K::empty()
    }

    const REJECTS: bool = true;

    fn rejected(error: Error) -> Option<Self::Whole> {
        Some(K::reject(error))
    }

    fn error(whole: &Self::Whole) -> Option<&dyn Any> {
        K::error(whole)
    }

    fn failure(whole: &Self::Whole) -> Option<Value> {
        K::failure(whole)
    }

    fn failed(value: &(dyn Any + Send + Sync)) -> Option<Self::Whole> {
        K::failed(value)
    }

    fn failures() -> Option<Coder> {
        K::failures()
    }
}

/// A kind of return type that can fail: `Result<_, E>`.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Fails, returns};
///
/// fn error_of<K: Fails>(_: K, whole: &K::Whole) -> bool {
///     K::error_in(whole).is_some()
/// }
/// assert!(error_of(returns::<Result<u32, String>>().kind(), &Err("no".to_owned())));
/// ```
#[diagnostic::on_unimplemented(
    message = "this function never fails, so `negative` has nothing to keep",
    label = "the kind of what it returns is `{Self}`",
    note = "`negative` is for functions that return a `Result`; for those that return an `Option`, `negative_ttl` alone says how long `None` is kept"
)]
pub trait Fails: Outcome {
    /// Its error.
    type Error;

    /// The error that `whole` is, if it is one.
    fn error_in(whole: &Self::Whole) -> Option<&Self::Error>;

    /// The error as the function returns it.
    fn fail(error: Self::Error) -> Self::Whole;
}

impl<T, E> Fails for Fallible<T, E> {
    type Error = E;

    fn error_in(whole: &Self::Whole) -> Option<&E> {
        whole.as_ref().err()
    }

    fn fail(error: E) -> Self::Whole {
        Err(error)
    }
}

impl<T, E> Fails for FallibleOptional<T, E> {
    type Error = E;

    fn error_in(whole: &Self::Whole) -> Option<&E> {
        whole.as_ref().err()
    }

    fn fail(error: E) -> Self::Whole {
        Err(error)
    }
}

/// The same kind, of a function of which some errors are stored. See [`Entry::negative`](crate::Entry::negative).
#[derive(Debug)]
pub struct Negative<K>(PhantomData<fn() -> K>);

impl<K: Fails> Outcome for Negative<K>
where
    K::Error: Cacheable,
{
    type Whole = K::Whole;
    type Value = K::Value;

    fn split(whole: &Self::Whole) -> Split<'_, Self::Value> {
        K::split(whole)
    }

    fn whole(value: Self::Value) -> Self::Whole {
        K::whole(value)
    }

    fn empty() -> Option<Self::Whole> {
        K::empty()
    }

    fn error(whole: &Self::Whole) -> Option<&dyn Any> {
        K::error_in(whole).map(|error| error as &dyn Any)
    }

    fn failure(whole: &Self::Whole) -> Option<Value> {
        K::error_in(whole).map(|error| Arc::new(Failure(error.clone())) as Value)
    }

    fn failed(value: &(dyn Any + Send + Sync)) -> Option<Self::Whole> {
        value.downcast_ref::<Failure<K::Error>>().map(|failure| K::fail(failure.0.clone()))
    }

    fn failures() -> Option<Coder> {
        Some(Coder::of::<Failure<K::Error>>())
    }
}

impl<K: Fails + MayBeEmpty> MayBeEmpty for Negative<K> where K::Error: Cacheable {}

impl<K: Fails + Rejectable> Rejectable for Negative<K>
where
    K::Error: Cacheable,
{
    fn reject(error: Error) -> Self::Whole {
        K::reject(error)
    }
}

impl<K: MayBeEmpty + Rejectable> MayBeEmpty for Shedding<K> {}
impl<T> MayBeEmpty for Optional<T> {}
impl<T, E> MayBeEmpty for FallibleOptional<T, E> {}

/// What came of a call, as a cache sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a, V> {
    /// A value, which is stored.
    Value(&'a V),
    /// Nothing, which those who wait share, and which is stored where there is a time-to-live for it.
    Empty,
    /// An error, which is its caller's own.
    Failed,
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

    fn split(whole: &Self::Whole) -> Split<'_, T> {
        whole.as_ref().map_or(Split::Failed, Split::Value)
    }

    fn whole(value: T) -> Self::Whole {
        Ok(value)
    }

    fn empty() -> Option<Self::Whole> {
        None
    }
}

impl<T> Outcome for Optional<T> {
    type Whole = Option<T>;
    type Value = T;

    fn split(whole: &Self::Whole) -> Split<'_, T> {
        whole.as_ref().map_or(Split::Empty, Split::Value)
    }

    fn whole(value: T) -> Self::Whole {
        Some(value)
    }

    fn empty() -> Option<Self::Whole> {
        Some(None)
    }
}

impl<T, E> Outcome for FallibleOptional<T, E> {
    type Whole = Result<Option<T>, E>;
    type Value = T;

    fn split(whole: &Self::Whole) -> Split<'_, T> {
        match whole {
            Ok(Some(value)) => Split::Value(value),
            Ok(None) => Split::Empty,
            Err(_) => Split::Failed,
        }
    }

    fn whole(value: T) -> Self::Whole {
        Ok(Some(value))
    }

    fn empty() -> Option<Self::Whole> {
        Some(Ok(None))
    }
}

impl<T> Outcome for Plain<T> {
    type Whole = T;
    type Value = T;

    fn split(whole: &T) -> Split<'_, T> {
        Split::Value(whole)
    }

    fn whole(value: T) -> T {
        value
    }

    fn empty() -> Option<T> {
        None
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

/// Stands in an expansion where a function would return, and says of what type.
///
/// # Panics
///
/// When it is reached, which an expansion does not let happen.
#[cold]
#[doc(hidden)]
pub fn unreached<R>() -> R {
    unreachable!("the edge of a body only states its type")
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
    impl<K> Sealed for super::Shedding<K> {}
    impl<K> Sealed for super::Negative<K> {}
}
