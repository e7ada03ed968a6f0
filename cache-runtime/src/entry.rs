//! One entry, from the typed side: the sentence that `#[cached]` prints.

mod get_or_load;

use std::any::Any;
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::codec::Codec;
use crate::codec::Value;
use crate::context::Context;
use crate::core::Core;
use crate::core::Loaded;
pub use crate::entry::get_or_load::GetOrLoad;
use crate::envelope::Payload;
use crate::invalidation;
use crate::invalidation::Delivery;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::Text;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::policy;
use crate::policy::TimeToLive;
use crate::policy::Unset;
use crate::read;
use crate::read::Landing;
use crate::read::Request;
use crate::site::Site;
use crate::site::Templates;
use crate::store::Targets;
use crate::token::Register;

/// One entry of a cache: a key, tags and a time-to-live, and then what to do with it.
///
/// [`Cache::entry`] begins one. What `#[cached]` prints is such a sentence, so everything that it does can be done by hand.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::{Cache, Site, returns};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// static PRICE: Site = Site::cached("shop", "price").key("price:{sku}").tags(&["prices"]);
///
/// let cache = Cache::memory();
/// let price = |sku: &str| cache.entry(&PRICE, returns::<u32>().kind()).key(&[&sku]).ttl(Duration::from_secs(60));
///
/// assert_eq!(price("tea").get_or_load(async { 350 }).await, 350);
/// assert_eq!(price("tea").get().await, Some(350));
///
/// cache.invalidate_tags(["prices"]).await;
/// assert_eq!(price("tea").get().await, None);
/// # });
/// ```
#[must_use = "an entry does nothing until it is asked, as with `get_or_load`"]
pub struct Entry<K, T = Unset> {
    parts: Parts,
    ttl: T,
    kind: PhantomData<fn() -> K>,
}

/// An entry without its types.
struct Parts {
    cache: Cache,
    site: &'static Site,
    /// The rendered key and tags, which share a buffer: an entry is moved from setter to setter.
    text: Text,
    /// Where the key is, once it was given parts.
    key: Option<Span>,
    /// Where the tags are, a NUL after each, once they were given parts.
    tags: Option<Span>,
    of: Option<&'static str>,
    jitter: Option<f64>,
    in_transaction: bool,
}

/// A part of a text.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl<K: Outcome> Entry<K, Unset> {
    #[inline]
    pub(crate) fn new(cache: Cache, site: &'static Site) -> Self {
        let parts = Parts {
            cache,
            site,
            text: Text::new(),
            key: None,
            tags: None,
            of: None,
            jitter: None,
            in_transaction: false,
        };
        Self { parts, ttl: Unset, kind: PhantomData }
    }
}

impl<K: Outcome, T> Entry<K, T> {
    /// Says which type's function this is, for a site without a key: the type's name becomes part of the key. To be called before [`key`](Self::key).
    pub fn of<S: ?Sized>(mut self) -> Self {
        self.parts.of = Some(type_name::<S>());
        self
    }

    /// Fills the placeholders of the site's key, in order. Without a key on the site, the parts follow the function's name.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders: entries would be mixed up.
    #[track_caller]
    #[inline]
    pub fn key(mut self, parts: &[&dyn KeyPart]) -> Self {
        self.parts.render_key(parts);
        self
    }

    /// Fills the placeholders of the site's tags, all of them in order.
    ///
    /// # Panics
    ///
    /// When there are not as many parts as placeholders.
    #[track_caller]
    #[inline]
    pub fn tags(mut self, parts: &[&dyn KeyPart]) -> Self {
        let templates = self.parts.site.tag_templates();
        assert!(
            templates.placeholders() == parts.len(),
            "the tags take {} parts, not {}",
            templates.placeholders(),
            parts.len()
        );
        let start = self.parts.text.len();
        templates.render(parts, &mut self.parts.text);
        self.parts.tags = Some(Span { start, end: self.parts.text.len() });
        self
    }

    /// Keeps the value for `ttl`, give or take the jitter, counted from the start of its load. At most ten years.
    #[inline]
    pub fn ttl(self, ttl: Duration) -> Entry<K, Duration> {
        Entry { parts: self.parts, ttl, kind: PhantomData }
    }

    /// Keeps the value for as long as `ttl` says when it is asked with the value. Zero means that it is not stored.
    pub fn ttl_with<F: Fn(&K::Value) -> Duration>(self, ttl: F) -> Entry<K, F> {
        Entry { parts: self.parts, ttl, kind: PhantomData }
    }

