//! What people forget: found from the templates alone, before anything runs.

use std::fmt;

use crate::catalog::Catalog;
use crate::catalog::Narrowed;
use crate::key::Shape;
use crate::key::Template;
use crate::site::Site;

/// Something in a [catalog](crate::catalog()) that somebody should look at.
///
/// Printed, it names the file and the line, and says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// There is no annotated function at all: most likely the crate that has them is not linked into this program.
    Nothing,
    /// There are annotated functions, but none in the module that was [asked](Catalog::within) for: most likely it is spelt wrong.
    NothingWithin {
        /// The module.
        module: Box<str>,
        /// How many there are elsewhere.
        elsewhere: usize,
    },
    /// A mutator invalidates a key that no reader has.
    UnreadKey {
        /// The mutator.
        mutator: &'static Site,
        /// Its template.
        template: &'static str,
    },
    /// A mutator invalidates a tag that no reader has.
    UnreadTag {
        /// The mutator.
        mutator: &'static Site,
        /// Its template.
        template: &'static str,
    },
    /// No mutator invalidates what a reader stores, and the reader does not [allow](Site::allow_stale) that.
    NeverInvalidated {
        /// The reader.
        reader: &'static Site,
    },
    /// Two readers store values of different types, as they are written, under one key: each takes the entry of the other for a miss.
    TwoTypes {
        /// One of them.
        one: &'static Site,
        /// The other.
        other: &'static Site,
    },
    /// Two readers have one name, so they are counted together.
    TwoNames {
        /// One of them.
        one: &'static Site,
        /// The other.
        other: &'static Site,
    },
}

/// What an audit of a [catalog](crate::catalog()) has found.
///
/// # Examples
///
/// One line in a test:
///
/// ```standalone_crate
/// # use cache_runtime::{cached, invalidates};
/// # #[cached(ttl = "5m", key = "user:{id}")]
/// # async fn user(id: u64) -> Option<String> { None }
/// # #[invalidates(key = "user:{user_id}")]
/// # async fn rename(user_id: u64, name: &str) {}
/// # if cfg!(not(target_family = "wasm")) {
/// cache_runtime::catalog().audit().assert_clean();
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an audit is of use only to those who look at it"]
pub struct Audit {
    functions: usize,
    findings: Vec<Finding>,
}

impl Audit {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// What was found, in the order of the functions' names.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Does nothing if nothing was found.
    ///
    /// # Panics
    ///
    /// With the report, if something was.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl Catalog {
    /// Looks for what people forget: a key or tag that is invalidated but never read, a reader that nobody invalidates, one key for values of two types, one name for two
    /// readers.
    ///
    /// Templates are compared by what they can render, whatever their placeholders are called: `user:{id}`, `user:{user_id}` and `user:7` meet.
    ///
    /// It sees annotated functions and [registered](crate::register) sites alone. What is invalidated in another way, by hand, in another program, or with the entries that a reader is made
    /// of, is [allowed](Site::allow_stale) on the reader; or a site of one's own stands in for it.
    pub fn audit(&self) -> Audit {
        let mut findings = Vec::new();
        findings.extend(self.nothing());
        for site in self.mutators() {
            findings.extend(self.unread(site));
        }
        let readers: Vec<_> = self.readers().collect();
        for (at, reader) in readers.iter().copied().enumerate() {
            if !reader.allows_stale() && !self.mutators().any(|mutator| invalidates(mutator, reader)) {
                findings.push(Finding::NeverInvalidated { reader });
            }
            for other in readers[at + 1..].iter().copied() {
                findings.extend(clash(reader, other));
            }
        }
        Audit { functions: self.iter().count(), findings }
    }

    fn nothing(&self) -> Option<Finding> {
        let nothing = match &self.narrowed {
            Some(Narrowed { module, elsewhere }) if *elsewhere > 0 => {
                Finding::NothingWithin { module: module.clone(), elsewhere: *elsewhere }
            }
            _ => Finding::Nothing,
        };
        self.iter().next().is_none().then_some(nothing)
    }

    fn unread(&self, mutator: &'static Site) -> impl Iterator<Item = Finding> {
        let keys = mutator.key_templates().iter().filter(|key| !self.readers().any(|reader| has_key(reader, key)));
        let tags = mutator.tag_templates().iter().filter(|tag| !self.readers().any(|reader| has_tag(reader, tag)));
        let keys = keys.map(move |key| Finding::UnreadKey { mutator, template: key.as_str() });
        keys.chain(tags.map(move |tag| Finding::UnreadTag { mutator, template: tag.as_str() }))
    }
}

