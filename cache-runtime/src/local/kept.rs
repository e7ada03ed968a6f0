//! An entry as it is kept.
//!
//! Most of what a hit takes is fetching it from memory. So an entry is one block with its value, small, and what a hit looks at lies together in it, beside the value.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Moment;
use crate::clock::millis;
use crate::envelope::Header;
use crate::key::Name;
use crate::local::arriving::Arriving;
use crate::local::cell::Cell;
use crate::site::Instance;
use crate::site::Site;
use crate::store::Held;
use crate::sync::AtomicU64;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;

/// See the module.
pub(crate) struct Kept<V: ?Sized = dyn Any + Send + Sync> {
    about: About,
    /// Nothing can be put behind it, because its size is not known here.
    value: V,
}

/// In the place of a value, the news that there is none.
#[derive(Clone)]
pub(super) struct Nothing;

/// All of an entry but its value. The fields lie in the order in which they are written, which ends with what a hit looks at.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct About {
    fill: LeaseId,
    schema: u64,
    created: u64,
    /// In milliseconds.
    ttl: u64,
    /// In milliseconds.
    load: u32,
    version: u32,
    depending: Option<Box<Depending>>,
    expires: Moment,
    /// Until when it is kept, which may be longer, and may be put off.
    ends: AtomicU64,
    /// Which function filled it, if that is known.
    site: Option<&'static Site>,
    instance: Instance,
    tokens: Tokens,
}

/// What a call has in common with the one that filled the entry that it is served.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) site: &'static Site,
    pub(crate) instance: Instance,
    /// Its tags, as [`Templates::render`](crate::site::Templates::render) writes them, unless they are the same at every call of the site.
    pub(crate) tags: Option<&'a [u8]>,
}

/// Until when an entry may be served, and until when it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) expires: Moment,
    pub(super) ends: Moment,
}

/// What most entries have only if they depend on something.
#[derive(Debug)]
struct Depending {
    /// The tags of the call that filled it, as [`Templates::render`](crate::site::Templates::render) writes them.
    tags: Box<[u8]>,
    dependencies: Box<[Dependency]>,
    even_invalidated: bool,
    /// How long the value is when it is encoded, if that is known.
    encoded: u64,
}

/// Of each dependency of an entry, the token it was filled under and the cell that token lives in.
pub(super) type Tokens = Box<[(u64, Arc<Cell>)]>;

/// Puts a value of one type into an entry; `None` if it is of another.
pub(crate) type Keep = fn(&(dyn Any + Send + Sync), About) -> Option<Arc<Kept>>;

/// The [`Keep`] of `V`.
pub(crate) fn keep<V: Any + Clone + Send + Sync>(value: &(dyn Any + Send + Sync), about: About) -> Option<Arc<Kept>> {
    let value = value.downcast_ref::<V>()?.clone();
    Some(Arc::new(Kept { about, value }))
}

impl About {
    pub(super) fn new(arriving: &Arriving, fill: LeaseId, times: Times, tokens: Tokens) -> Self {
        let header = &arriving.header;
        let origin = arriving.origin.as_ref();
        Self {
            fill,
            schema: header.schema,
            created: header.created,
            ttl: millis(header.ttl),
            load: u32::try_from(header.load.as_millis()).unwrap_or(u32::MAX),
            version: header.version,
            depending: Depending::new(arriving).map(Box::new),
            expires: times.expires,
            ends: AtomicU64::new(times.ends.0),
            site: origin.map(|origin| origin.site),
            instance: origin.map_or(Instance::NONE, |origin| origin.instance),
            tokens,
        }
    }

    /// Whether nothing was invalidated that the entry depends on.
    #[inline]
    fn stands(&self, now: Moment) -> bool {
        self.tokens.iter().all(|(token, cell)| cell.holds(*token, now))
    }

