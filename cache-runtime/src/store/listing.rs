//! What a store can say of the entries that have a tag.
//!
//! The list of a tag is an inventory and nothing more: no read and no invalidation rests on it. It may lack entries, where the store forgot it or was too full to write it, and it may name some that are
//! gone. So whoever asks looks at each entry that is named, and goes by what that says.

use crate::key::Name;
use crate::store::Blob;
use crate::token::LeaseId;

/// The lists that a new entry is put on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listing {
    pub(crate) tags: Vec<Name>,
    /// The most entries that a list names. What ends first goes first.
    pub(crate) most: usize,
}

/// Some of what the list of a tag names.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) listed: Vec<Listed>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<u64>,
}

/// An entry that a list names.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) key: Name,
    /// As what it is named, which is something else as soon as it is stored anew.
    pub(crate) noted: u64,
    /// `None` if there is none under that key.
    pub(crate) entry: Option<Glimpse>,
}

/// What is seen of an entry without reading all of it.
#[derive(Clone, Debug)]
pub(crate) struct Glimpse {
    /// The lease it was filled under.
    pub(crate) lease: LeaseId,
    /// All of it, or of bytes the first [`HEAD`].
    pub(crate) head: Blob,
    /// How much of it is stored, in bytes; of values as much as they are when encoded.
    pub(crate) size: u64,
}

/// Something to be taken off a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Gone {
    pub(crate) key: Name,
    pub(crate) noted: u64,
    /// The lease of the entry to be removed, if it is still that one.
    pub(crate) lease: Option<LeaseId>,
}

/// How much of the bytes of an entry is looked at: its header, unless it depends on a great many things.
pub(crate) const HEAD: usize = 1024;
