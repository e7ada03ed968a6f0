//! Parts that are written in another way than by [`KeyPart`]: `{x:json}`, `{x:hash}` and `{x:display}`.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Unwritable;
use crate::key::json;

/// Writes whatever serializes as a part of a key: what `{value:json}` in a template stands for. The part is a hash, of 40 hexadecimal digits, of the value's canonical form.
///
/// That form is the value's JSON, with nothing left to chance: the same for a value in every process, build and release, and another for every other value that
/// serializes otherwise.
///
/// - The fields of a struct and the entries of a map have the order of their names, so neither the order of declaration nor that of a `HashMap` counts.
///   The elements of a sequence count in their order, and a `HashSet` has none that lasts: sort it, or use a `BTreeSet`.
/// - Whole numbers are written by value, whatever their type. A float is never written as a whole number is, and `-0.0` not as `0.0`.
/// - `None`, `Some(None)` and `()` differ, and so do the unit variant `A` and the text `"A"`, or a map's keys `1` and `"1"`.
///
/// What does not serialize, and what JSON has no number for (`NaN`, infinities), has no part: such a call passes by the cache and shares nothing. It is
/// counted as [`unnamed`](crate::Counts::unnamed), and an event names the function.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// use cache_runtime::{json_part, key_part};
///
/// let one = HashMap::from([("color", "red"), ("size", "xl")]);
/// let other = HashMap::from([("size", "xl"), ("color", "red")]);
/// assert_eq!(key_part(&json_part(&one)), key_part(&json_part(&other)));
/// ```
pub fn json_part<T: Serialize + ?Sized>(value: &T) -> Spelled<'_, T> {
    Spelled { value, write: write_json }
}

/// Hides a sensitive part of a key behind a hash: what `{value:hash}` in a template stands for.
///
/// It is BLAKE3, keyed by the [secret](crate::Builder::secret) of the cache, as 40 hexadecimal digits: who reads the store cannot find the value by trying. Equal parts
/// have equal hashes, which those who read the store can see.
///
/// All processes that share a store need the same secret, as they need the same namespace: with another, a mutator does not reach what readers have stored. To change it, change the
/// namespace too. The in-process store needs none. Another store without a secret has no such parts: the call passes by the
/// cache and shares nothing, and an invalidation does not reach the entry and counts as deferred. It is counted as [`unnamed`](crate::Counts::unnamed), and an event says what is missing.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, hash_part};
///
/// let cache = Cache::builder().secret("from the vault, 32 random bytes").build()?;
/// let part = cache.key_part(&hash_part(&"ada@example.org"));
/// assert_eq!(part.len(), 40);
/// assert!(!part.contains("ada"));
/// # Ok::<(), cache_runtime::Error>(())
/// ```
pub fn hash_part<T: KeyPart + ?Sized>(value: &T) -> Spelled<'_, T> {
    Spelled { value, write: write_hidden }
}

/// Writes whatever prints as a part of a key, as it prints: what `{value:display}` in a template stands for.
///
/// Two values that print alike share an entry. For a type that masks or shortens what it prints, that is wrong.
///
/// # Examples
///
/// ```
/// use cache_runtime::{display_part, key_part};
///
/// assert_eq!(key_part(&display_part(&format_args!("{}/{}", 1, 2))), "1%2F2");
/// ```
pub fn display_part<T: fmt::Display + ?Sized>(value: &T) -> Spelled<'_, T> {
    Spelled { value, write: write_printed }
}

/// A part of a key that is written in another way than by its type: what [`json_part`], [`hash_part`] and [`display_part`] return.
///
/// It is a [`KeyPart`] whatever `T` is, so that a type that is not fit for one of them is reported once, where that is called.
pub struct Spelled<'a, T: ?Sized> {
    value: &'a T,
    write: fn(&T, &mut KeyWriter<'_>),
}

impl<T: ?Sized> KeyPart for Spelled<'_, T> {
    fn write(&self, out: &mut KeyWriter<'_>) {
        (self.write)(self.value, out);
    }
}

impl<T: ?Sized> fmt::Debug for Spelled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be one to hide.
        f.debug_struct("Spelled").finish_non_exhaustive()
    }
}

fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut KeyWriter<'_>) {
    match json::canonical(value) {
        Some(form) => out.digest(blake3::hash(&form)),
        None => out.fail(Unwritable::NotSerializable),
    }
}

