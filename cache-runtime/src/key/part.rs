//! What may stand in a key, and how it is written.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::key::KeyWriter;

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
/// use cache_runtime::{KeyPart, key_part};
///
/// #[derive(KeyPart)]
/// struct UserId(u64);
///
/// assert_eq!(key_part(&UserId(7)), "7");
/// ```
///
/// By hand, where only a part of a type counts:
///
/// ```
/// use cache_runtime::{KeyPart, KeyWriter};
///
/// struct Session {
///     user: u64,
///     seen: std::time::Instant,
/// }
///
/// impl KeyPart for Session {
///     fn write(&self, out: &mut KeyWriter<'_>) {
///         self.user.write(out);
///     }
/// }
/// # let _ = |session: Session| session.seen;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "not a `KeyPart`",
    note = "if the type is yours, write `#[derive(cache_runtime::KeyPart)]` on it; types of `uuid`, `chrono`, `time` and `rust_decimal` need the feature of that name",
    note = "for an argument `x` that prints each value differently, write `{{x:display}}` in `key = \"…\"`; for one that serializes, `{{x:json}}`",
    note = "if only a part of `x` counts, write that and `skip(x)`, as in `key = \"{{x.id}}\", skip(x)`; if nothing of it does, `skip(x)` alone",
    note = "for a field of a `#[derive(KeyPart)]`, implement `KeyPart` for the outer type by hand, or write the argument as `{{x:json}}`"
)]
pub trait KeyPart {
    /// Writes this value.
    fn write(&self, out: &mut KeyWriter<'_>);
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

/// Written as nothing: there is but one.
impl<T: ?Sized> KeyPart for PhantomData<T> {
    fn write(&self, _: &mut KeyWriter<'_>) {}
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
