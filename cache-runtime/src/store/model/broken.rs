//! What the model can be told to get wrong, for tests that must notice.

use super::slots::Standing;
use crate::token::Token;

/// Rules to leave out, for tests that must then find a violation. None by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    /// Fills are accepted without a look at the lease.
    pub(crate) unfenced_fill: bool,
    /// [`Model::revoke_steps`](super::Model::revoke_steps) begins with the entry; the lease comes after it.
    pub(crate) entry_first: bool,
    /// A register counts its marks and invalidations, from 1 when it is absent, instead of drawing a random token. What is evicted or expires is forgotten.
    pub(crate) counter_tokens: bool,
    /// The token of marks is a hash of who is running, so it returns when the same ones run again.
    pub(crate) repeating_mark_token: bool,
    /// The store adds nothing of its own to a lease, so a request that is delivered again is given the same one.
    pub(crate) unsalted_lease: bool,
    /// The end of any mutation takes off the marks of all.
    pub(crate) marks_ended_by_anyone: bool,
    /// What a server holds counts in whichever incarnation it is.
    pub(crate) one_incarnation: bool,
}

/// A token that returns when the same ones run again, for [`Broken::repeating_mark_token`].
pub(super) fn repeating(standing: &[Standing]) -> Token {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for mark in standing {
        hash.update(&mark.id.map_or(0, |id| id.0).to_le_bytes());
    }
    Token(hash.digest128())
}
