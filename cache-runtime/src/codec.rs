//! Values as bytes, and what tells one type from another.

mod faithful;
#[cfg(feature = "msgpack")]
mod msgpack;

use std::any::Any;
use std::any::type_name;
use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use xxhash_rust::xxh3::xxh3_64;

use crate::outcome::Cacheable;

/// In which form a cache writes values to a store outside of this process.
///
/// It is a matter of the writer: each entry says how it was written, so caches with different codecs on one store read each other's entries. An entry in a form that a build
/// does not have is a miss, and counted as [`unreadable`](crate::Counts::unreadable).
///
/// Both write the names of fields, so what was stored is still read after a field with a default was added, or fields were reordered. Neither can write all that serde can
/// describe:
///
/// | | JSON | MessagePack |
/// |---|---|---|
/// | maps whose keys are neither strings nor numbers | not stored | yes |
/// | `f64::NAN` and the infinities | not stored | yes |
/// | `u128` and `i128` | yes | yes |
/// | the same under `#[serde(flatten)]`, or in an enum with `untagged` or `tag` | unreadable | unreadable |
/// | bytes, as `serde_bytes` has them | three to four bytes for each | one |
/// | `Some(None)`, `Some(())` | not stored | not stored |
/// | values nested more than 128 deep | unreadable | not stored |
///
/// What is not stored or unreadable is counted so, and loaded again at each call. Nothing is stored that would be read as another value, but for what a type does not
/// serialize: a field with `#[serde(skip)]` comes back as its default. The in-process store keeps values as they are.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Cache, Codec};
///
/// let cache = Cache::builder().codec(Codec::Json).build()?;
/// # drop(cache);
/// # Ok::<(), cache_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// JSON, which is readable in the store.
    #[default]
    Json,
    /// MessagePack with the names of fields: smaller, and with more types.
    #[cfg(feature = "msgpack")]
    MessagePack,
}

impl Codec {
    /// The codec of that name, as a URL gives it.
    ///
    /// # Errors
    ///
    /// A sentence, if there is none of that name in this build.
    pub(crate) fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "json" => Ok(Self::Json),
            #[cfg(feature = "msgpack")]
            "msgpack" => Ok(Self::MessagePack),
            #[cfg(not(feature = "msgpack"))]
            "msgpack" => Err("the codec `msgpack` needs the feature `msgpack` of `cache-runtime`"),
            _ => Err("the codec is `json` or `msgpack`"),
        }
    }
}

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
        }
    }
}

/// Not generic, so that the hash is not compiled with every type.
fn schema(name: &'static str) -> u64 {
    xxh3_64(name.as_bytes())
}

fn encode<V: Cacheable>(value: &Value, codec: Codec, out: &mut Vec<u8>) -> bool {
    let Some(value) = value.downcast_ref::<V>() else { return false };
    match codec {
        Codec::Json => serde_json::to_writer(out, value).is_ok(),
        #[cfg(feature = "msgpack")]
        Codec::MessagePack => msgpack::encode(value, out),
    }
}

fn is_faithful<V: Cacheable>(value: &Value, codec: Codec) -> bool {
    value.downcast_ref::<V>().is_some_and(|value| faithful::is_faithful(value, codec))
}

fn decode<V: Cacheable>(bytes: &[u8], codec: Codec) -> Option<Value> {
    let value = match codec {
        Codec::Json => serde_json::from_slice::<V>(bytes).ok()?,
        #[cfg(feature = "msgpack")]
        Codec::MessagePack => msgpack::decode::<V>(bytes)?,
    };
    Some(Arc::new(value))
}

#[cfg(test)]
mod tests;