fn write_hidden<T: KeyPart + ?Sized>(value: &T, out: &mut KeyWriter<'_>) {
    out.hidden(&value);
}

fn write_printed<T: fmt::Display + ?Sized>(value: &T, out: &mut KeyWriter<'_>) {
    if write!(Escaping(out), "{value}").is_err() {
        out.fail(Unwritable::NotPrintable);
    }
}

struct Escaping<'w, 'a>(&'w mut KeyWriter<'a>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.text(text);
        Ok(())
    }
}

/// Whether the placeholder from `open` to `close` has no spec, or one of the above.
pub(super) const fn is_spec(template: &[u8], open: usize, close: usize) -> bool {
    let mut at = open;
    while at < close {
        if template[at] == b':' {
            return is(template, at + 1, close, b"json")
                || is(template, at + 1, close, b"hash")
                || is(template, at + 1, close, b"display");
        }
        at += 1;
    }
    true
}

const fn is(template: &[u8], start: usize, end: usize, word: &[u8]) -> bool {
    let mut at = 0;
    while start + at < end && at < word.len() && template[start + at] == word[at] {
        at += 1;
    }
    start + at == end && at == word.len()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::key::Secret;
    use crate::key::SecretOf;
    use crate::key::Text;

    fn written(value: &dyn KeyPart, secret: &Option<Secret>) -> Vec<u8> {
        let mut out = Text::new();
        value.write(&mut KeyWriter::new(&mut out, SecretOf::Known(secret)));
        out.to_vec()
    }

    fn secret(bytes: &[u8]) -> Option<Secret> {
        Some(Secret::new(bytes))
    }

    /// Prints some text, then fails.
    struct HalfPrinted;

    impl fmt::Display for HalfPrinted {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            Err(fmt::Error)
        }
    }

    #[test]
    fn a_hash_is_the_same_in_every_release() {
        let hash = written(&hash_part("ada"), &secret(b"0123456789abcdef"));
        assert_eq!(std::str::from_utf8(&hash).unwrap(), "106594efd5472abaa57941ed9f6429a1473fa814");
    }

    #[test]
    fn a_hash_depends_on_the_secret_and_on_nothing_else() {
        let (one, other) = (secret(b"0123456789abcdef"), secret(b"0123456789abcdeg"));
        assert_eq!(written(&hash_part(&7_u32), &one), written(&hash_part("7"), &one));
        assert_ne!(written(&hash_part("7"), &one), written(&hash_part("7"), &other));
        assert_ne!(written(&hash_part("7"), &one), written(&hash_part("8"), &one));
    }

    #[test]
    fn what_cannot_be_written_is_found_wherever_it_stands() {
        let (none, some) = (None, secret(b"0123456789abcdef"));
        let nan = json_part(&f64::NAN);
        for (part, secret, why) in [
            (&nan as &dyn KeyPart, &some, Unwritable::NotSerializable),
            (&hash_part(&nan), &some, Unwritable::NotSerializable),
            (&("a", Some(&nan)), &some, Unwritable::NotSerializable),
            (&display_part(&HalfPrinted), &some, Unwritable::NotPrintable),
            (&hash_part("x"), &none, Unwritable::NoSecret),
        ] {
            assert_eq!(Unwritable::find(&written(part, secret)), Some(why));
        }
        assert_eq!(Unwritable::find(&written(&hash_part("x"), &some)), None);
    }

    #[test]
    fn the_secret_of_the_task_is_asked_for_only_when_something_is_hidden() {
        thread_local!(static ASKED: Cell<bool> = const { Cell::new(false) });
        let ask = || {
            ASKED.set(true);
            Some(Secret::new(b"0123456789abcdef"))
        };
        let mut out = Text::new();
        7_u8.write(&mut KeyWriter::new(&mut out, SecretOf::Task(ask)));
        assert!(!ASKED.get());
        hash_part(&7_u8).write(&mut KeyWriter::new(&mut out, SecretOf::Task(ask)));
        assert!(ASKED.get());
    }

    proptest! {
        #[test]
        fn what_prints_is_written_as_it_prints(text in any::<String>()) {
            prop_assert_eq!(written(&display_part(&text), &None), written(&text, &None));
        }

        #[test]
        fn no_text_is_taken_for_what_cannot_be_written(text in any::<String>()) {
            prop_assert_eq!(Unwritable::find(text.as_bytes()), None);
        }
    }
}
