//! Where parts write themselves.

use std::fmt;

use crate::key::KeyPart;
use crate::key::Secret;
use crate::key::Text;

/// Where a [`KeyPart`] writes itself.
///
/// Whatever text is given, only letters, digits, `-`, `.`, `_`, `~` and percent escapes reach the key.
///
/// # Examples
///
/// A type of two fields writes them as a tuple, so that they cannot run into each other:
///
/// ```
/// use cache_runtime::{KeyPart, KeyWriter};
///
/// struct Page {
///     number: u32,
///     size: u32,
/// }
///
/// impl KeyPart for Page {
///     fn write(&self, out: &mut KeyWriter<'_>) {
///         (self.number, self.size).write(out);
///     }
/// }
/// # let _ = Page { number: 1, size: 2 };
/// ```
pub struct KeyWriter<'a> {
    out: &'a mut Text,
    secret: SecretOf<'a>,
}

/// Whose secret hides what is to be hidden.
#[derive(Clone, Copy)]
pub(crate) enum SecretOf<'a> {
    /// That of a cache.
    Known(&'a Option<Secret>),
    /// That of the cache of this task, which is not asked for until something is to be hidden.
    Task(fn() -> Option<Secret>),
}

/// Why a part could not be written: the byte that stands in its place.
///
/// No text holds that byte, so what was written with one is never the name of anything that was written whole. Whoever is about to store, or to
/// invalidate, looks for it first; a hit needs no look, because nothing is stored under such a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwritable {
    NotSerializable = 0xFF,
    NotPrintable = 0xFE,
    NoSecret = 0xFD,
}

/// Structure is written as escapes of characters that are never escaped as text, so no text can imitate it.
const NONE: &[u8] = b"%7E";
const OPEN: &[u8] = b"%5F";
const END_OF_ITEM: &[u8] = b"%2E";
const CLOSE: &[u8] = b"%2D";

impl<'a> KeyWriter<'a> {
    #[inline]
    pub(crate) fn new(out: &'a mut Text, secret: SecretOf<'a>) -> Self {
        Self { out, secret }
    }

    /// Writes `text`, with everything but letters, digits, `-`, `.`, `_` and `~` escaped.
    #[inline]
    pub fn text(&mut self, text: &str) {
        if text.bytes().all(is_unreserved) {
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.escaped(text);
        }
    }

    /// Writes the items one after the other, so that no other sequence of items gives the same text.
    pub fn sequence<'p>(&mut self, items: impl IntoIterator<Item = &'p dyn KeyPart>) {
        self.out.extend_from_slice(OPEN);
        for item in items {
            item.write(self);
            self.out.extend_from_slice(END_OF_ITEM);
        }
        self.out.extend_from_slice(CLOSE);
    }

    /// Writes what is of a template, or known to need no escapes.
    #[inline]
    pub(crate) fn verbatim(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn integer(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// `None`, and what could be taken for it, get one mark more at each level of nesting.
    pub(crate) fn option(&mut self, value: Option<&dyn KeyPart>) {
        let start = self.out.len();
        match value {
            None => self.out.extend_from_slice(NONE),
            Some(value) => {
                value.write(self);
                if self.out[start..].starts_with(NONE) {
                    self.out.insert(start, NONE);
                }
            }
        }
    }

    /// Writes 160 bits of `hash`, as names that are hashed have.
    pub(crate) fn digest(&mut self, hash: blake3::Hash) {
        self.out.extend_from_slice(&hash.to_hex().as_bytes()[..40]);
    }

    /// Writes what nobody without the secret can tell `value` from.
    pub(crate) fn hidden(&mut self, value: &dyn KeyPart) {
        let mut text = Text::new();
        value.write(&mut KeyWriter { out: &mut text, secret: self.secret });
        if let Some(why) = Unwritable::find(&text) {
            return self.fail(why);
        }
        let hash = match self.secret {
            SecretOf::Known(secret) => secret.as_ref().map(|secret| secret.hash(&text)),
            SecretOf::Task(secret) => secret().map(|secret| secret.hash(&text)),
        };
        match hash {
            Some(hash) => self.digest(hash),
            None => self.fail(Unwritable::NoSecret),
        }
    }

    /// Spoils what is written, so that it names nothing.
    pub(crate) fn fail(&mut self, why: Unwritable) {
        self.out.push(why as u8);
    }

    fn escaped(&mut self, text: &str) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in text.bytes() {
            if is_unreserved(byte) {
                self.out.push(byte);
            } else {
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                self.out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

impl Unwritable {
    /// What went wrong in `written`, if anything did.
    pub(crate) fn find(written: &[u8]) -> Option<Self> {
        let all = [Self::NotSerializable, Self::NotPrintable, Self::NoSecret];
        written.iter().find_map(|byte| all.into_iter().find(|why| *why as u8 == *byte))
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::NotSerializable => "a part of a key or a tag as `json` could not be serialized",
            Self::NotPrintable => "the `Display` of a part of a key or a tag returned an error",
            Self::NoSecret => {
                "a part of a key or a tag as `hash` needs a secret on a store that others can read; \
                 say it with `Builder::secret` or `CACHE_SECRET`"
            }
        }
    }
}

impl fmt::Debug for KeyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWriter").finish_non_exhaustive()
    }
}

/// Whether `byte` may be part of a rendered part as it is.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
