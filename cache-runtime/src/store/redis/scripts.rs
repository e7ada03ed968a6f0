//! The scripts, which are constant.
//!
//! Everything that decides by what it reads is a script, so that it is one atomic step. They are sent by hash; a server that has forgotten them is given all of
//! them again. No text of a user is in their source, and every key they touch is declared. Nothing is ever sent in `MULTI`: a server that is full refuses
//! even a deletion in there.

use std::sync::LazyLock;

use redis::Cmd;

/// A script, by what it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Script {
    Tokens,
    Lease,
    Renew,
    Release,
    Fill,
    Touch,
    MarkTag,
    MarkKey,
    RevokeTag,
    RevokeKey,
    List,
    Unlist,
    Discard,
}

impl Script {
    /// A call of this script, with the keys it touches. Its arguments are still to come.
    pub(super) fn call(self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(SCRIPTS[self as usize].get_hash()).arg(keys.len()).arg(keys);
        call
    }
}

/// Commands that load all scripts.
pub(super) fn load() -> impl Iterator<Item = Cmd> {
    SOURCES.iter().map(|source| {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(source);
        load
    })
}

macro_rules! source {
    ($file:literal) => {
        concat!(include_str!("scripts/common.lua"), "\n", include_str!(concat!("scripts/", $file)))
    };
}

/// In the order of [`Script`].
const SOURCES: [&str; 13] = [
    source!("tokens.lua"),
    source!("lease.lua"),
    source!("renew.lua"),
    source!("release.lua"),
    source!("fill.lua"),
    source!("touch.lua"),
    source!("mark_tag.lua"),
    source!("mark_key.lua"),
    source!("revoke_tag.lua"),
    source!("revoke_key.lua"),
    source!("list.lua"),
    source!("unlist.lua"),
    source!("discard.lua"),
];

static SCRIPTS: LazyLock<[redis::Script; SOURCES.len()]> = LazyLock::new(|| SOURCES.map(redis::Script::new));
