//! What a site says of its function beside names and templates.

use std::time::Duration;

use crate::invalidation::Mode;
use crate::site::Site;

/// What an annotated function does to entries.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Role, Site};
///
/// static USER: Site = Site::cached("shop::users", "user").key("user:{id}");
/// assert_eq!(USER.role(), Role::Reader);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Its results are cached.
    Reader,
    /// It makes entries stale.
    Mutator,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    role: Role,
    value: Option<&'static str>,
    ttl: Option<Duration>,
    ttl_by: Option<&'static str>,
    mode: Mode,
    allow_stale: bool,
    handle: Option<&'static str>,
    entries: &'static [&'static str],
}

impl Facts {
    pub(super) const fn new(role: Role) -> Self {
        Self {
            role,
            value: None,
            ttl: None,
            ttl_by: None,
            mode: Mode::Guarded,
            allow_stale: false,
            handle: None,
            entries: &[],
        }
    }
}

impl Site {
    /// The type of what is stored, as it is written in the source. For the [catalog](crate::catalog()) alone.
    #[must_use]
    pub const fn value(mut self, written: &'static str) -> Self {
        self.facts.value = Some(written);
        self
    }

    /// How long values are kept, give or take the jitter, where the entry says nothing else.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.facts.ttl = Some(ttl);
        self
    }

    /// What the entry computes the time-to-live by, as it is written in the source. For the [catalog](crate::catalog()) alone.
    #[must_use]
    pub const fn ttl_by(mut self, written: &'static str) -> Self {
        self.facts.ttl_by = Some(written);
        self
    }

    /// How what the function invalidates is guarded meanwhile. Defaults to [`Mode::Guarded`].
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.facts.mode = mode;
        self
    }

    /// Says that no mutator is expected to invalidate what the function stores: it lasts for its time, or goes by hand, by another program, or with the
    /// entries that it is made of. The [audit](crate::Catalog::audit) then says nothing of it.
    #[must_use]
    pub const fn allow_stale(mut self) -> Self {
        self.facts.allow_stale = true;
        self
    }

    /// The name of the function that gives the handle of an entry. For the [catalog](crate::catalog()) alone.
    #[must_use]
    pub const fn handle(mut self, name: &'static str) -> Self {
        self.facts.handle = Some(name);
        self
    }

    /// The names of the functions whose handles a mutator invalidates, `_` for one that is not known. For the [catalog](crate::catalog()) alone.
    #[must_use]
    pub const fn entries(mut self, names: &'static [&'static str]) -> Self {
        self.facts.entries = names;
        self
    }

    /// Whether `reader` may be among the entries that this names by handles.
    pub(crate) fn names_entries_of(&self, reader: &Self) -> bool {
        let named = |handle| self.facts.entries.iter().any(|name| *name == handle || *name == "_");
        reader.facts.handle.is_some_and(named)
    }

    /// Whether it reads or changes.
    pub const fn role(&self) -> Role {
        self.facts.role
    }

    /// The type of what is stored, as far as the site says it.
    pub const fn value_type(&self) -> Option<&'static str> {
        self.facts.value
    }

    /// How long values are kept, if that is the same for all of them.
    pub const fn time_to_live(&self) -> Option<Duration> {
        self.facts.ttl
    }

    /// What the time-to-live is computed by, if the site says it.
    pub const fn time_to_live_by(&self) -> Option<&'static str> {
        self.facts.ttl_by
    }

    /// How a mutation is guarded.
    pub const fn mutation_mode(&self) -> Mode {
        self.facts.mode
    }

    /// Whether no mutator is expected to invalidate it.
    pub const fn allows_stale(&self) -> bool {
        self.facts.allow_stale
    }

    /// The template of the key that a reader was given.
    pub fn key_text(&self) -> Option<&'static str> {
        self.key_texts().next()
    }

    /// The templates of its keys, as they are written.
    pub fn key_texts(&self) -> impl Iterator<Item = &'static str> {
        self.key_templates().iter().map(|template| template.as_str())
    }

    /// The templates of its tags, as they are written.
    pub fn tag_texts(&self) -> impl Iterator<Item = &'static str> {
        self.tag_templates().iter().map(|template| template.as_str())
    }
}
