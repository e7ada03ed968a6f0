//! Blocks of LZ4, after the length of what they were made from.

use lz4_flex::block;

const LENGTH: usize = 4;
/// No byte of a block stands for more.
const MOST_FROM_A_BYTE: usize = 255;

/// Compresses what stands in `out` from `start` on, if that makes it shorter; says whether it did.
pub(super) fn compress(out: &mut Vec<u8>, start: usize) -> bool {
    let Ok(length) = u32::try_from(out.len() - start) else { return false };
    let block = block::compress(&out[start..]);
    if LENGTH + block.len() >= out.len() - start {
        return false;
    }
    out.truncate(start);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&block);
    true
}

/// What `packed` was made from, if that is as long as it says, and at most `most` bytes.
pub(super) fn expand(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let (length, block) = packed.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > most || length / MOST_FROM_A_BYTE > block.len() {
        return None;
    }
    let mut out = vec![0; length];
    let written = block::decompress_into(block, &mut out).ok()?;
    (written == length).then_some(out)
}
