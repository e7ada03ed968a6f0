//! MessagePack with named fields.
//!
//! What is decoded is exactly one value, nested at most [`DEEPEST`], and no length in it claims more than there is. `rmp-serde` promises none of the three: it stops at the end
//! of a value, does not count the levels of enums, and hands claimed lengths to whoever wants to reserve memory. So the bytes are walked first, which recurses
//! nowhere and reserves nothing.

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::Deserialize as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// As deep as JSON is read.
const DEEPEST: usize = 128;

pub(super) fn encode<V: Serialize>(value: &V, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    rmp_serde::encode::write_named(out, value).is_ok() && is_one_value(&out[start..])
}

pub(super) fn decode<V: DeserializeOwned>(bytes: &[u8]) -> Option<V> {
    if !is_one_value(bytes) {
        return None;
    }
    let mut deserializer = Deserializer::from_read_ref(bytes);
    let value = V::deserialize(&mut deserializer).ok()?;
    // Only where nothing is left does a read of anything miss its very first byte.
    let rest = bool::deserialize(&mut deserializer);
    matches!(rest, Err(Error::InvalidMarkerRead(_))).then_some(value)
}

/// Whether `bytes` are one value from the first to the last, no deeper than it may be.
fn is_one_value(bytes: &[u8]) -> bool {
    let mut walk = Walk { rest: bytes };
    // How many values are still to come at each level. The first level is the value itself.
    let mut levels = Vec::with_capacity(16);
    levels.push(1_u64);
    while let Some(left) = levels.last_mut() {
        if *left == 0 {
            levels.pop();
            continue;
        }
        *left -= 1;
        match walk.step() {
            // Each value takes a byte at least.
            Some(inner) if inner > walk.rest.len() as u64 || levels.len() > DEEPEST => return false,
            Some(0) => {}
            Some(inner) => levels.push(inner),
            None => return false,
        }
    }
    walk.rest.is_empty()
}

/// Goes from value to value.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    /// Passes a value, or the beginning of one that has others inside; says how many. `None` where there is no such thing.
    fn step(&mut self) -> Option<u64> {
        let (&marker, rest) = self.rest.split_first()?;
        self.rest = rest;
        let length = match marker {
            0x80..=0x8f => return Some(2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => return Some(u64::from(marker & 0x0f)),
            0xdc => return self.number(2),
            0xdd => return self.number(4),
            0xde => return Some(2 * self.number(2)?),
            0xdf => return Some(2 * self.number(4)?),
            // Small numbers, nil and booleans.
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            0xa0..=0xbf => u64::from(marker & 0x1f),
            0xc4 | 0xd9 => self.number(1)?,
            0xc5 | 0xda => self.number(2)?,
            0xc6 | 0xdb => self.number(4)?,
            // Of another type, which takes one byte more.
            0xc7 => 1 + self.number(1)?,
            0xc8 => 1 + self.number(2)?,
            0xc9 => 1 + self.number(4)?,
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
            // Numbers of 1, 2, 4 and 8 bytes, and floats.
            0xcc..=0xcf => 1 << (marker - 0xcc),
            0xd0..=0xd3 => 1 << (marker - 0xd0),
            0xca => 4,
            0xcb => 8,
            // Never used.
            0xc1 => return None,
        };
        self.rest = self.rest.get(usize::try_from(length).ok()?..)?;
        Some(0)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (number, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
