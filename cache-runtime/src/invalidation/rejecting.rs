//! Mutations that do not run while the cache cannot be told of them.

use std::fmt;

use crate::error::Error;
use crate::invalidation::Ending;
use crate::invalidation::ResultNames;
use crate::invalidation::ending::Verdict;
use crate::invalidation::ending::sealed;

/// What a mutator returns that may be refused: a `Result` whose error can be made of the cache's own.
///
/// A `Result` needs nothing but `From<cache_runtime::Error>` for its error.
///
/// # Examples
///
/// ```
/// use cache_runtime::Refusable;
///
/// fn is_refusable<R: Refusable>() {}
/// is_refusable::<Result<u64, Box<dyn std::error::Error + Send + Sync>>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that the mutation was rejected",
    label = "this cannot be made of a `cache_runtime::Error`",
    note = "`on_unreachable = reject` is for functions that return `Result<T, E>` with `E: From<cache_runtime::Error>`; implement that for the error, or leave `on_unreachable` out"
)]
pub trait Refusable: Sized {
    /// What is returned in the place of what the body would have.
    fn refused(error: Error) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> Refusable for Result<T, E> {
    fn refused(error: Error) -> Self {
        Err(error.into())
    }
}

/// What is asked of a mutation that does not run while the cache cannot be told. See [`Invalidation::reject_unreachable`](crate::Invalidation::reject_unreachable).
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Error, Invalidation, Rejecting, Site};
///
/// static RENAME: Site = Site::invalidates("shop", "rename").keys(&["user"]);
/// let sentence: Invalidation<Rejecting<_, Result<(), Error>>> =
///     Cache::memory().invalidation(&RENAME).reject_unreachable();
/// # let _ = sentence;
/// ```
pub struct Rejecting<E, O> {
    ending: E,
    refused: fn(Error) -> O,
}

impl<E, O: Refusable> Rejecting<E, O> {
    pub(super) fn new(ending: E) -> Self {
        Self { ending, refused: O::refused }
    }
}

impl<E: Ending<O>, O> Ending<O> for Rejecting<E, O> {
    const READS_NAMES: bool = E::READS_NAMES;

    fn end(self, output: &O, names: ResultNames) -> Verdict {
        self.ending.end(output, names)
    }

    fn refused(&self) -> Option<fn(Error) -> O> {
        Some(self.refused)
    }
}

impl<E, O> sealed::Sealed for Rejecting<E, O> {}

impl<E, O> fmt::Debug for Rejecting<E, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejecting").finish_non_exhaustive()
    }
}
