//! What is random here: tokens, leases and marks.
//!
//! None of them ever comes back. Everything that this crate promises rests on that, and on nothing else: not on clocks, not on
//! locks, and not on a delete that arrives in time.

use std::fmt;

use crate::key::Name;

/// The random version of a tag or a key, created on demand and deleted to invalidate.
///
/// A store that holds more than these bits (a Redis token carries the server's time as well) gives a hash of all of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u128);

/// The right to fill one key, new each time it is given.
///
/// The high half is random and chosen by who asks; the low half is the store's, which adds another one at every giving. So a request that is delivered
/// again, after what it was given was revoked, is given something else, and brings nothing back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(pub(crate) u128);

/// One mutation that is running, in the mark it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MarkId(pub(crate) u128);

/// A hash of all tokens that a fill captured, so that others can see that its load is out of date.
///
/// Only cost rests on it: a wrong one makes one load too many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Generation(pub(crate) u64);

/// What has a token: a tag, or a key that an outer entry depends on.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Register {
    Tag(Name),
    Key(Name),
}

impl Register {
    /// Of whom it is.
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Tag(name) | Self::Key(name) => name,
        }
    }

    /// Whether it is that of the namespace's epoch.
    pub(crate) fn is_epoch(&self) -> bool {
        matches!(self, Self::Tag(name) if *name == Name::epoch())
    }
}

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nothing: invalidated, evicted, expired, or never used. It is no version, and nothing is valid under it.
    Absent,
    /// A token.
    Token(Token),
    /// A mutation is running. Fills and joins go on under the mark's own token, unless it is strict.
    Pending { token: Token, strict: bool },
}

/// One thing an entry depends on, as it was before the load began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Dependency {
    pub(crate) register: Register,
    pub(crate) token: Token,
}

impl State {
    /// The token that a fill may capture and a hit may rest on.
    pub(crate) fn usable(self) -> Option<Token> {
        match self {
            Self::Token(token) | Self::Pending { token, strict: false } => Some(token),
            Self::Absent | Self::Pending { strict: true, .. } => None,
        }
    }
}

impl LeaseId {
    /// What is asked with: the asker's half alone.
    pub(crate) fn asked(random: u128) -> Self {
        Self(random >> 64 << 64)
    }

    /// What is given to who asked: the asker's half, and this one of the store's.
    pub(crate) fn given(self, salt: u64) -> Self {
        Self(Self::asked(self.0).0 | u128::from(salt))
    }

    /// Whether it was given to this asker, this time or another.
    pub(crate) fn is_asked_by(self, asker: Self) -> bool {
        self.asker() == asker.asker()
    }

    /// The asker's half.
    pub(crate) fn asker(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl Generation {
    /// The generation of what was captured.
    pub(crate) fn of<'a>(dependencies: impl IntoIterator<Item = &'a Dependency>) -> Self {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for dependency in dependencies {
            hash.update(&dependency.token.0.to_le_bytes());
        }
        Self(hash.digest())
    }
}

macro_rules! hexadecimal {
    ($($id:ident)*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:x})", stringify!($id), self.0)
            }
        }
    )*};
}

hexadecimal!(Token LeaseId MarkId Generation);
