//! An entry as it is kept.
//!
//! Most of what a hit takes is fetching it from memory. So what it looks at lies together, before the rest, and an entry is one block and small.

use std::sync::Arc;

use crate::clock::Moment;
use crate::codec::Value;
use crate::envelope::Header;
use crate::envelope::Origin;
use crate::envelope::Payload;
use crate::local::cell::Cell;
use crate::site::Instance;
use crate::site::Site;
use crate::store::Held;
use crate::token::LeaseId;

/// See the module. The fields lie in the order in which they are written.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Kept {
    expires: Moment,
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

/// What an entry has if it depends on anything.
#[derive(Debug)]
struct Tagged {
    /// The tags of the call that filled it, as [`Templates::render`](crate::site::Templates::render) writes them.
    text: Box<[u8]>,
    tokens: Tokens,
}

/// Of each dependency of an entry, the token it was filled under and the cell that token lives in.
pub(super) type Tokens = Box<[(u64, Arc<Cell>)]>;

impl Kept {
    pub(super) fn new(held: &dyn Held, fill: LeaseId, expires: Moment, tokens: Tokens, weight: u64) -> Self {
        let value = match held.payload() {
            Payload::Value(value) => Some(value),
            Payload::Bytes(_) | Payload::Empty => None,
        };
        let (site, instance, text) = match held.origin() {
            Some(Origin { site, instance, tags }) => (Some(site), instance, tags),
            None => (None, Instance::NONE, Box::default()),
        };
        let tagged = (!text.is_empty() || !tokens.is_empty()).then(|| Box::new(Tagged { text, tokens }));
        Self { expires, value, site, instance, tagged, header: held.header().clone(), fill, weight }
    }

    /// Whether it may be served now.
    #[inline]
    pub(super) fn is_valid(&self, now: Moment) -> bool {
        let stands = |tagged: &Tagged| tagged.tokens.iter().all(|(token, cell)| cell.holds(*token, now));
        now < self.expires && self.tagged.as_deref().is_none_or(stands)
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

    pub(super) fn has_expired(&self, now: Moment) -> bool {
        self.expires <= now
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
