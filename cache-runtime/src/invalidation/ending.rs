//! What the value that a mutation returned has a say in: names that are read from it, and whether it changed anything.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Error;
use crate::invalidation::names::Half;
use crate::key::KeyPart;
use crate::key::Secret;
use crate::key::Unwritable;
use crate::outcome::Outcome;
use crate::outcome::Split;
use crate::store::Targets;

/// What is asked of what a mutation returns: nothing, or what [`Invalidation::returning`](crate::Invalidation::returning) begins.
///
/// There is nothing to implement by hand.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Ending, Unasked};
///
/// fn is_asked<E: Ending<u64>>(_: E) {}
/// is_asked(Unasked);
/// ```
pub trait Ending<O>: sealed::Sealed {
    /// Whether it fills what the keys and tags need of the result.
    #[doc(hidden)]
    const READS_NAMES: bool;

    /// What came of it.
    #[doc(hidden)]
    fn end(self, output: &O, names: ResultNames) -> Verdict;

    /// What is returned in the place of an output if the cache cannot be told; `None` if the body runs all the same.
    #[doc(hidden)]
    fn refused(&self) -> Option<fn(Error) -> O> {
        None
    }
}

/// Nothing is asked of what a mutation returns.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Invalidation, Unasked};
///
/// fn the_same(invalidation: Invalidation) -> Invalidation<Unasked> {
///     invalidation
/// }
/// # let _ = the_same;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Unasked;

/// What is asked of a mutation that returns what `K` says. See [`Invalidation::returning`](crate::Invalidation::returning).
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Invalidation, Returning, Site, returns};
///
/// static RENAME: Site = Site::invalidates("shop", "rename").keys(&["user:{result}"]);
/// let sentence = Cache::memory().invalidation(&RENAME).returning(returns::<u64>().kind());
/// # let _ = sentence;
/// ```
pub struct Returning<K, N = Unasked, W = Unasked> {
    pub(super) names: N,
    pub(super) when: W,
    pub(super) kind: PhantomData<fn() -> K>,
}

/// Where a mutation's result fills the placeholders that are `{result}` or a field of it.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Site, returns};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// static PLACE: Site = Site::invalidates("shop", "place").keys(&["order:{result.0}"]).tags(&["customer:{result.1}"]);
///
/// let place = Cache::memory()
///     .invalidation(&PLACE)
///     .returning(returns::<(u64, u64)>().kind())
///     .result(|placed, names| names.keys(&[&placed.0]).tags(&[&placed.1]));
/// assert_eq!(place.run(async { (1, 7) }).await, (1, 7));
/// # });
/// ```
#[must_use = "return it from the closure"]
pub struct ResultNames {
    keys: Half,
    tags: Half,
    secret: Option<Secret>,
}

impl ResultNames {
    pub(super) fn new(keys: Half, tags: Half, secret: Option<Secret>) -> Self {
        Self { keys, tags, secret }
    }

    /// Fills what the keys of the site read from the result, all of it in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as such placeholders.
    #[track_caller]
    pub fn keys(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.keys.fill(parts, &self.secret);
        self
    }

    /// Fills what the tags of the site read from the result, all of it in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as such placeholders.
    #[track_caller]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.tags.fill(parts, &self.secret);
        self
    }

    /// What was named, or `None` if something was not filled.
    fn named(&self) -> Option<Named> {
        let ((keys, of_keys), (tags, of_tags)) = (self.keys.names()?, self.tags.names()?);
        Some(Named { targets: Targets { keys, tags }, unwritable: of_keys.or(of_tags) })
    }

    /// Whether a key or a tag needs the result.
    pub(super) fn are_needed(&self) -> bool {
        !self.keys.is_empty() || !self.tags.is_empty()
    }
}

impl fmt::Debug for ResultNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultNames").finish_non_exhaustive()
    }
}

/// What a mutation is to invalidate, now that it has ended.
#[derive(Debug)]
pub enum Verdict {
    /// All that was named before it ran.
    Known,
    /// That, and these.
    Also(Named),
    /// Nothing at all.
    Nothing,
}

/// Names that were read from a result.
#[derive(Debug)]
pub struct Named {
    pub(super) targets: Targets,
    /// Why one of them could not be written.
    pub(super) unwritable: Option<Unwritable>,
}

impl<O> Ending<O> for Unasked {
    const READS_NAMES: bool = false;

    fn end(self, _: &O, _: ResultNames) -> Verdict {
        Verdict::Known
    }
}

impl<K, N, W> Ending<K::Whole> for Returning<K, N, W>
where
    K: Outcome,
    N: ReadsNames<K::Value>,
    W: Asks<K::Value>,
{
    const READS_NAMES: bool = N::READS;

    fn end(self, output: &K::Whole, names: ResultNames) -> Verdict {
        // Without a value there is nothing to ask, and what failed may have happened all the same.
        let Split::Value(value) = K::split(output) else { return Verdict::Known };
        if !self.when.ask(value) {
            return Verdict::Nothing;
        }
        if !names.are_needed() {
            return Verdict::Known;
        }
        let named = self.names.read(value, names).named();
        Verdict::Also(named.expect("the keys and tags that name the result are filled in `.result(…)`"))
    }
}

/// What reads names from a value.
pub trait ReadsNames<V> {
    #[doc(hidden)]
    const READS: bool;

    #[doc(hidden)]
    fn read(self, value: &V, names: ResultNames) -> ResultNames;
}

impl<V> ReadsNames<V> for Unasked {
    const READS: bool = false;

    fn read(self, _: &V, names: ResultNames) -> ResultNames {
        names
    }
}

impl<V, F: FnOnce(&V, ResultNames) -> ResultNames> ReadsNames<V> for F {
    const READS: bool = true;

    fn read(self, value: &V, names: ResultNames) -> ResultNames {
        self(value, names)
    }
}

/// What says of a value whether it means that anything was changed.
pub trait Asks<V> {
    #[doc(hidden)]
    fn ask(self, value: &V) -> bool;
}

impl<V> Asks<V> for Unasked {
    fn ask(self, _: &V) -> bool {
        true
    }
}

impl<V, F: FnOnce(&V) -> bool> Asks<V> for F {
    fn ask(self, value: &V) -> bool {
        self(value)
    }
}

impl<K, N, W> fmt::Debug for Returning<K, N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Returning").finish_non_exhaustive()
    }
}

pub(super) mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Unasked {}
    impl<K, N, W> Sealed for super::Returning<K, N, W> {}
}
