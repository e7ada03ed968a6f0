//! An entry without its types.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::coder::Coder;
use crate::coder::Value;
use crate::context::Context;
use crate::core::Core;
use crate::core::Loaded;
use crate::entry::said::Said;
use crate::entry::said::Span;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Miss;
use crate::explain::Refusal;
use crate::invalidation;
use crate::invalidation::Delivery;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::SecretOf;
use crate::key::Text;
use crate::key::Unwritable;
use crate::local::Call;
use crate::local::Kept;
use crate::local::Local;
use crate::local::Origin;
use crate::metrics::Happened;
use crate::outcome::Cacheable;
use crate::outcome::Outcome;
use crate::outcome::Split;
use crate::policy;
use crate::policy::TimeToLive;
use crate::read;
use crate::read::Landing;
use crate::read::Request;
use crate::site::Instance;
use crate::site::Site;
use crate::site::Templates;
use crate::store::Targets;
use crate::token::Register;
use crate::watch;
use crate::watch::Watch;

/// An entry without its types.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) cache: Cache,
    pub(super) site: &'static Site,
    pub(super) said: Said,
}

/// What a request has to know of the types.
pub(super) struct Typed {
    may_be_empty: bool,
    rejects: bool,
    codec: Coder,
    failures: Option<Coder>,
    ttl: Option<Duration>,
}

impl Typed {
    /// Of a function of the kind `K`, whose values are kept for `ttl`, if that is known before there is one.
    pub(super) fn of<K: Outcome>(ttl: Option<Duration>) -> Self
    where
        K::Value: Cacheable,
    {
        let (codec, failures) = (Coder::of::<K::Value>(), K::failures());
        Self { may_be_empty: K::empty().is_some(), rejects: K::REJECTS, codec, failures, ttl }
    }
}

impl Parts {
    #[track_caller]
    pub(super) fn render_key(&mut self, parts: &[&dyn KeyPart]) {
        let secret = SecretOf::Known(&self.cache.core().settings.secret);
        let said = &mut *self.said;
        let start = said.text.len();
        match self.site.key_template() {
            Some(template) => {
                let takes = template.placeholders();
                assert!(
                    takes == parts.len(),
                    "the key `{}` takes {takes} parts, not {}",
                    template.as_str(),
                    parts.len()
                );
                template.render(parts, &mut KeyWriter::new(&mut said.text, secret));
            }
            None => {
                self.site.write_name(said.options.rare().of, &mut said.text);
                let out = &mut KeyWriter::new(&mut said.text, secret);
                for part in parts {
                    out.verbatim(b":");
                    part.write(out);
                }
            }
        }
        said.options.key = Some(Span { start, end: said.text.len() });
    }

    #[inline]
    pub(super) fn render_tags(&mut self, parts: &[&dyn KeyPart]) {
        let secret = SecretOf::Known(&self.cache.core().settings.secret);
        let said = &mut *self.said;
        let start = said.text.len();
        self.site.tag_templates().render(parts, &mut KeyWriter::new(&mut said.text, secret));
        said.options.tags = Some(Span { start, end: said.text.len() });
    }

    /// What a stored entry says, in this process and of this very call's site and tags: all that a hit usually needs.
    #[inline]
    pub(super) fn local_hit<K: Outcome>(&self) -> Option<K::Whole>
    where
        K::Value: Cacheable,
    {
        let kept = self.kept()?;
        let whole = match kept.value::<K::Value>() {
            Some(value) => K::whole(value.clone()),
            None => kept.any().map_or_else(K::empty, K::failed)?,
        };
        watch::hit(self.cache.core(), self.site);
        Some(whole)
    }

    /// The entry that answers a call without further ado. It knows no type, so the look-up is not compiled with each of them.
    fn kept(&self) -> Option<Arc<Kept>> {
        let core = self.cache.core();
        let local = core.local.as_ref()?;
        if !Context::is_bare() || core.journal.is_busy() {
            return None;
        }
        let key = match self.said.options.key {
            Some(span) => self.slice(span),
            None => self.site.key_template()?.literal()?.as_bytes(),
        };
        let tags = self.said.options.tags.map(|span| self.slice(span));
        if tags.is_none() && self.site.tag_templates().are_dynamic() {
            return None;
        }
        let kept = local.hit(key, &Call { site: self.site, instance: self.instance(), tags })?;
        let usual = !self.said.options.has_rare() || self.is_usual_hit(local, &kept);
        usual.then_some(kept)
    }

