//! An entry on its way into the in-process store.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::clock::Moment;
use crate::envelope::Header;
use crate::local::kept::About;
use crate::local::kept::Keep;
use crate::local::kept::Kept;
use crate::local::kept::Nothing;
use crate::local::kept::keep;
use crate::site::Instance;
use crate::site::Site;
use crate::store::Blob;
use crate::store::Held;

/// See the module.
pub(crate) struct Arriving {
    pub(crate) header: Header,
    /// `None` for the news that there is nothing.
    pub(crate) value: Option<(Arc<dyn Any + Send + Sync>, Keep)>,
    /// The size of the value when encoded, where anybody wants to know.
    pub(crate) encoded: Option<u64>,
    /// Which call filled it: one of the same site and tags needs no look at the tags.
    pub(crate) origin: Option<Origin>,
}

/// The site of a call, its instance, and its tags as [`Templates::render`](crate::site::Templates::render) writes them.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) site: &'static Site,
    pub(crate) instance: Instance,
    pub(crate) tags: Box<[u8]>,
}

impl Arriving {
    /// A value, with what puts it into its place.
    pub(crate) fn new(header: Header, value: Option<(Arc<dyn Any + Send + Sync>, Keep)>) -> Self {
        Self { header, value, encoded: None, origin: None }
    }

    /// A value of a type that is known here.
    #[cfg(any(test, shuttle, feature = "test-util"))]
    pub(crate) fn of<V: Any + Clone + Send + Sync>(header: Header, value: V) -> Self {
        Self::new(header, Some((Arc::new(value), keep::<V>)))
    }

    /// The entry that it becomes.
    pub(super) fn kept(&self, about: About) -> Option<Arc<Kept>> {
        match &self.value {
            Some((value, keep)) => keep(&**value, about),
            None => keep::<Nothing>(&Nothing, about),
        }
    }

    /// As a store is given it.
    pub(crate) fn blob(self) -> Blob {
        Blob::Value(Arc::new(self))
    }
}

impl Held for Arriving {
    fn header(&self) -> Cow<'_, Header> {
        Cow::Borrowed(&self.header)
    }

    fn expires(&self) -> Option<Moment> {
        None
    }

    fn value(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.value.as_ref().map(|(value, _)| &**value)
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").field("header", &self.header).finish_non_exhaustive()
    }
}
