//! What keeps a part of a key from being guessed.

use std::fmt;

/// The key of the hash behind which sensitive parts are hidden.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl Secret {
    /// The fewest bytes that a secret may have.
    pub(crate) const SHORTEST: usize = 16;

    /// The same in every process that is given the same bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(blake3::derive_key("cache-runtime: hidden parts of keys, version 1", bytes))
    }

    /// One that nobody else has, for a store that nobody else reads.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// A hash of `text` that nobody can compute who does not have the secret.
    pub(crate) fn hash(&self, text: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
