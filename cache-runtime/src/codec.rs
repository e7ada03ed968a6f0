//! Values as bytes, and what tells one type from another.

use std::any::Any;
use std::any::type_name;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::outcome::Cacheable;

/// A value whose type only the typed edge knows.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// What the untyped engine can do with a value of one type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    /// Which type. It may change from one build to the next, which costs a miss.
    pub(crate) schema: u64,
    /// Encodes, to the end of the buffer; says whether it could.
    pub(crate) encode: fn(&Value, &mut Vec<u8>) -> bool,
    /// Decodes what is exactly one value.
    pub(crate) decode: fn(&[u8]) -> Option<Value>,
}

impl Codec {
    /// JSON: readable in the store, and old data still reads after a field was added.
    pub(crate) fn json<V: Cacheable>() -> Self {
        Self { schema: xxh3_64(type_name::<V>().as_bytes()), encode: encode::<V>, decode: decode::<V> }
    }
}

fn encode<V: Cacheable>(value: &Value, out: &mut Vec<u8>) -> bool {
    value.downcast_ref::<V>().is_some_and(|value| serde_json::to_writer(out, value).is_ok())
}

fn decode<V: Cacheable>(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<V>(bytes).ok().map(|value| Arc::new(value) as Value)
}
