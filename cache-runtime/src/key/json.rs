//! The canonical form of whatever serializes.
//!
//! It is read by nobody but a hash, so it is not JSON text but the same tree in bytes: every value begins with a byte that says what it is, and ends
//! where its own bytes say so. No form is the beginning of another, and different trees have different forms. Every release writes the same bytes.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;
use serde::Serializer;
use serde::ser;

/// The form of `value`, or `None` if it has none.
pub(super) fn canonical<T: Serialize + ?Sized>(value: &T) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    value.serialize(Form(&mut out)).ok().map(|()| out)
}

/// Writes one value.
struct Form<'o>(&'o mut Vec<u8>);

const NONE: u8 = b'0';
const SOME: u8 = b'?';
const UNIT: u8 = b'u';
const FALSE: u8 = b'f';
const TRUE: u8 = b't';
const POSITIVE: u8 = b'+';
const NEGATIVE: u8 = b'-';
const FLOAT: u8 = b'.';
const TEXT: u8 = b'"';
const BYTES: u8 = b'b';
const SEQUENCE: u8 = b'[';
const MAP: u8 = b'{';
const UNIT_VARIANT: u8 = b'v';
const VARIANT: u8 = b'V';
const END: u8 = b']';

impl Form<'_> {
    fn integer(self, sign: u8, magnitude: u128) -> Result<(), Refused> {
        self.0.push(sign);
        self.0.extend_from_slice(&magnitude.to_be_bytes());
        Ok(())
    }

    fn sized(&mut self, what: u8, bytes: &[u8]) {
        self.0.push(what);
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}

macro_rules! integers {
    ($($method:ident $integer:ty)*) => {$(
        fn $method(self, value: $integer) -> Result<(), Refused> {
            self.serialize_i128(value.into())
        }
    )*};
}

impl<'o> Serializer for Form<'o> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Items<'o>;
    type SerializeTuple = Items<'o>;
    type SerializeTupleStruct = Items<'o>;
    type SerializeTupleVariant = Items<'o>;
    type SerializeMap = Entries<'o>;
    type SerializeStruct = Entries<'o>;
    type SerializeStructVariant = Entries<'o>;

    integers! {
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64
    }

    fn serialize_i128(self, value: i128) -> Result<(), Refused> {
        self.integer(if value < 0 { NEGATIVE } else { POSITIVE }, value.unsigned_abs())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Refused> {
        self.integer(POSITIVE, value)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Refused> {
        self.0.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Refused> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Refused> {
        if !value.is_finite() {
            return Err(Refused);
        }
        self.0.push(FLOAT);
        self.0.extend_from_slice(&value.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Refused> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Refused> {
        self.sized(TEXT, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), Refused> {
        self.sized(BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.0.push(NONE);
        Ok(())
    }

    /// As the value itself, but for one that could be taken for `None`.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        let start = self.0.len();
        value.serialize(Form(&mut *self.0))?;
        if matches!(self.0.get(start), Some(&NONE | &SOME)) {
            self.0.insert(start, SOME);
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.0.push(UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(mut self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Refused> {
        self.sized(UNIT_VARIANT, variant.as_bytes());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.sized(VARIANT, variant.as_bytes());
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'o>, Refused> {
        self.0.push(SEQUENCE);
        Ok(Items(self.0))
    }

    fn serialize_tuple(self, length: usize) -> Result<Items<'o>, Refused> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items<'o>, Refused> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items<'o>, Refused> {
        self.sized(VARIANT, variant.as_bytes());
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'o>, Refused> {
        self.0.push(MAP);
        Ok(Entries { out: self.0, keys: Vec::new(), open: false })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Entries<'o>, Refused> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Entries<'o>, Refused> {
        self.sized(VARIANT, variant.as_bytes());
        self.serialize_map(Some(length))
    }

    /// The provided one panics if `value` does not print.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Refused> {
        let mut text = String::new();
        write!(text, "{value}").map_err(|_| Refused)?;
        self.serialize_str(&text)
    }
}

/// The elements of a sequence.
struct Items<'o>(&'o mut Vec<u8>);

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(Form(&mut *self.0))
    }

    fn close(self) -> Result<(), Refused> {
        self.0.push(END);
        Ok(())
    }
}

/// The entries of a map, to be sorted by their keys.
struct Entries<'o> {
    out: &'o mut Vec<u8>,
    /// Where the key of each entry begins and ends.
    keys: Vec<(usize, usize)>,
    /// Whether a key waits for its value.
    open: bool,
}

impl Entries<'_> {
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        let start = self.out.len();
        key.serialize(Form(&mut *self.out))?;
        self.keys.push((start, self.out.len()));
        if std::mem::replace(&mut self.open, true) { Err(Refused) } else { Ok(()) }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        if !std::mem::replace(&mut self.open, false) {
            return Err(Refused);
        }
        value.serialize(Form(&mut *self.out))
    }

    fn close(mut self) -> Result<(), Refused> {
        if self.open {
            return Err(Refused);
        }
        self.sort();
        self.out.push(END);
        Ok(())
    }

    fn sort(&mut self) {
        let Some(&(first, _)) = self.keys.first() else { return };
        let whole = self.out.split_off(first);
        let ends = self.keys.iter().skip(1).map(|&(start, _)| start - first).chain([whole.len()]);
        let mut entries: Vec<_> = self
            .keys
            .iter()
            .zip(ends)
            .map(|(&(start, key_end), end)| (&whole[start - first..key_end - first], &whole[start - first..end]))
            .collect();
        // Those of one key, which no map has, stay in their order.
        entries.sort_by_key(|&(key, _)| key);
        entries.iter().for_each(|(_, entry)| self.out.extend_from_slice(entry));
    }
}

macro_rules! items {
    ($($trait:ident $method:ident)*) => {$(
        impl ser::$trait for Items<'_> {
            type Ok = ();
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                self.item(value)
            }

            fn end(self) -> Result<(), Refused> {
                self.close()
            }
        }
    )*};
}

items! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Entries<'_> {
            type Ok = ();
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
                self.key(name)?;
                self.value(value)
            }

            fn end(self) -> Result<(), Refused> {
                self.close()
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.value(value)
    }

    fn end(self) -> Result<(), Refused> {
        self.close()
    }
}

/// That a value has no form. Why may hold what nobody should read in a log, so it is not kept.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this has no canonical form")
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests;
