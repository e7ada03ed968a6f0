//! A name as a store sees it.

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;

use quick_cache::Equivalent;
use smol_str::SmolStr;

/// The name of an entry or a tag: short, printable, and free of braces and blanks.
///
/// Up to 23 bytes of it lie where the name itself does, so that comparing it fetches nothing from elsewhere.
///
/// Text that is so already stays as it is, and can be read in the store. Anything else becomes `#` and 40 hexadecimal
/// digits of its BLAKE3 hash (160 bits), which is the same in every release and on every platform. Plain text that begins with `#` is
/// hashed too, so no text can pose as the hash of another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(SmolStr);

impl Name {
    /// The longest text that is not hashed, in bytes.
    pub(crate) const LONGEST: usize = 200;

    /// The name of `text`.
    pub(crate) fn new(text: &[u8]) -> Self {
        match plain(text) {
            Some(text) => Self(text.into()),
            None => Self(hashed(text).into()),
        }
    }

    /// The name that was stored as `text`, or `None` if no name is written so.
    pub(crate) fn stored(text: &[u8]) -> Option<Self> {
        let hashed = text.len() == 41 && text[0] == HASHED && text[1..].iter().all(u8::is_ascii_hexdigit);
        let text = if hashed { std::str::from_utf8(text).ok() } else { plain(text) };
        text.map(|text| Self(text.into()))
    }

    /// The name of the [epoch](crate::epoch), which no text has.
    pub(crate) const fn epoch() -> Self {
        Self(SmolStr::new_static("#epoch"))
    }

    /// The name of a witness of it, which no text has either.
    #[cfg(any(feature = "redis", feature = "memcached"))]
    pub(crate) fn witness(number: usize) -> Self {
        Self(format!("#epoch{number}").into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that may be a name, for looking one up without checking it byte by byte: what is none equals none.
#[derive(PartialEq, Eq)]
pub(crate) struct Written<'a>(pub(crate) &'a [u8]);

impl Hash for Written<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Hash for Name {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
    }
}

impl Equivalent<Name> for Written<'_> {
    #[inline]
    fn equivalent(&self, name: &Name) -> bool {
        self.0 == name.0.as_bytes()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What the name of text that cannot be one begins with.
pub(crate) const HASHED: u8 = b'#';

/// `text` itself, if it may stand in a store as it is.
fn plain(text: &[u8]) -> Option<&str> {
    let fits = !text.is_empty() && text.len() <= Name::LONGEST && text[0] != HASHED;
    let plain = fits && text.iter().all(|&byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}'));
    if plain { std::str::from_utf8(text).ok() } else { None }
}

fn hashed(text: &[u8]) -> String {
    let hash = blake3::hash(text).to_hex();
    format!("#{}", &hash[..40])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_plain_text_stays_readable() {
        assert_eq!(Name::new(b"user:7|de-DE~%20").as_str(), "user:7|de-DE~%20");
    }

    #[test]
    fn anything_else_is_hashed_the_same_in_every_release() {
        let long = "x".repeat(201);
        assert_eq!(Name::new(long.as_bytes()).as_str(), format!("#{}", &blake3::hash(long.as_bytes()).to_hex()[..40]));
        assert_eq!(Name::new(b"a b").as_str(), "#c95e5a48e784bd89e908893ff0a228fc91d2f1f9");
        for odd in ["", " ", "a{b", "a}b", "caf\u{e9}", "line\nline", "#x"] {
            let name = Name::new(odd.as_bytes());
            assert!(name.as_str().starts_with('#') && name.as_str().len() == 41, "{odd:?} became {name:?}");
        }
    }

    #[test]
    fn the_longest_text_stays_readable() {
        let longest = "x".repeat(Name::LONGEST);
        assert_eq!(Name::new(longest.as_bytes()).as_str(), longest);
    }

    #[test]
    fn what_was_stored_is_the_name_it_was() {
        for text in ["user:7", "a b", "", &"x".repeat(300), &"a".repeat(41)] {
            let name = Name::new(text.as_bytes());
            assert_eq!(Name::stored(name.as_str().as_bytes()), Some(name), "{text:?}");
        }
        for text in ["#epoch", "#", "a b", "", &format!("#{}", "x".repeat(40)), &"x".repeat(300)] {
            assert_eq!(Name::stored(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn text_cannot_pose_as_a_hash() {
        let hash = Name::new(b"a b");
        assert_ne!(Name::new(hash.as_str().as_bytes()), hash);
    }
}
