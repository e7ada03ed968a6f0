//! Values as bytes.

mod faithful;
#[cfg(feature = "msgpack")]
mod msgpack;

use serde::Serialize;
use serde::de::DeserializeOwned;

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

    /// Writes `value` to the end of `out`; says whether it could.
    pub(crate) fn encode<V: Serialize>(self, value: &V, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Json => serde_json::to_writer(out, value).is_ok(),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::encode(value, out),
        }
    }

    /// Reads what is exactly one value.
    pub(crate) fn decode<V: DeserializeOwned>(self, bytes: &[u8]) -> Option<V> {
        match self {
            Self::Json => serde_json::from_slice(bytes).ok(),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::decode(bytes),
        }
    }

    /// Whether it has words of its own for all that is in `value`.
    pub(crate) fn is_faithful_to<V: Serialize>(self, value: &V) -> bool {
        faithful::is_faithful(value, self)
    }
}

#[cfg(test)]
mod tests;
