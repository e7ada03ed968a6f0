//! An entry without its types.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::codec::Coder;
use crate::context::Context;
use crate::core::Core;
use crate::entry::said::Said;
use crate::entry::said::Span;
use crate::envelope::Payload;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::Text;
use crate::outcome::Cacheable;
use crate::policy;
use crate::read::Landing;
use crate::read::Request;
use crate::site::Site;
use crate::site::Templates;
use crate::token::Register;

/// An entry without its types.
pub(super) struct Parts {
    pub(super) cache: Cache,
    pub(super) site: &'static Site,
    pub(super) said: Said,
}

impl Parts {
    #[track_caller]
    pub(super) fn render_key(&mut self, parts: &[&dyn KeyPart]) {
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
                template.render(parts, &mut said.text);
            }
            None => {
                self.site.write_name(said.options.of, &mut said.text);
                for part in parts {
                    said.text.push(b':');
                    part.write(&mut KeyWriter::new(&mut said.text));
                }
            }
        }
        said.options.key = Some(Span { start, end: said.text.len() });
    }

    /// The value of a stored entry, decoded, in this process and of this very call's site and tags: all that a hit usually needs.
    #[inline]
    pub(super) fn local_hit<V: Cacheable>(&self) -> Option<V> {
        let core = self.cache.core();
        let local = core.local.as_ref()?;
        if !Context::is_bare() || core.journal.is_busy() {
            return None;
        }
        let key = match self.said.options.key {
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

    pub(super) fn slice(&self, span: Span) -> &[u8] {
        &self.said.text[span.start..span.end]
    }

    /// Comparing nothing with nothing may cost as much as all the rest: some processors take long over an empty load from nowhere.
    #[inline]
    pub(super) fn has_tag_text(&self, other: &[u8]) -> bool {
        match self.said.options.tags {
            None => other.is_empty(),
            Some(span) => self.slice(span) == other,
        }
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
                template.render(&[], &mut key);
            }
            None => self.site.write_name(self.said.options.of, &mut key),
        }
        key
    }

    #[track_caller]
    pub(super) fn tag_registers(&self) -> Arc<[Register]> {
        let names = rendered_names(self.site.tag_templates(), self.said.options.tags.map(|span| self.slice(span)));
        names.into_iter().map(Register::Tag).collect()
    }

    #[track_caller]
    pub(super) fn request<V: Cacheable>(&self, ttl: Option<Duration>) -> Request {
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
    pub(super) fn codec<V: Cacheable>(&self) -> Coder {
        let codec = Coder::of::<V>();
        match self.site.key_template() {
            Some(_) => codec,
            None => Coder { schema: codec.schema ^ self.site.fingerprint(), ..codec },
        }
    }

    pub(super) fn context(&self) -> Context {
        let mut context = Context::current();
        context.no_fill |= self.said.options.in_transaction;
        context
    }

    pub(super) fn landing<V: Cacheable>(&self, value: &V, ttl: Duration) -> Landing {
        let core: &Core = self.cache.core();
        let ttl = policy::jittered(ttl, self.said.options.jitter.unwrap_or(core.settings.jitter), core.host.random());
        Landing::Value { value: Arc::new(value.clone()), ttl, tags: self.tag_text().into() }
    }

    pub(super) fn owns_its_name(&self) -> bool {
        self.site.key_template().is_some() || self.site.owns_its_name(self.said.options.of)
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
