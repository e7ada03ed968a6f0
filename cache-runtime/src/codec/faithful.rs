//! Whether what is written of a value says what the value is.
//!
//! Some values are written as another is: JSON has no infinity and writes `null`, and neither codec tells `Some(None)` from `None`. Stored, they would come back as what
//! the function never returned. So a value is walked before it is written to a store that keeps bytes.

use std::fmt;

use serde::Serialize;
use serde::Serializer;
use serde::ser::Error;
use serde::ser::SerializeMap;
use serde::ser::SerializeSeq;
use serde::ser::SerializeStruct;
use serde::ser::SerializeStructVariant;
use serde::ser::SerializeTuple;
use serde::ser::SerializeTupleStruct;
use serde::ser::SerializeTupleVariant;

use crate::codec::Codec;

/// Whether `codec` has words of its own for all that is in `value`.
pub(super) fn is_faithful<V: Serialize>(value: &V, codec: Codec) -> bool {
    value.serialize(Reader { json: codec == Codec::Json }).is_ok()
}

/// How a value is written, as far as it matters to what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// As nothing is.
    Null,
    Otherwise,
}

/// It is not faithful.
#[derive(Debug)]
struct Unfaithful;

impl fmt::Display for Unfaithful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that cannot be told from another once it is written")
    }
}

impl std::error::Error for Unfaithful {}

impl Error for Unfaithful {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[derive(Clone, Copy)]
struct Reader {
    json: bool,
}

impl Reader {
    fn float(self, is_finite: bool) -> Result<Written, Unfaithful> {
        if self.json && !is_finite { Err(Unfaithful) } else { Ok(Written::Otherwise) }
    }
}

macro_rules! otherwise {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, _: $type) -> Result<Written, Unfaithful> {
            Ok(Written::Otherwise)
        })*
    };
}

impl Serializer for Reader {
    type Ok = Written;
    type Error = Unfaithful;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    otherwise! {
        serialize_bool(bool)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
    }

    fn serialize_f32(self, value: f32) -> Result<Written, Unfaithful> {
        self.float(value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Result<Written, Unfaithful> {
        self.float(value.is_finite())
    }

    fn serialize_none(self) -> Result<Written, Unfaithful> {
        Ok(Written::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Written, Unfaithful> {
        match value.serialize(self)? {
            Written::Null => Err(Unfaithful),
            Written::Otherwise => Ok(Written::Otherwise),
        }
    }

    fn serialize_unit(self) -> Result<Written, Unfaithful> {
        Ok(Written::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Written, Unfaithful> {
        Ok(Written::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Written, Unfaithful> {
        Ok(Written::Otherwise)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Written, Unfaithful> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Written, Unfaithful> {
        value.serialize(self).map(|_| Written::Otherwise)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Unfaithful> {
        Ok(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<Written, Unfaithful> {
        Ok(Written::Otherwise)
    }

    fn is_human_readable(&self) -> bool {
        self.json
    }
}

macro_rules! of_many {
    ($($trait:ident: $($method:ident($($name:ty)?)),*;)*) => {
        $(impl $trait for Reader {
            type Ok = Written;
            type Error = Unfaithful;

            $(fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Unfaithful> {
                value.serialize(*self).map(drop)
            })*

            fn end(self) -> Result<Written, Unfaithful> {
                Ok(Written::Otherwise)
            }
        })*
    };
}

of_many! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}
