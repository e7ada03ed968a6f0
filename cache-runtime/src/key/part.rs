//! What may stand in a key, and how it is written.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::key::Text;

/// A value that tells one call from another in a key or a tag.
///
/// Two values of one type that are not equal must write different text. That holds for every implementation here, nested ones
/// included: `("a:b", "c")` and `("a", "b:c")` are different keys. Values that mean the same are written the same: `7_u32` and `7_u64`, or `"x"` and
/// `String::from("x")`.
///
/// Not every type that can be printed is a `KeyPart`. Floats are not (`0.0` and `-0.0`, `NaN`), and neither is whatever implements
/// `Display` or `Debug`: a type that masks itself when printed would let two people share an entry.
///
/// # Examples
///
/// ```
/// use cache_runtime::{KeyPart, KeyWriter};
///
/// #[derive(Clone, Copy)]
/// struct UserId(u64);
///
/// impl KeyPart for UserId {
///     fn write(&self, out: &mut KeyWriter<'_>) {
///         self.0.write(out);
///     }
/// }
/// # let _ = UserId(7);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "not a `KeyPart`",
    note = "implement `cache_runtime::KeyPart` for it if it is yours; or keep what counts of it, as in `{{value.id}}` with `skip(value)`; or leave it out with `skip(value)`. A type of another crate goes into one of yours, and a float becomes a whole number, such as cents"
)]
pub trait KeyPart {
    /// Writes this value.
    fn write(&self, out: &mut KeyWriter<'_>);
}

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
}

/// Structure is written as escapes of characters that are never escaped as text, so no text can imitate it.
const NONE: &[u8] = b"%7E";
const OPEN: &[u8] = b"%5F";
const END_OF_ITEM: &[u8] = b"%2E";
const CLOSE: &[u8] = b"%2D";

impl<'a> KeyWriter<'a> {
    pub(crate) fn new(out: &'a mut Text) -> Self {
        Self { out }
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

    #[inline]
    fn integer(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
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

    /// `None`, and what could be taken for it, get one mark more at each level of nesting.
    fn option(&mut self, value: Option<&dyn KeyPart>) {
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

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl KeyPart for $integer {
            #[inline]
            fn write(&self, out: &mut KeyWriter<'_>) {
                out.integer(*self);
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! nonzero_integers {
    ($($integer:ident)*) => {$(
        impl KeyPart for num::$integer {
            fn write(&self, out: &mut KeyWriter<'_>) {
                out.integer(self.get());
            }
        }
    )*};
}

nonzero_integers!(NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroU128 NonZeroUsize);
nonzero_integers!(NonZeroI8 NonZeroI16 NonZeroI32 NonZeroI64 NonZeroI128 NonZeroIsize);

macro_rules! references {
    ($($pointer:ty)*) => {$(
        impl<T: KeyPart + ?Sized> KeyPart for $pointer {
            #[inline]
            fn write(&self, out: &mut KeyWriter<'_>) {
                T::write(self, out);
            }
        }
    )*};
}

references!(&T &mut T Box<T> Rc<T> Arc<T>);

macro_rules! printed {
    ($($printed:ty)*) => {$(
        impl KeyPart for $printed {
            fn write(&self, out: &mut KeyWriter<'_>) {
                out.text(&self.to_string());
            }
        }
    )*};
}

printed!(IpAddr Ipv4Addr Ipv6Addr);

impl KeyPart for str {
    #[inline]
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.text(self);
    }
}

impl KeyPart for String {
    #[inline]
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.text(self);
    }
}

impl<T: KeyPart + ToOwned + ?Sized> KeyPart for Cow<'_, T> {
    fn write(&self, out: &mut KeyWriter<'_>) {
        T::write(self, out);
    }
}

impl KeyPart for bool {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.text(if *self { "true" } else { "false" });
    }
}

impl KeyPart for char {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.text(self.encode_utf8(&mut [0; 4]));
    }
}

/// Written in whole nanoseconds.
impl KeyPart for Duration {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.integer(self.as_nanos());
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.option(self.as_ref().map(|value| value as &dyn KeyPart));
    }
}

impl<T: KeyPart> KeyPart for [T] {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.sequence(self.iter().map(|item| item as &dyn KeyPart));
    }
}

impl<T: KeyPart, const N: usize> KeyPart for [T; N] {
    fn write(&self, out: &mut KeyWriter<'_>) {
        self.as_slice().write(out);
    }
}

impl<T: KeyPart> KeyPart for Vec<T> {
    fn write(&self, out: &mut KeyWriter<'_>) {
        self.as_slice().write(out);
    }
}

macro_rules! tuples {
    ($($($item:ident)*;)*) => {$(
        impl<$($item: KeyPart),*> KeyPart for ($($item,)*) {
            #[allow(non_snake_case, reason = "one name serves for the type and for the value")]
            fn write(&self, out: &mut KeyWriter<'_>) {
                let ($($item,)*) = self;
                let items: &[&dyn KeyPart] = &[$($item),*];
                out.sequence(items.iter().copied());
            }
        }
    )*};
}

tuples! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// The name of a type, as a part of a key.
///
/// What [`type_key`] returns, and what `{T}` stands for in a template when `T` is a type parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeKey(&'static str);

/// Writes `value` as it stands in a key, so that the full text of a key or a tag can be put together by hand.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, key_part};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(key_part(&"ada@example.org"), "ada%40example.org");
/// let _ = Cache::memory().invalidate(format!("mail:{}", key_part(&"ada@example.org"))).await;
/// # });
/// ```
pub fn key_part(value: &dyn KeyPart) -> String {
    let mut out = Text::new();
    value.write(&mut KeyWriter::new(&mut out));
    // Nothing but ASCII is ever written.
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the name of `T` as a part of a key, so that a generic function has an entry for each type.
///
/// # Examples
///
/// ```
/// let key = cache_runtime::type_key::<Vec<u8>>();
/// assert_ne!(key, cache_runtime::type_key::<Vec<u16>>());
/// ```
pub fn type_key<T: ?Sized>() -> TypeKey {
    TypeKey(std::any::type_name::<T>())
}

impl TypeKey {
    pub(crate) fn of(name: &'static str) -> Self {
        Self(name)
    }
}

/// Written with `.` for `::`; a type's name holds no other dot.
impl KeyPart for TypeKey {
    fn write(&self, out: &mut KeyWriter<'_>) {
        for (at, segment) in self.0.split("::").enumerate() {
            if at > 0 {
                out.text(".");
            }
            out.text(segment);
        }
    }
}
