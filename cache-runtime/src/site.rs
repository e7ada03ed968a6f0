//! One `static` for every annotated function.

mod facts;
mod instance;

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use once_cell::sync::Lazy;

use crate::catalog::Link;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::SecretOf;
use crate::key::Template;
use crate::key::Text;
use crate::key::TypeKey;
use crate::key::Unwritable;
use crate::site::facts::Facts;
pub use crate::site::facts::Role;
pub(crate) use crate::site::instance::Instance;

/// What is known of an annotated function when the program is compiled: its name, its templates, its place in the source.
///
/// It is a `static`, built by `const` setters. A malformed template fails the build.
///
/// # Examples
///
/// ```
/// use cache_runtime::Site;
///
/// static USER: Site = Site::cached("shop::users", "user").key("user:{id}").tags(&["users", "tenant:{tenant}"]);
/// static RENAME: Site = Site::invalidates("shop::users", "rename").keys(&["user:{id}"]).tags(&["users"]);
/// # let _ = (&USER, &RENAME);
/// ```
#[derive(Debug)]
pub struct Site {
    module: &'static str,
    function: &'static str,
    /// What stands for both where names are told apart.
    name: Option<&'static str>,
    version: u32,
    keys: Templates,
    tags: Templates,
    place: &'static Location<'static>,
    facts: Facts,
    pub(crate) link: Link,
    /// The place of this site's counters in every cache, plus one; zero until it is first used.
    pub(crate) index: AtomicUsize,
    /// Where the name of `Self` lies for which this site last claimed its name, plus one.
    claimed: AtomicUsize,
    /// Whether another site has the same name.
    clashes: AtomicBool,
    /// Whether it was said that a part could not be written.
    unwritable: AtomicBool,
}

/// Up to [`Templates::MOST`] checked templates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Templates {
    list: [Option<Template>; Self::MOST],
    dynamic: bool,
}

impl Templates {
    /// The most keys, and the most tags, that one attribute takes.
    pub(crate) const MOST: usize = 16;

    const NONE: Self = Self { list: [None; Self::MOST], dynamic: false };

    pub(crate) const fn new(texts: &[&'static str]) -> Self {
        assert!(
            texts.len() <= Self::MOST,
            "more than 16 keys or tags in one attribute; repeat the attribute, or use broader tags"
        );
        let mut templates = Self::NONE;
        let mut at = 0;
        while at < texts.len() {
            let template = Template::new(texts[at]);
            templates.dynamic = templates.dynamic || template.placeholders() > 0;
            templates.list[at] = Some(template);
            at += 1;
        }
        templates
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Template> {
        self.list.iter().map_while(Option::as_ref)
    }

    /// Whether one of them has a placeholder.
    pub(crate) fn are_dynamic(&self) -> bool {
        self.dynamic
    }

    /// Writes them to `out`, a NUL after each, with `parts` dealt to their placeholders in order.
    pub(crate) fn render(&self, mut parts: &[&dyn KeyPart], out: &mut KeyWriter<'_>) {
        for template in self.iter() {
            let (mine, rest) = parts.split_at(template.placeholders().min(parts.len()));
            template.render(mine, out);
            out.verbatim(&[0]);
            parts = rest;
        }
    }

    /// How many parts all of them take together.
    pub(crate) fn placeholders(&self) -> usize {
        self.iter().map(Template::placeholders).sum()
    }
}

impl Site {
    /// A function whose results are cached. Its name is `module` and `function` together.
    #[track_caller]
    #[must_use]
    pub const fn cached(module: &'static str, function: &'static str) -> Self {
        Self::new(module, function, Role::Reader)
    }

    /// A function that makes entries stale.
    #[track_caller]
    #[must_use]
    pub const fn invalidates(module: &'static str, function: &'static str) -> Self {
        Self::new(module, function, Role::Mutator)
    }

    /// The template of the key, such as `user:{id}`. Without one, the key is the function's name and its parts.
    #[must_use]
    pub const fn key(self, template: &'static str) -> Self {
        self.keys(&[template])
    }

    /// The templates of the keys that a mutator invalidates. A placeholder `{result}`, or `{result.id}` for a field, is filled from what the mutator returns.
    #[must_use]
    pub const fn keys(mut self, templates: &[&'static str]) -> Self {
        self.keys = Templates::new(templates);
        self
    }

    /// The templates of the tags.
    #[must_use]
    pub const fn tags(mut self, templates: &[&'static str]) -> Self {
        self.tags = Templates::new(templates);
        self
    }

    /// The name of the function in statistics, and in the key where the site has none, in place of its module and its own name. Up to 100 letters, digits, `-`, `.`, `_` and `/`.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        assert!(is_name(name), "a name is made of 1 to 100 letters, digits, `-`, `.`, `_` and `/`");
        self.name = Some(name);
        self
    }

    /// The version of the stored type, in the sense of its author: an entry that was stored under another version is a miss. Defaults to 0.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// The name in statistics: the one that was given, or module and function, as in `shop::users::user`.
    pub fn name(&self) -> String {
        self.name.map_or_else(|| format!("{}::{}", self.module, self.function), str::to_owned)
    }

    /// What the function is called beside its module: the name that was given, or its own.
    pub(crate) fn label(&self) -> &'static str {
        self.name.unwrap_or(self.function)
    }

    /// The module of the function.
    pub const fn module(&self) -> &'static str {
        self.module
    }

    /// The name of the function.
    pub const fn function(&self) -> &'static str {
        self.function
    }

