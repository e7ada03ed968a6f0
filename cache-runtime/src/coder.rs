//! What the untyped engine can do with a value, and what tells one type from another.

use std::any::Any;
use std::any::type_name;
use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::Codec;
use crate::local::Keep;
use crate::local::keep;
use crate::outcome::Cacheable;

/// A value whose type only the typed edge knows.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// What the untyped engine can do with a value of one type.
#[derive(Clone, Copy, Debug)]
pub struct Coder {
    /// Which type. It may change from one build to the next, which costs a miss.
    pub(crate) schema: u64,
    /// Encodes, to the end of the buffer; says whether it could.
    pub(crate) encode: fn(&Value, Codec, &mut Vec<u8>) -> bool,
    /// Whether the codec has words of its own for all that is in a value.
    pub(crate) is_faithful: fn(&Value, Codec) -> bool,
    /// Decodes what is exactly one value.
    pub(crate) decode: fn(&[u8], Codec) -> Option<Value>,
    /// Puts a value into an entry of this process.
    pub(crate) keep: Keep,
    /// The value of such an entry, by itself.
    pub(crate) copy: fn(&(dyn Any + Send + Sync)) -> Option<Value>,
}

/// An error that is stored, as a type that no value has.
#[derive(Clone)]
pub(crate) struct Failure<E>(pub(crate) E);

impl<E: Serialize> Serialize for Failure<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Failure<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        E::deserialize(deserializer).map(Self)
    }
}

impl Coder {
    pub(crate) fn of<V: Cacheable>() -> Self {
        Self {
            schema: schema(type_name::<V>()),
            encode: encode::<V>,
            is_faithful: is_faithful::<V>,
            decode: decode::<V>,
            keep: keep::<V>,
            copy: copy::<V>,
        }
    }
}

/// Not generic, so that the hash is not compiled with every type.
fn schema(name: &'static str) -> u64 {
    xxh3_64(name.as_bytes())
}

fn encode<V: Cacheable>(value: &Value, codec: Codec, out: &mut Vec<u8>) -> bool {
    value.downcast_ref::<V>().is_some_and(|value| codec.encode(value, out))
}

fn is_faithful<V: Cacheable>(value: &Value, codec: Codec) -> bool {
    value.downcast_ref::<V>().is_some_and(|value| codec.is_faithful_to(value))
}

fn decode<V: Cacheable>(bytes: &[u8], codec: Codec) -> Option<Value> {
    Some(Arc::new(codec.decode::<V>(bytes)?))
}

fn copy<V: Cacheable>(value: &(dyn Any + Send + Sync)) -> Option<Value> {
    Some(Arc::new(value.downcast_ref::<V>()?.clone()))
}