    /// Spreads the time-to-live by up to `jitter` of it in both directions, so that what was stored together does not expire together.
    ///
    /// Between 0 and 1. Defaults to what the cache was built with, which defaults to 0.1.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.parts.jitter = Some(jitter);
        self
    }

    /// Says that the load runs inside of a database transaction: what it reads may never be committed or be long out of date, so it is neither stored nor
    /// shared with other callers. An entry that is stored already is served, unless this task has just invalidated it inside of
    /// [`Cache::defer_invalidations`].
    pub fn in_transaction(mut self) -> Self {
        self.parts.in_transaction = true;
        self
    }

    /// Returns the stored value, or runs `load` and stores what it returns.
    ///
    /// Of callers that miss together, in this process or in others on the same store, one runs `load` and the rest wait for it, at most for the cache's
    /// `max_wait`. An error is its caller's own: it is not stored and not shared, and one of those who wait tries instead.
    ///
    /// What `load` reads through other entries of this cache, this entry comes to depend on: it goes when any of theirs goes.
    ///
    /// # Errors
    ///
    /// Only those of `load`. A store that is away counts as a miss, and is seen in [`Cache::stats`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up whatever it held, and one of those who wait takes over.
    #[inline]
    pub fn get_or_load<F>(self, load: F) -> GetOrLoad<K, T, F>
    where
        F: Future<Output = K::Whole>,
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        GetOrLoad::new(self.parts, self.ttl, load)
    }

    /// Returns the stored value, if it may be served.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held.
    pub async fn get(self) -> Option<K::Value>
    where
        K::Value: Cacheable,
    {
        let (loaded, _) = self.stored().await?;
        owned(loaded.value?)
    }

    /// Returns for how much longer the stored value may be served, short of being invalidated.
    pub async fn remaining_ttl(self) -> Option<Duration>
    where
        K::Value: Cacheable,
    {
        self.stored().await.map(|(_, remaining)| remaining)
    }

    /// Stores `value` in place of whatever is stored or being loaded; says whether it was stored.
    ///
    /// It counts as loaded at the moment it is stored. A value that was read from the source earlier than that may be out of date by then, and would stay: where
    /// that can be, invalidate instead. Inside of a transaction or of [`Cache::no_fill`] nothing is stored.
    ///
    /// # Cancel safety
    ///
    /// The value is stored or not.
    pub async fn put(self, value: K::Value) -> bool
    where
        K::Value: Cacheable,
        T: TimeToLive<K::Value>,
    {
        let request = self.parts.request::<K::Value>(self.ttl.fixed());
        let ttl = self.ttl.of(&value);
        let Landing::Value { value, ttl, tags } = self.parts.landing(&value, ttl) else { return false };
        self.parts.owns_its_name()
            && !self.parts.in_transaction
            && read::put(self.parts.cache.core(), &request, value, ttl, tags).await
    }

    /// Invalidates the entry: no read that starts after this returned `Applied` is given what was stored, or loaded from before, by anybody.
    ///
    /// # Cancel safety
    ///
    /// The entry is invalidated or not.
    pub async fn invalidate(self) -> Delivery {
        let keys = vec![Name::new(&self.parts.full_key())];
        invalidation::invalidate(self.parts.cache.core(), self.parts.site, Targets { keys, tags: Vec::new() }).await
    }

    async fn stored(&self) -> Option<(Loaded, Duration)>
    where
        K::Value: Cacheable,
    {
        if !self.parts.owns_its_name() {
            return None;
        }
        let request = self.parts.request::<K::Value>(None);
        read::stored(self.parts.cache.core(), &request, &self.parts.context()).await
    }
}

impl Parts {
    #[track_caller]
    fn render_key(&mut self, parts: &[&dyn KeyPart]) {
        let start = self.text.len();
        match self.site.key_template() {
            Some(template) => {
                let takes = template.placeholders();
                assert!(
                    takes == parts.len(),
                    "the key `{}` takes {takes} parts, not {}",
                    template.as_str(),
                    parts.len()
                );
                template.render(parts, &mut self.text);
            }
            None => {
                self.site.write_name(self.of, &mut self.text);
                for part in parts {
                    self.text.push(b':');
                    part.write(&mut KeyWriter::new(&mut self.text));
                }
            }
        }
        self.key = Some(Span { start, end: self.text.len() });
    }

