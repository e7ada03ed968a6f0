//! An entry as it is kept.
//!
//! Most of what a hit takes is fetching it from memory. So what it looks at lies together, before the rest, and an entry is one block and small.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Moment;
use crate::codec::Value;
use crate::envelope::Header;
use crate::envelope::Origin;
use crate::envelope::Payload;
use crate::key::Name;
use crate::local::cell::Cell;
use crate::site::Instance;
use crate::site::Site;
use crate::store::Held;
use crate::sync::AtomicU64;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;

/// See the module. The fields lie in the order in which they are written.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Kept {
    expires: Moment,
    /// Until when it is kept, which may be longer, and may be put off.
    ends: AtomicU64,
    /// The value, unless what is stored is the news that there is none.
    value: Option<Value>,
    /// Which function filled it, if that is known.
    site: Option<&'static Site>,
    instance: Instance,
    tagged: Option<Box<Tagged>>,
    weight: u64,
    fill: LeaseId,
    header: Header,
}

/// Until when an entry may be served, and until when it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) expires: Moment,
    pub(super) ends: Moment,
}

/// What an entry has if it depends on anything.
#[derive(Debug)]
struct Tagged {
    /// The tags of the call that filled it, as [`Templates::render`](crate::site::Templates::render) writes them.
    text: Box<[u8]>,
    tokens: Tokens,
    /// How long the value is when it is encoded, if that is known.
    encoded: u64,
}

/// Of each dependency of an entry, the token it was filled under and the cell that token lives in.
pub(super) type Tokens = Box<[(u64, Arc<Cell>)]>;

impl Tagged {
    /// Whether nothing was invalidated that the entry depends on.
    #[inline]
    fn stands(&self, now: Moment) -> bool {
        self.tokens.iter().all(|(token, cell)| cell.holds(*token, now))
    }
}

impl Kept {
    pub(super) fn new(held: &dyn Held, fill: LeaseId, times: Times, tokens: Tokens, weight: u64) -> Self {
        let Times { expires, ends } = times;
        let value = match held.payload() {
            Payload::Value(value) => Some(value),
            Payload::Bytes(_) | Payload::Empty => None,
        };
        let (site, instance, text) = match held.origin() {
            Some(Origin { site, instance, tags }) => (Some(site), instance, tags),
            None => (None, Instance::NONE, Box::default()),
        };
        let encoded = held.weight().unwrap_or(0);
        let tagged = (!text.is_empty() || !tokens.is_empty()).then(|| Box::new(Tagged { text, tokens, encoded }));
        Self {
            expires,
            ends: AtomicU64::new(ends.0),
            value,
            site,
            instance,
            tagged,
            header: held.header().clone(),
            fill,
            weight,
        }
    }

    /// Whether it may be served now.
    #[inline]
    pub(super) fn is_valid(&self, now: Moment) -> bool {
        now < self.expires && !self.has_ended(now) && self.tagged.as_deref().is_none_or(|tagged| tagged.stands(now))
    }

    /// Whether it was invalidated, and is of use for nothing any more.
    pub(super) fn is_dead(&self, now: Moment) -> bool {
        !self.header.even_invalidated && self.tagged.as_deref().is_some_and(|tagged| !tagged.stands(now))
    }

    /// Whether it has this tag.
    pub(super) fn has_tag(&self, tag: &Name) -> bool {
        let is_it = |dependency: &Dependency| matches!(&dependency.register, Register::Tag(name) if name == tag);
        self.header.dependencies.iter().any(is_it)
    }

    /// How long the value is when it is encoded, or nothing if that is not known.
    pub(super) fn encoded(&self) -> u64 {
        self.tagged.as_deref().map_or(0, |tagged| tagged.encoded)
    }

    /// Whether this instance of the function of `site` filled it.
    #[inline]
    pub(crate) fn is_of(&self, site: &'static Site, instance: Instance) -> bool {
        self.site.is_some_and(|own| std::ptr::eq(own, site)) && self.instance == instance
    }

    /// The tags of the call that filled it.
    #[inline]
    pub(crate) fn tag_text(&self) -> &[u8] {
        self.tagged.as_deref().map_or(&[], |tagged| &tagged.text)
    }

    /// The value, or `None` for the news that there is none.
    #[inline]
    pub(crate) fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// Whether it is kept no longer.
    #[inline]
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.ends.load(Ordering::Relaxed) <= now.0
    }

    /// Keeps it until `ends`.
    #[inline]
    pub(super) fn keep_until(&self, ends: Moment) {
        self.ends.store(ends.0, Ordering::Relaxed);
    }

    /// What is known of it without its value.
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Until when it may be served.
    #[inline]
    pub(crate) fn expires(&self) -> Moment {
        self.expires
    }

    pub(super) fn fill(&self) -> LeaseId {
        self.fill
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }
}

impl Held for Kept {
    fn header(&self) -> &Header {
        &self.header
    }

    fn expires(&self) -> Option<Moment> {
        Some(self.expires)
    }

    fn payload(&self) -> Payload {
        self.value.clone().map_or(Payload::Empty, Payload::Value)
    }

    fn weight(&self) -> Option<u64> {
        Some(self.weight)
    }

    fn origin(&self) -> Option<Origin> {
        let site = self.site?;
        Some(Origin { site, instance: self.instance, tags: self.tag_text().into() })
    }
}
