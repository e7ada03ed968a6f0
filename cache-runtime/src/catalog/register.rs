//! How sites come to be known before anything runs.
//!
//! The linker collects pointers to functions that the loader calls before `main`; [`register!`](crate::register) adds one. What runs that early may
//! rely on little, so registering neither allocates nor panics: sites hold each other by the hand.

use std::fmt;
use std::iter::successors;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::site::Site;

/// Puts sites into the [`catalog`](crate::catalog()) when the program starts, before `main`. The attributes do so for theirs.
///
/// It stands once in a module or block, after the sites. On targets whose loader calls nothing before `main`, such as WebAssembly, it does nothing, and a site is known once
/// it is used.
///
/// # Examples
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use cache_runtime::{Site, catalog, register};
///
/// static PRICE: Site = Site::cached("shop", "price").key("price:{sku}").ttl(Duration::from_secs(60));
/// static REPRICE: Site = Site::invalidates("shop", "reprice").keys(&["price:{sku}"]);
/// register!(PRICE, REPRICE);
///
/// # if cfg!(not(target_family = "wasm")) {
/// assert_eq!(catalog().readers().count(), 1);
/// # }
/// ```
#[macro_export]
macro_rules! register {
    ($($site:path),+ $(,)?) => {
        extern "C" fn register() {
            $($site.register();)+
        }
        #[used]
        #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs"))]
        #[cfg_attr(
            any(
                target_os = "android",
                target_os = "dragonfly",
                target_os = "freebsd",
                target_os = "fuchsia",
                target_os = "haiku",
                target_os = "illumos",
                target_os = "linux",
                target_os = "netbsd",
                target_os = "openbsd",
            ),
            unsafe(link_section = ".init_array")
        )]
        static REGISTER: extern "C" fn() = register;
    };
}

/// The site that registered last; each holds the one before it.
static NEWEST: Mutex<Option<&'static Site>> = Mutex::new(None);

/// A site's place in the list.
pub(crate) struct Link {
    listed: AtomicBool,
    older: OnceLock<&'static Site>,
}

impl Link {
    pub(crate) const fn new() -> Self {
        Self { listed: AtomicBool::new(false), older: OnceLock::new() }
    }
}

impl Site {
    /// Makes the site known to the [`catalog`](crate::catalog()). A site of an attribute is known from the start, and any other from its first use.
    ///
    /// It can be called before `main`: it neither allocates nor panics. The second call does nothing.
    pub fn register(&'static self) {
        if self.link.listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = newest.replace(self) {
            // Only who has just claimed the link gets here, so it is empty.
            let _ = self.link.older.set(older);
        }
    }
}

/// Every site that is known, the newest first.
pub(super) fn registered() -> impl Iterator<Item = &'static Site> {
    let newest = *NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    successors(newest, |site| site.link.older.get().copied())
}

/// Not the site behind it: that one holds the next.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("listed", &self.listed).finish_non_exhaustive()
    }
}