/// Whether `mutator` can invalidate what `reader` stores.
fn invalidates(mutator: &Site, reader: &Site) -> bool {
    mutator.key_templates().iter().any(|key| has_key(reader, key))
        || mutator.tag_templates().iter().any(|tag| has_tag(reader, tag))
        || mutator.names_entries_of(reader)
}

pub(super) fn has_key(reader: &Site, key: &Template) -> bool {
    reader.key_template().is_some_and(|own| meet(own, key))
}

pub(super) fn has_tag(reader: &Site, tag: &Template) -> bool {
    reader.tag_templates().iter().any(|own| meet(own, tag))
}

fn meet(one: &Template, other: &Template) -> bool {
    Shape::of(one).meets(&Shape::of(other))
}

fn clash(one: &'static Site, other: &'static Site) -> impl Iterator<Item = Finding> {
    let one_key = match (one.key_template(), other.key_template()) {
        (Some(key), Some(other_key)) => Shape::of(key) == Shape::of(other_key),
        _ => false,
    };
    let types = one_key && differ(one.value_type(), other.value_type());
    let names = one.name() == other.name();
    let types = types.then_some(Finding::TwoTypes { one, other });
    types.into_iter().chain(names.then_some(Finding::TwoNames { one, other }))
}

fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_some_and(|(one, other)| bare(one) != bare(other))
}

/// A type without the modules it is named in: `models::User` and `User` are most likely one.
fn bare(written: &str) -> String {
    let mut bare = String::new();
    for piece in written.split_inclusive("::") {
        let kept = piece
            .strip_suffix("::")
            .map_or(piece, |path| path.trim_end_matches(|letter: char| letter.is_alphanumeric() || letter == '_'));
        bare.push_str(kept);
    }
    bare
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return write!(f, "nothing found in {} functions", self.functions);
        }
        write!(f, "found in {} functions:", self.functions)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n- {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => {
                f.write_str("no annotated function is linked into this program; name the crate that has them, as in `use shop as _;`")
            }
            Self::NothingWithin { module, elsewhere } => {
                write!(f, "none of the {elsewhere} annotated functions is within `{module}`; write a module as `module_path!()` does")
            }
            Self::UnreadKey { mutator, template } => write!(
                f,
                "{}: `{}` invalidates the key `{template}`, which no cached function has; correct it, or take it out",
                At(mutator),
                mutator.name()
            ),
            Self::UnreadTag { mutator, template } => write!(
                f,
                "{}: `{}` invalidates the tag `{template}`, which no cached function has; correct it, or take it out",
                At(mutator),
                mutator.name()
            ),
            Self::NeverInvalidated { reader } => write!(
                f,
                "{}: nothing invalidates `{}`{}; name {} in an `#[invalidates]`, or, if it is made of other entries or may be old, say `allow_stale`",
                At(reader),
                reader.name(),
                Under(reader),
                if reader.key_text().is_some() { "its key or a tag of it" } else { "a tag or the handle of it" }
            ),
            Self::TwoTypes { one, other } => write!(
                f,
                "{}: `{}` stores `{}` under `{}`, where `{}` at {} stores `{}`; give one of them another key, or one type the same name",
                At(one),
                one.name(),
                one.value_type().unwrap_or_default(),
                one.key_text().unwrap_or_default(),
                other.name(),
                At(other),
                other.value_type().unwrap_or_default()
            ),
            Self::TwoNames { one, other } => write!(
                f,
                "{}: `{}` has the name of the one at {}, so they are counted together; give one of them another name",
                At(one),
                one.name(),
                At(other)
            ),
        }
    }
}

/// Where a function stands, as editors read it.
struct At(&'static Site);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

/// The names under which a reader's entries can be invalidated.
struct Under(&'static Site);

impl fmt::Display for Under {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.key_texts().map(|key| ("key", key));
        let names = keys.chain(self.0.tag_texts().map(|tag| ("tag", tag)));
        names
            .enumerate()
            .try_for_each(|(at, (what, name))| write!(f, "{} {what} `{name}`", if at == 0 { " by" } else { " or by" }))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_in_front_of_a_type_do_not_count() {
        for (one, other, differ) in [
            (Some("User"), Some("models::User"), false),
            (Some("Vec<crate::a::User>"), Some("std::vec::Vec<User>"), false),
            (Some("User"), Some("Summary"), true),
            (Some("Vec<User>"), Some("User"), true),
            (Some("User"), None, false),
        ] {
            assert_eq!(super::differ(one, other), differ, "{one:?} and {other:?}");
        }
    }
}