    /// Whether nothing comes of a hit but its value. What dies of not being read is kept for longer.
    #[cold]
    fn is_usual_hit(&self, local: &Local, kept: &Kept) -> bool {
        let stale = &self.said.options.rare().stale;
        if stale.early.is_some() && local.is_ending(kept) {
            return false;
        }
        if stale.idle.is_some() {
            local.was_used(kept, stale);
        }
        true
    }

    pub(super) fn slice(&self, span: Span) -> &[u8] {
        &self.said.text[span.start..span.end]
    }

    pub(super) fn tag_text(&self) -> &[u8] {
        self.said.options.tags.map_or(&[], |span| self.slice(span))
    }

    /// The key, also where nobody gave it parts because it takes none.
    #[track_caller]
    pub(super) fn full_key(&self) -> Text {
        if let Some(span) = self.said.options.key {
            return Text::from(self.slice(span));
        }
        let mut key = Text::new();
        match self.site.key_template() {
            Some(template) => {
                assert!(template.placeholders() == 0, "the key `{}` was not given its parts", template.as_str());
                template.render(&[], &mut KeyWriter::new(&mut key, SecretOf::Known(&None)));
            }
            None => self.site.write_name(self.said.options.rare().of, &mut key),
        }
        key
    }

    #[track_caller]
    pub(super) fn tag_registers(&self) -> Arc<[Register]> {
        let names = rendered_names(self.site.tag_templates(), self.said.options.tags.map(|span| self.slice(span)));
        // Nothing is allocated for none.
        if names.is_empty() { Arc::default() } else { names.into_iter().map(Register::Tag).collect() }
    }

    #[track_caller]
    pub(super) fn request(&self, typed: Typed) -> Request {
        let rare = self.said.options.rare();
        Request {
            site: self.site,
            key: Name::new(&self.full_key()),
            tags: self.tag_registers(),
            version: self.site.value_version(),
            may_be_empty: typed.may_be_empty,
            codec: self.codec(typed.codec),
            failures: typed.failures.map(|failures| self.codec(failures)),
            token_life: policy::token_life(typed.ttl.map(|ttl| ttl.saturating_add(rare.stale.window()))),
            stale: rare.stale,
            max_loads: rare.max_loads,
            rejects: typed.rejects,
        }
    }

    /// A key of its own tells the function by its name, which another process may use for another: the place in the source goes into the schema. So does what instance
    /// of generic code it is, which a key need not tell.
    fn codec(&self, codec: Coder) -> Coder {
        let place = if self.site.key_template().is_some() { 0 } else { self.site.fingerprint() };
        Coder { schema: codec.schema ^ place ^ self.instance().fingerprint(), ..codec }
    }

    #[inline]
    fn instance(&self) -> Instance {
        Instance(self.said.options.here)
    }

    pub(super) fn context(&self) -> Context {
        let mut context = Context::current();
        // What is loaded there may be an old snapshot, or never be committed.
        if self.said.options.rare().in_transaction || context.is_in_transaction() {
            context.no_fill = Some(Bypass::InTransaction);
        }
        context
    }

    /// What becomes of what the function returned.
    pub(super) fn landing<K: Outcome>(&self, whole: &K::Whole, ttl: &impl TimeToLive<K::Value>) -> Landing
    where
        K::Value: Cacheable,
    {
        match (K::split(whole), self.said.options.rare().negative_ttl) {
            (Split::Value(value), _) => self.stored(Some(Arc::new(value.clone())), ttl.of(value)),
            (Split::Empty, Some(ttl)) => self.stored(None, ttl),
            (Split::Empty, None) => Landing::Empty,
            (Split::Failed, Some(for_failures)) if !self.has_failed::<K>(whole, ttl) => {
                match self.stored(K::failure(whole), for_failures) {
                    Landing::Stored { value, ttl, origin, .. } => Landing::Stored { value, ttl, origin, failed: true },
                    other => other,
                }
            }
            (Split::Failed, _) => Landing::Failed,
        }
    }

