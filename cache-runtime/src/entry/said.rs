//! What was said of a call so far, in a box that its thread keeps for the next call.
//!
//! An entry goes from setter to setter, then into a future, then into that of the caller. In a box it stays where it is: moving what has just been written costs more
//! than writing it, and a smaller future is worth having.

use std::cell::Cell;
use std::ops::Deref;
use std::ops::DerefMut;
use std::time::Duration;

use crate::key::Text;
use crate::policy::Stale;

thread_local! {
    /// The box of the last call that ended in this thread.
    static SPARE: Cell<Option<Box<Words>>> = const { Cell::new(None) };
}

/// See the module. There is no box before something is said.
#[derive(Clone, Default)]
pub(super) struct Said(Option<Box<Words>>);

/// The rendered names of a call, and its options.
#[derive(Clone)]
pub(super) struct Words {
    /// The rendered key and tags, one after the other.
    pub(super) text: Text,
    pub(super) options: Options,
}

#[derive(Clone)]
pub(super) struct Options {
    /// Where the key is, once it was given parts.
    pub(super) key: Option<Span>,
    /// Where the tags are, a NUL after each, once they were given parts.
    pub(super) tags: Option<Span>,
    /// The type of something in the code that calls, or nothing.
    pub(super) here: &'static str,
    /// What most calls say nothing of.
    rare: Rare,
    /// Whether `rare` may be other than at first.
    is_rare: bool,
}

#[derive(Clone)]
pub(super) struct Rare {
    pub(super) of: Option<&'static str>,
    pub(super) jitter: Option<f64>,
    pub(super) negative_ttl: Option<Duration>,
    pub(super) in_transaction: bool,
    /// Whether the call is to pass by the cache.
    pub(super) unused: bool,
    pub(super) stale: Stale,
    pub(super) max_loads: Option<usize>,
}

/// A part of a text.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Words {
    const NONE: Self = Self { text: Text::new(), options: Options::NONE };
}

impl Options {
    const NONE: Self = Self { key: None, tags: None, here: "", rare: Rare::NONE, is_rare: false };

    #[inline]
    pub(super) fn rare(&self) -> &Rare {
        &self.rare
    }

    /// Whether anything may have been said that most calls say nothing of.
    #[inline]
    pub(super) fn has_rare(&self) -> bool {
        self.is_rare
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.is_rare = true;
        &mut self.rare
    }

    /// As nothing was said. Writing all of it anew takes as long as some of what a hit does.
    #[inline]
    fn clear(&mut self) {
        (self.key, self.tags, self.here) = (None, None, "");
        if self.is_rare {
            (self.rare, self.is_rare) = (Rare::NONE, false);
        }
    }
}

impl Rare {
    const NONE: Self = Self {
        of: None,
        jitter: None,
        negative_ttl: None,
        in_transaction: false,
        unused: false,
        stale: Stale::NONE,
        max_loads: None,
    };
}

impl Deref for Said {
    type Target = Words;

    #[inline]
    fn deref(&self) -> &Words {
        static NOTHING: Words = Words::NONE;
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Said {
    #[inline]
    fn deref_mut(&mut self) -> &mut Words {
        // A thread that is ending has none to spare any more.
        let spare = || SPARE.try_with(Cell::take).ok().flatten();
        self.0.get_or_insert_with(|| spare().unwrap_or_else(|| Box::new(Words::NONE)))
    }
}

impl Drop for Said {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut words) = self.0.take() {
            words.text.clear();
            words.options.clear();
            let _ = SPARE.try_with(|spare| spare.set(Some(words)));
        }
    }
}
