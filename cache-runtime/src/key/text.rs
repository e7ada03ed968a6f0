//! Text that is being written: in place for as long as it is short, and nothing allocated until it is not.

use std::hash::Hash;
use std::hash::Hasher;
use std::ops::Deref;

/// Bytes that only grow.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    short: [u8; Self::SHORT],
    /// How much of `short` is written, while all of it is there; then `LONG`, which leaves no room in it.
    written: usize,
    /// All of it, once it was too long.
    long: Vec<u8>,
}

impl Text {
    const SHORT: usize = 64;
    const LONG: usize = Self::SHORT + 1;

    #[inline]
    pub(crate) const fn new() -> Self {
        Self { short: [0; Self::SHORT], written: 0, long: Vec::new() }
    }

    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match self.short.get_mut(self.written..self.written + bytes.len()) {
            Some(free) => {
                copy(free, bytes);
                self.written += bytes.len();
            }
            None => self.extend_long(bytes),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Puts `bytes` in front of what was written from `at` on.
    pub(crate) fn insert(&mut self, at: usize, bytes: &[u8]) {
        let tail = self[at..].to_vec();
        self.truncate(at);
        self.extend_from_slice(bytes);
        self.extend_from_slice(&tail);
    }

    fn truncate(&mut self, length: usize) {
        match self.written {
            Self::LONG => self.long.truncate(length),
            _ => self.written = length,
        }
    }

    /// Forgets all of it. Room for very long text is not kept.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.written == Self::LONG {
            self.long = Vec::new();
        }
        self.written = 0;
    }

    #[cold]
    fn extend_long(&mut self, bytes: &[u8]) {
        if self.written != Self::LONG {
            self.long.extend_from_slice(&self.short[..self.written]);
            self.written = Self::LONG;
        }
        self.long.extend_from_slice(bytes);
    }
}

/// Copies all of `from`: up to 16 bytes, which is most of what keys are made of, in two overlapping pieces rather than by a call.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    if !(copy_in_two::<8>(to, from) || copy_in_two::<4>(to, from) || copy_in_two::<2>(to, from)) {
        match (to, from) {
            ([], []) => {}
            ([to], [from]) => *to = *from,
            (to, from) => to.copy_from_slice(from),
        }
    }
}

/// Copies all of `from` if it is of `N` to `2 * N` bytes.
#[inline]
fn copy_in_two<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let fits = from.len() <= 2 * N && from.len() == to.len();
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return false };
    if fits {
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    }
    fits
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.short.get(..self.written).unwrap_or(&self.long)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        let mut text = Self::new();
        text.extend_from_slice(bytes);
        text
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_was_written(pieces in vec(vec(any::<u8>(), 0..40), 0..8), at in any::<prop::sample::Index>(), more in vec(any::<u8>(), 0..80)) {
            let mut text = Text::new();
            pieces.iter().for_each(|piece| text.extend_from_slice(piece));
            let mut expected = pieces.concat();
            prop_assert_eq!(&*text, &*expected);
            let at = at.index(expected.len() + 1);
            text.insert(at, &more);
            expected.splice(at..at, more);
            prop_assert_eq!(&*text, &*expected);
            text.push(7);
            prop_assert_eq!(text.last(), Some(&7));
        }
    }
}