    /// Whether what the function returned is an error, and none that is an answer.
    pub(super) fn has_failed<K: Outcome>(&self, whole: &K::Whole, ttl: &impl TimeToLive<K::Value>) -> bool {
        matches!(K::split(whole), Split::Failed) && !K::error(whole).is_some_and(|error| ttl.keeps(error))
    }

    pub(super) fn stored(&self, value: Option<Value>, ttl: Duration) -> Landing {
        let core: &Core = self.cache.core();
        let ttl =
            policy::jittered(ttl, self.said.options.rare().jitter.unwrap_or(core.settings.jitter), core.host.random());
        let origin = Origin { site: self.site, instance: self.instance(), tags: self.tag_text().into() };
        Landing::Stored { value, ttl, origin, failed: false }
    }

    /// Says that the load around this call cannot depend on what it finds.
    pub(super) fn spoil(&self) {
        if let Some(frame) = Context::current().frame {
            frame.spoil(Refusal::Undependable);
        }
    }

    /// Why nothing may be looked for and stored here at all, if that is so.
    pub(super) fn no_part(&self) -> Option<Bypass> {
        let unused = self.said.options.rare().unused.then_some(Bypass::Unused);
        let clash = || (!self.owns_its_name()).then_some(Bypass::NameClash);
        let unnamed = || self.is_unwritable(&self.said.text).then_some(Bypass::Unnamed);
        unused.or_else(clash).or_else(unnamed)
    }

    /// Whether a part in `text` could not be written, which is then reported.
    fn is_unwritable(&self, text: &[u8]) -> bool {
        let unwritable = Unwritable::find(text);
        if let Some(why) = unwritable {
            self.cache.core().metrics.of(self.site).count(Happened::Unnamed);
            self.site.report(why);
        }
        unwritable.is_some()
    }

    fn owns_its_name(&self) -> bool {
        self.site.key_template().is_some() || self.site.owns_its_name(self.said.options.rare().of)
    }
}

/// What can be done with an entry, whatever its type.
impl Parts {
    pub(super) async fn look(&self, request: Request) -> Option<(Loaded, Duration)> {
        let context = self.context();
        if let Some(why) = self.no_part() {
            self.spoil();
            let watch = Watch::call(self.cache.core(), self.site, &context);
            watch.missed(match why {
                Bypass::Unused => Miss::Unused,
                Bypass::Unnamed => Miss::Unnamed,
                _ => Miss::NameClash,
            });
            watch.end(Ending::Missed);
            return None;
        }
        read::stored(self.cache.core(), &request, &context).await
    }

    pub(super) async fn put(&self, request: Request, landing: Landing) -> bool {
        read::put(self.cache.core(), &request, &self.storing_context(), landing).await
    }

    pub(super) async fn refresh<F: Future>(
        &self,
        request: Request,
        load: F,
        landed: impl FnOnce(&F::Output) -> Landing,
    ) -> F::Output {
        read::refresh(self.cache.core(), &request, &self.storing_context(), load, landed).await
    }

    fn storing_context(&self) -> Context {
        let context = self.context();
        Context { no_fill: self.no_part().or(context.no_fill), ..context }
    }

    pub(super) async fn invalidate(&self) -> Delivery {
        let Some(name) = self.name() else { return Delivery::Deferred };
        let targets = Targets { keys: vec![name], tags: Vec::new() };
        invalidation::invalidate(self.cache.core(), self.site, targets).await
    }

    /// The name of the entry, if its key could be written.
    pub(super) fn name(&self) -> Option<Name> {
        let key = self.full_key();
        (!self.is_unwritable(&key)).then(|| Name::new(&key))
    }
}

/// The names of `templates`, in order and each once: as they were rendered with their parts, or without any where they take none.
#[track_caller]
fn rendered_names(templates: &Templates, rendered: Option<&[u8]>) -> Vec<Name> {
    assert!(rendered.is_some() || !templates.are_dynamic(), "the keys or tags were not given their parts");
    let mut fixed = Text::new();
    let text = rendered.unwrap_or_else(|| {
        templates.render(&[], &mut KeyWriter::new(&mut fixed, SecretOf::Known(&None)));
        &fixed
    });
    // There is a NUL after each of them.
    let Some(text) = text.strip_suffix(&[0]) else { return Vec::new() };
    let mut names: Vec<_> = text.split(|byte| *byte == 0).map(Name::new).collect();
    names.sort_unstable();
    names.dedup();
    names
}