    /// The file of the function.
    pub const fn file(&self) -> &'static str {
        self.place.file()
    }

    /// The line of the function in its file.
    pub const fn line(&self) -> u32 {
        self.place.line()
    }

    pub(crate) const fn column(&self) -> u32 {
        self.place.column()
    }

    pub(crate) fn value_version(&self) -> u32 {
        self.version
    }

    pub(crate) fn key_template(&self) -> Option<&Template> {
        self.keys.iter().next()
    }

    pub(crate) fn key_templates(&self) -> &Templates {
        &self.keys
    }

    pub(crate) fn tag_templates(&self) -> &Templates {
        &self.tags
    }

    /// Writes the name under which the entries of a function without a key stand: its module, its own name, and that of `Self`; or the name that it was given
    /// and that of `Self`, because one name may stand on a method of a generic type.
    pub(crate) fn write_name(&self, of: Option<&'static str>, out: &mut Text) {
        if let Some(name) = self.name {
            out.extend_from_slice(name.as_bytes());
            if let Some(of) = of {
                out.extend_from_slice(b"::");
                KeyPart::write(&TypeKey::of(of), &mut KeyWriter::new(out, SecretOf::Known(&None)));
            }
            return;
        }
        out.extend_from_slice(self.module.as_bytes());
        out.extend_from_slice(b"::");
        if let Some(of) = of {
            KeyPart::write(&TypeKey::of(of), &mut KeyWriter::new(out, SecretOf::Known(&None)));
            out.extend_from_slice(b"::");
        }
        out.extend_from_slice(self.function.as_bytes());
    }

    /// A hash of the function's place in the source.
    ///
    /// The catalog knows which functions of this program share a name. It does not know those of another program, or of the next deploy, on the same store, so what
    /// keeps their values apart is the place.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(self.file().as_bytes());
        hash.update(&self.line().to_le_bytes());
        hash.update(&self.column().to_le_bytes());
        hash.digest()
    }

    /// Whether no other site has the name that this one has, for that `Self`.
    ///
    /// Functions of one name inside of different functions cannot be told apart, and must not share entries.
    #[inline]
    pub(crate) fn owns_its_name(&'static self, of: Option<&'static str>) -> bool {
        let place = of.map_or(1, |of| of.as_ptr() as usize + 1);
        if self.claimed.load(Ordering::Acquire) != place {
            self.claim(of, place);
        }
        !self.clashes.load(Ordering::Acquire)
    }

    #[cold]
    fn claim(&'static self, of: Option<&'static str>, place: usize) {
        static NAMES: Lazy<Mutex<HashMap<Text, &'static Site>>> = Lazy::new(Mutex::default);
        let mut name = Text::new();
        self.write_name(of, &mut name);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = *names.entry(name).or_insert(self);
        if !std::ptr::eq(owner, self) {
            owner.clashes.store(true, Ordering::Release);
            if !self.clashes.swap(true, Ordering::Release) {
                let (file, line, other_file, other_line) = (self.file(), self.line(), owner.file(), owner.line());
                tracing::error!(
                    function = self.function,
                    file,
                    line,
                    other_file,
                    other_line,
                    "two cached functions come out under one name, so neither is stored; give one of them a `name` or a `key`"
                );
            }
        }
        self.claimed.store(place, Ordering::Release);
    }

    /// Says, once, that a part could not be written.
    #[cold]
    pub(crate) fn report(&self, why: Unwritable) {
        if !self.unwritable.swap(true, Ordering::Relaxed) {
            let (function, file, line) = (self.function, self.file(), self.line());
            tracing::error!(function, file, line, "{}; such calls pass by the cache", why.message());
        }
    }

    #[track_caller]
    const fn new(module: &'static str, function: &'static str, role: Role) -> Self {
        Self {
            module,
            function,
            name: None,
            version: 0,
            keys: Templates::NONE,
            tags: Templates::NONE,
            place: Location::caller(),
            facts: Facts::new(role),
            link: Link::new(),
            index: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            clashes: AtomicBool::new(false),
            unwritable: AtomicBool::new(false),
        }
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() && !matches!(bytes[at], b'-' | b'.' | b'_' | b'/') {
            return false;
        }
        at += 1;
    }
    0 < at && at <= 100
}