    /// Whether it is kept no longer.
    #[inline]
    fn has_ended(&self, now: Moment) -> bool {
        self.ends.load(Ordering::Relaxed) <= now.0
    }

    fn tags(&self) -> &[u8] {
        self.depending.as_deref().map_or(&[], |depending| &depending.tags)
    }

    fn dependencies(&self) -> &[Dependency] {
        self.depending.as_deref().map_or(&[], |depending| &depending.dependencies)
    }
}

impl Depending {
    fn new(Arriving { header, origin, encoded, .. }: &Arriving) -> Option<Self> {
        let tags = origin.as_ref().map_or_else(Box::default, |origin| origin.tags.clone());
        let dependencies = header.dependencies.as_slice().into();
        let depending =
            Self { tags, dependencies, even_invalidated: header.even_invalidated, encoded: encoded.unwrap_or(0) };
        let is_other = !header.dependencies.is_empty() || !depending.tags.is_empty() || depending.encoded > 0;
        is_other.then_some(depending)
    }
}

impl Kept {
    /// The value, if there is one and it is of this type.
    #[inline]
    pub(crate) fn value<V: Any>(&self) -> Option<&V> {
        self.value.downcast_ref()
    }

    /// The value, whatever its type, or `None` for the news that there is none.
    pub(crate) fn any(&self) -> Option<&(dyn Any + Send + Sync)> {
        (!self.value.is::<Nothing>()).then_some(&self.value)
    }

    /// Whether it may be served now to this call, whose site and tags are those of the one that filled it.
    #[inline]
    pub(super) fn is_for(&self, call: &Call<'_>, now: Moment) -> bool {
        let about = &self.about;
        now < about.expires
            && !about.has_ended(now)
            && about.stands(now)
            && about.site.is_some_and(|site| std::ptr::eq(site, call.site))
            && about.instance == call.instance
            && call.tags.is_none_or(|tags| about.tags() == tags)
    }

    /// Whether it was invalidated, and is of use for nothing any more.
    pub(super) fn is_dead(&self, now: Moment) -> bool {
        !self.is_of_use_even_invalidated() && !self.about.stands(now)
    }

    fn is_of_use_even_invalidated(&self) -> bool {
        self.about.depending.as_deref().is_some_and(|depending| depending.even_invalidated)
    }

    /// Whether it has this tag.
    pub(super) fn has_tag(&self, tag: &Name) -> bool {
        let is_it = |dependency: &Dependency| matches!(&dependency.register, Register::Tag(name) if name == tag);
        self.about.dependencies().iter().any(is_it)
    }

    /// How long the value is when it is encoded, or nothing if that is not known.
    pub(super) fn encoded(&self) -> u64 {
        self.about.depending.as_deref().map_or(0, |depending| depending.encoded)
    }

    /// Whether it is kept no longer.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.about.has_ended(now)
    }

    /// Keeps it until `ends`.
    #[inline]
    pub(super) fn keep_until(&self, ends: Moment) {
        self.about.ends.store(ends.0, Ordering::Relaxed);
    }

    /// For how long it may be served, from the start of its load.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.about.ttl)
    }

    /// Until when it may be served.
    #[inline]
    pub(crate) fn expires(&self) -> Moment {
        self.about.expires
    }

    pub(super) fn fill(&self) -> LeaseId {
        self.about.fill
    }
}

impl Held for Arc<Kept> {
    fn header(&self) -> Cow<'_, Header> {
        Cow::Owned(Header {
            schema: self.about.schema,
            version: self.about.version,
            created: self.about.created,
            ttl: self.ttl(),
            load: Duration::from_millis(self.about.load.into()),
            even_invalidated: self.is_of_use_even_invalidated(),
            dependencies: self.about.dependencies().to_vec(),
        })
    }

    fn expires(&self) -> Option<Moment> {
        Some(self.about.expires)
    }

    fn value(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.any()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("about", &self.about).finish_non_exhaustive()
    }
}
