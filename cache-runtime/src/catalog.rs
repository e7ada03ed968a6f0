//! All annotated functions of a program.

mod audit;
mod draw;
mod register;

use std::fmt;

pub use crate::catalog::audit::Audit;
pub use crate::catalog::audit::Finding;
pub(crate) use crate::catalog::register::Link;
use crate::catalog::register::registered;
use crate::site::Role;
use crate::site::Site;

/// The annotated functions of the program, whether they were called or not.
///
/// They are known before `main`. Only on targets whose loader calls nothing before `main`, such as WebAssembly, a function is known once it was called. Sites by hand are
/// known from their first use, or from the start by [`register!`](crate::register).
///
/// # Examples
///
/// ```standalone_crate
/// use cache_runtime::{cached, catalog, invalidates};
///
/// #[cached(ttl = "5m", key = "user:{id}")]
/// async fn user(id: u64) -> Option<String> {
///     None
/// }
///
/// #[invalidates(key = "user:{id}")]
/// async fn rename(id: u64, name: &str) {}
///
/// # if cfg!(not(target_family = "wasm")) {
/// let catalog = catalog();
/// let names: Vec<_> = catalog.iter().map(|site| site.function()).collect();
/// assert_eq!(names, ["rename", "user"]);
/// println!("{catalog}");
/// # }
/// ```
pub fn catalog() -> Catalog {
    let mut sites: Vec<_> = registered().collect();
    sites.sort_by_key(|site| place(site));
    Catalog { sites, narrowed: None }
}

/// What all of `modules` begin with, up to a `::`: what a list of functions can do without.
pub(crate) fn common_module<'m>(mut modules: impl Iterator<Item = &'m str>) -> String {
    let Some(mut common) = modules.next() else { return String::new() };
    for module in modules {
        while !(module == common || module.strip_prefix(common).is_some_and(|rest| rest.starts_with("::"))) {
            let Some((outer, _)) = common.rsplit_once("::") else { return String::new() };
            common = outer;
        }
    }
    format!("{common}::")
}

/// What tells sites apart: alike from one build to the next.
fn place(site: &Site) -> (&'static str, &'static str, &'static str, u32, u32) {
    (site.module(), site.function(), site.file(), site.line(), site.column())
}

/// The annotated functions of a program, in the order of their names.
///
/// [`catalog`] gives one.
#[derive(Clone)]
pub struct Catalog {
    sites: Vec<&'static Site>,
    /// What was left out by [`within`](Self::within).
    narrowed: Option<Narrowed>,
}

/// The module that a catalog was last narrowed to.
#[derive(Clone)]
struct Narrowed {
    module: Box<str>,
    /// How many functions there were before that.
    elsewhere: usize,
}

impl Catalog {
    /// Only the functions of `module` and of the modules in it, such as `shop` or `shop::users`.
    #[must_use]
    pub fn within(mut self, module: &str) -> Self {
        let inside = |site: &&Site| {
            site.module().strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let elsewhere = self.sites.len();
        self.sites.retain(inside);
        self.narrowed = Some(Narrowed { module: module.into(), elsewhere });
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static Site> {
        self.sites.iter().copied()
    }

    /// Those whose results are cached.
    pub fn readers(&self) -> impl Iterator<Item = &'static Site> {
        self.iter().filter(|site| site.role() == Role::Reader)
    }

    /// Those that make entries stale.
    pub fn mutators(&self) -> impl Iterator<Item = &'static Site> {
        self.iter().filter(|site| site.role() == Role::Mutator)
    }
}

/// A line for each function.
impl fmt::Display for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for site in self.iter() {
            match site.role() {
                Role::Reader => write!(f, "{} reads", site.name())?,
                Role::Mutator => write!(f, "{} invalidates", site.name())?,
            }
            for (word, texts) in [("key", Vec::from_iter(site.key_texts())), ("tag", Vec::from_iter(site.tag_texts()))]
            {
                texts.iter().try_for_each(|text| write!(f, " {word} {text},"))?;
            }
            match (site.role(), site.time_to_live(), site.time_to_live_by()) {
                (Role::Mutator, ..) => write!(f, " {:?},", site.mutation_mode())?,
                (_, Some(ttl), _) => write!(f, " for {ttl:?},")?,
                (_, None, Some(by)) => write!(f, " for as long as {by} says,")?,
                (_, None, None) => {}
            }
            writeln!(f, " {}:{}", site.file(), site.line())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sites.iter().map(|site| site.name())).finish()
    }
}