    /// The value of a stored entry, decoded, in this process and of this very call's site and tags: all that a hit usually needs.
    #[inline]
    fn local_hit<V: Cacheable>(&self) -> Option<V> {
        let core = self.cache.core();
        let local = core.local.as_ref()?;
        if !Context::is_bare() || core.journal.is_busy() {
            return None;
        }
        let key = match self.key {
            Some(span) => self.slice(span),
            None => self.site.key_template()?.literal()?.as_bytes(),
        };
        let kept = local.hit(key)?;
        let origin = kept.stored.origin.as_ref()?;
        if !std::ptr::eq(origin.site, self.site) || !self.has_tag_text(&origin.tags) {
            return None;
        }
        let Payload::Value(value) = &kept.stored.payload else { return None };
        let value = value.downcast_ref::<V>()?.clone();
        core.metrics.of(self.site).hits.add();
        Some(value)
    }

    fn slice(&self, span: Span) -> &[u8] {
        &self.text[span.start..span.end]
    }

    /// Comparing nothing with nothing may cost as much as all the rest: some processors take long over an empty load from nowhere.
    #[inline]
    fn has_tag_text(&self, other: &[u8]) -> bool {
        match self.tags {
            None => other.is_empty(),
            Some(span) => self.slice(span) == other,
        }
    }

    fn tag_text(&self) -> &[u8] {
        self.tags.map_or(&[], |span| self.slice(span))
    }

    /// The key, also where nobody gave it parts because it takes none.
    #[track_caller]
    fn full_key(&self) -> Text {
        if let Some(span) = self.key {
            return Text::from(self.slice(span));
        }
        let mut key = Text::new();
        match self.site.key_template() {
            Some(template) => {
                assert!(template.placeholders() == 0, "the key `{}` was not given its parts", template.as_str());
                template.render(&[], &mut key);
            }
            None => self.site.write_name(self.of, &mut key),
        }
        key
    }

    #[track_caller]
    fn tag_registers(&self) -> Arc<[Register]> {
        let names = rendered_names(self.site.tag_templates(), self.tags.map(|span| self.slice(span)));
        names.into_iter().map(Register::Tag).collect()
    }

    #[track_caller]
    fn request<V: Cacheable>(&self, ttl: Option<Duration>) -> Request {
        Request {
            site: self.site,
            key: Name::new(&self.full_key()),
            tags: self.tag_registers(),
            version: 0,
            codec: self.codec::<V>(),
            token_life: policy::token_life(ttl),
        }
    }

    /// A key of its own tells the function by its name, which another process may use for another: the place in the source goes into the schema.
    fn codec<V: Cacheable>(&self) -> Codec {
        let codec = Codec::json::<V>();
        match self.site.key_template() {
            Some(_) => codec,
            None => Codec { schema: codec.schema ^ self.site.fingerprint(), ..codec },
        }
    }

    fn context(&self) -> Context {
        let mut context = Context::current();
        context.no_fill |= self.in_transaction;
        context
    }

    fn landing<V: Cacheable>(&self, value: &V, ttl: Duration) -> Landing {
        let core: &Core = self.cache.core();
        let ttl = policy::jittered(ttl, self.jitter.unwrap_or(core.settings.jitter), core.host.random());
        Landing::Value { value: Arc::new(value.clone()), ttl, tags: self.tag_text().into() }
    }

    fn owns_its_name(&self) -> bool {
        self.site.key_template().is_some() || self.site.owns_its_name(self.of)
    }
}

impl<K, T> fmt::Debug for Entry<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may hold what nobody should read in a log.
        f.debug_struct("Entry").field("function", &self.parts.site.function()).finish_non_exhaustive()
    }
}

/// The names of `templates`, in order and each once: as they were rendered with their parts, or without any where they take none.
#[track_caller]
pub(crate) fn rendered_names(templates: &Templates, rendered: Option<&[u8]>) -> Vec<Name> {
    assert!(rendered.is_some() || !templates.are_dynamic(), "the keys or tags were not given their parts");
    let mut fixed = Text::new();
    let text = rendered.unwrap_or_else(|| {
        templates.render(&[], &mut fixed);
        &fixed
    });
    // There is a NUL after each of them.
    let Some(text) = text.strip_suffix(&[0]) else { return Vec::new() };
    let mut names: Vec<_> = text.split(|byte| *byte == 0).map(Name::new).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn whole<K: Outcome>(loaded: Loaded) -> Option<K::Whole>
where
    K::Value: Cacheable,
{
    match loaded.value {
        Some(value) => owned(value).map(K::whole),
        None => K::empty(),
    }
}

/// The value itself: moved out if nobody else has it, cloned if somebody has.
fn owned<V: Any + Clone + Send + Sync>(value: Value) -> Option<V> {
    let value = value.downcast::<V>().ok()?;
    Some(Arc::try_unwrap(value).unwrap_or_else(|shared| V::clone(&shared)))
}
