//! How the payload of an entry is written: in which codec, and whether it is compressed.
//!
//! A compressed payload begins with the length of what it was made from, little-endian in four bytes. What is read is bounded by that length, and that length by the largest entry
//! of the cache that reads, before anything is reserved for it.

#[cfg(feature = "lz4")]
mod lz4;

use std::borrow::Cow;

use bytes::Bytes;

use crate::codec::Codec;
use crate::envelope::Unreadable;

/// How a payload is written; kept in the flags of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    codec: Codec,
    compressed: bool,
}

/// A payload as it is stored.
#[derive(Clone)]
pub(crate) struct Packed {
    pub(crate) form: Form,
    pub(crate) bytes: Bytes,
}

/// How a cache writes its payloads.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "lz4"), derive(Default))]
pub(crate) struct Packing {
    pub(crate) codec: Codec,
    /// What is longer when encoded is compressed.
    #[cfg(feature = "lz4")]
    pub(crate) compress_above: usize,
}

/// The codec: 0 for JSON, 1 for MessagePack.
const CODEC: u8 = 0b0000_0011;
const COMPRESSED: u8 = 0b0000_0100;

impl Form {
    /// The flags that it uses of those of an entry.
    pub(super) const FLAGS: u8 = CODEC | COMPRESSED;

    pub(super) fn flags(self) -> u8 {
        let codec = match self.codec {
            Codec::Json => 0,
            #[cfg(feature = "msgpack")]
            Codec::MessagePack => 1,
        };
        if self.compressed { codec | COMPRESSED } else { codec }
    }

    /// # Errors
    ///
    /// [`Unreadable::Form`], if no build writes so, or this one cannot read it.
    pub(super) fn of_flags(flags: u8) -> Result<Self, Unreadable> {
        let codec = match flags & CODEC {
            0 => Codec::Json,
            #[cfg(feature = "msgpack")]
            1 => Codec::MessagePack,
            _ => return Err(Unreadable::Form),
        };
        let compressed = flags & COMPRESSED != 0;
        if compressed && cfg!(not(feature = "lz4")) {
            return Err(Unreadable::Form);
        }
        Ok(Self { codec, compressed })
    }

    pub(crate) fn codec(self) -> Codec {
        self.codec
    }
}

impl Packed {
    /// The encoded value, which is at most `most` bytes long where it was compressed.
    ///
    /// # Errors
    ///
    /// `Unreadable::Compression`.
    pub(crate) fn unpacked(&self, most: usize) -> Result<Cow<'_, [u8]>, Unreadable> {
        #[cfg(feature = "lz4")]
        if self.form.compressed {
            return lz4::expand(&self.bytes, most).map(Cow::Owned).ok_or(Unreadable::Compression);
        }
        let _ = most;
        Ok(Cow::Borrowed(&self.bytes))
    }
}

impl Packing {
    /// Compresses what stands in `out` from `start` on, an encoded value, where that makes it shorter.
    pub(crate) fn pack(&self, out: &mut Vec<u8>, start: usize) -> Form {
        #[cfg(feature = "lz4")]
        let compressed = out.len() - start > self.compress_above && lz4::compress(out, start);
        #[cfg(not(feature = "lz4"))]
        let compressed = {
            let _ = (out, start);
            false
        };
        Form { codec: self.codec, compressed }
    }
}

#[cfg(feature = "lz4")]
impl Default for Packing {
    fn default() -> Self {
        Self { codec: Codec::default(), compress_above: 4 << 10 }
    }
}

#[cfg(test)]
mod tests;
