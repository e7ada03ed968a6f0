//! Entries that are named by their handles.

use crate::cache::Cache;
use crate::entry::Handle;
use crate::key::Name;

/// What names entries for [`Invalidation::entries`](crate::Invalidation::entries): a [`Handle`], a reference to one, or a collection of them.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Entries, Handle};
///
/// fn names_entries<E: Entries + ?Sized>() {}
/// names_entries::<Handle<u64>>();
/// names_entries::<Vec<Handle<u64>>>();
/// names_entries::<[&Handle<u64>]>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the handle of an entry",
    label = "not a handle",
    note = "call the function that `handle = …` of `#[cached]` makes, as in `entries = [user_entry(&id)]`"
)]
pub trait Entries: sealed::Sealed {
    /// Adds their caches and names.
    #[doc(hidden)]
    fn collect(&self, named: &mut NamedEntries);
}

/// Entries by cache and name.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct NamedEntries {
    pub(crate) entries: Vec<(Cache, Name)>,
    /// Whether the key of one could not be written.
    pub(crate) unnamed: bool,
}

impl<R> Entries for Handle<R> {
    fn collect(&self, named: &mut NamedEntries) {
        match self.named() {
            Some(entry) => named.entries.push(entry),
            None => named.unnamed = true,
        }
    }
}

impl<E: Entries + ?Sized> Entries for &E {
    fn collect(&self, named: &mut NamedEntries) {
        E::collect(self, named);
    }
}

macro_rules! collections {
    ($($collection:ty)*) => {$(
        impl<E: Entries> Entries for $collection {
            fn collect(&self, named: &mut NamedEntries) {
                self.iter().for_each(|entry| entry.collect(named));
            }
        }

        impl<E: Entries> sealed::Sealed for $collection {}
    )*};
}

collections!([E] Vec<E> Option<E>);

impl<E: Entries, const N: usize> Entries for [E; N] {
    fn collect(&self, named: &mut NamedEntries) {
        self.iter().for_each(|entry| entry.collect(named));
    }
}

mod sealed {
    pub trait Sealed {}
    impl<R> Sealed for super::Handle<R> {}
    impl<E: Sealed + ?Sized> Sealed for &E {}
    impl<E: Sealed, const N: usize> Sealed for [E; N] {}
}
