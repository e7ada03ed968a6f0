//! What the protocol asks of a store.
//!
//! A store keeps, for each key, an *entry*, a *lease* and a *key token*; for each tag a *token*. Everything expires by itself, anything may be evicted at any
//! time, and what is gone costs a miss and nothing else. A store moves blobs and compares ids: it knows nothing of codecs, policies or types.
//!
//! # What every store keeps to
//!
//! - A token, once gone, never comes back: a register that is [`Absent`](State::Absent) gets a new random one.
//! - A lease, once gone, never comes back either: the store adds its own half each time it gives one, so a [`begin`](Store::begin) that is delivered again is given
//!   another.
//! - A [`fill`](Store::fill) is accepted only while the key's lease slot holds that very lease, in one atomic step.
//! - A key is [`revoke`](Store::revoke)d in one atomic step, or in the order lease, entry, key token.
//! - A mark's token is new at every [`mark`](Store::mark) and every [`revoke`](Store::revoke) that leaves other marks standing; renewing a mark keeps it.
//! - A command that is delivered twice, or late, does no harm.
//! - Every reply comes within the store's deadline.
//!
//! `conformance` holds the same as tests, which every store runs.

pub(crate) mod listing;
pub(crate) mod off;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util", feature = "sim"))]
pub(crate) mod shielded;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Moment;
use crate::envelope::Header;
use crate::key::Name;
use crate::store::listing::Gone;
use crate::store::listing::Listing;
use crate::store::listing::Page;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// A store of entries, leases and tokens.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// What it keeps: encoded bytes, or values as they are.
    fn keeps(&self) -> Keeps;

    /// Ends when the first attempt to connect has ended, however it did.
    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Reads entries and registers, all in one round trip.
    ///
    /// The states are each of some moment after the call, and nothing has to be atomic across them but for one thing: the state of an entry's own key is read no later than the
    /// entry. Otherwise a load around the call could come to rest on a token that is younger than the value.
    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>>;

    /// Creates the tokens that are missing, and takes a lease if one is asked for; one round trip.
    ///
    /// Who asks again while holding the lease, perhaps because a reply was lost, is given a new one, and the one before it is dead. A free lease is not given when the key holds another entry than the one
    /// that was seen, so that a caller between somebody else's fill and its own read does not load once more.
    fn begin(&self, begin: Begin) -> Reply<'_, Begun>;

    /// Extends a lease if that very one is still held, says whether it is, and notes the generation of what its load captured.
    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool>;

    /// Gives up whatever lease this asker holds, so that one whose reply was lost can give up what it may have been given; does nothing if it holds none.
    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()>;

    /// Stores an entry and ends the lease, if the lease is still held; says whether it was.
    fn fill(&self, fill: Fill) -> Reply<'_, bool>;

    /// Lets the entry of `key` live for `life` from now on, if there is one.
    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()>;

    /// Lets the tokens of `registers` live at least for `life` from now on, where there are any. Does nothing on a store that is asked for so only together with a [`fill`](Store::fill).
    #[cfg_attr(
        not(feature = "memcached"),
        allow(dead_code, reason = "a single node needs it only together with a fill")
    )]
    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        drop((registers, life));
        Box::pin(std::future::ready(Ok(())))
    }

    /// Marks everything in `targets` as being mutated: tags and lease slots hold the mark, entries and key tokens are gone.
    ///
    /// Other mutations' marks stay. With `renew`, a mark of that id that still stands only lives longer, its token unchanged; where it is lost it is placed anew.
    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()>;

    /// Invalidates everything in `targets`, and takes `ended` off the marks. Marks of other mutations stay, under a new token.
    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()>;

    /// Whether it can say which entries have a tag.
    fn lists(&self) -> bool {
        false
    }

    /// Some of the entries that are listed under `tag`, from a place that the page before named, or from the start. What is listed all the while is on one page at least.
    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        drop((tag, from));
        unlisted()
    }

    /// Takes entries off the list of `tag` that were not stored anew since, removes those that are to be removed and still the same, and says how many it removed.
    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        drop((tag, gone));
        unlisted()
    }
}

fn unlisted<'a, T: Send + 'a>() -> Reply<'a, T> {
    Box::pin(std::future::ready(Err(StoreError::Refused("it lists nothing".to_owned()))))
}

/// The reply of a store.
pub(crate) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a store keeps under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// Encoded bytes, outside of this process.
    Bytes,
    /// Decoded values, in this process; leases and marks die with it.
    Values,
}

/// An entry, opaque to the store.
#[derive(Clone, Debug)]
pub(crate) enum Blob {
    Bytes(Bytes),
    Value(Arc<dyn Held>),
    /// One that nothing vouches for: the store has forgotten what happened since it was stored, perhaps that it was invalidated.
    #[cfg_attr(
        not(any(feature = "redis", feature = "sim")),
        allow(dead_code, reason = "in process nothing comes back")
    )]
    Bygone,
}

/// An entry that is kept decoded.
pub(crate) trait Held: Any + fmt::Debug + Send + Sync {
    fn header(&self) -> Cow<'_, Header>;
    /// Until when it may be served, by the clock of a store in this process.
    fn expires(&self) -> Option<Moment>;
    /// The value, or `None` for the news that there is none.
    fn value(&self) -> Option<&(dyn Any + Send + Sync)>;
}

/// What to read for one key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Read {
    pub(crate) entry: Option<Name>,
    pub(crate) registers: Vec<Register>,
}

/// What was read: the entry with the lease it was filled under, and the states of the registers in the order they were asked for.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) entry: Option<(LeaseId, Blob)>,
    pub(crate) states: Vec<State>,
}

/// What a load needs before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    /// The lease to take, or `None` to only create tokens.
    pub(crate) lease: Option<LeaseRequest>,
    pub(crate) registers: Vec<Register>,
    /// How long tokens live that are created here.
    #[cfg_attr(
        not(any(test, feature = "redis", feature = "memcached", feature = "sim")),
        expect(dead_code, reason = "in process nothing expires but entries")
    )]
    pub(crate) token_life: Duration,
}

/// A lease to take.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) key: Name,
    /// Who asks: [`LeaseId::asked`], new for every request. The store adds its half.
    pub(crate) id: LeaseId,
    /// The generation of what was captured, if all of it was there to capture.
    pub(crate) generation: Option<Generation>,
    pub(crate) life: Duration,
    /// The lease under which the entry that was read was filled, if one was read.
    pub(crate) seen: Option<LeaseId>,
    pub(crate) steal: Steal,
}

/// Whose lease may be taken away. A mark is never taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Steal {
    Nobodys,
    /// This one's, whose load was seen to be out of date.
    From(LeaseId),
    Anybodys,
}

impl Steal {
    /// Whether the lease `id` may be taken away.
    pub(crate) fn takes(self, id: LeaseId) -> bool {
        match self {
            Self::Nobodys => false,
            Self::From(seen) => seen == id,
            Self::Anybodys => true,
        }
    }
}

/// What a load has in hand.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) states: Vec<State>,
    pub(crate) lease: Option<LeaseState>,
}

/// How a request for a lease went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaseState {
    /// Given, under this id from now on.
    Won(LeaseId),
    /// Another fill holds it.
    Held { id: LeaseId, generation: Option<Generation> },
    /// The lease is free, but the key holds another entry than the one that was seen: read again.
    Changed,
    /// A mutation of the key is running.
    Marked { token: Token, strict: bool },
}

/// An entry to store.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) key: Name,
    pub(crate) lease: LeaseId,
    pub(crate) blob: Blob,
    /// How long it may be served from now on, short of being invalidated.
    pub(crate) fresh: Duration,
    /// How long it is kept, perhaps past its time: as long, or longer where something past its time may be served, or shorter where it has to be touched.
    pub(crate) life: Duration,
    /// Registers whose tokens shall live at least `token_life` from now.
    #[cfg_attr(
        not(any(test, feature = "redis", feature = "memcached", feature = "sim")),
        expect(dead_code, reason = "in process nothing expires but entries")
    )]
    pub(crate) touch: Vec<Register>,
    #[cfg_attr(
        not(any(test, feature = "redis", feature = "memcached", feature = "sim")),
        expect(dead_code, reason = "in process nothing expires but entries")
    )]
    pub(crate) token_life: Duration,
    /// Where it is to be listed, on a store that lists.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "in process entries are found without lists"))]
    pub(crate) listing: Option<Listing>,
}

/// What a mutation makes stale.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Targets {
    pub(crate) keys: Vec<Name>,
    pub(crate) tags: Vec<Name>,
}

/// The mark of a running mutation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) id: MarkId,
    pub(crate) life: Duration,
    /// Whether fills and joins are forbidden meanwhile.
    pub(crate) strict: bool,
    /// Whether it stands already and shall live longer.
    pub(crate) renew: bool,
    /// Whether it is placed after a mutation, so that it invalidates what the mutation made stale.
    pub(crate) late: bool,
}

/// Why a store gave no answer. On the read path it means a miss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "a store in process answers"))]
pub(crate) enum StoreError {
    /// It did not answer; the command may have run.
    #[error("the store is away: {0}")]
    Away(String),
    /// It did not answer in time; the command may have run.
    #[error("the store did not answer in time")]
    Late,
    /// There is no connection to it. The command was not sent.
    #[error("the store is away: {0}")]
    Gone(String),
    /// It was not asked, because it does not answer these days.
    #[error("the store is not asked for a while, because it does not answer")]
    Shed,
    /// It answered that it cannot do now what a store is there for: it is loading, a replica, or wants a password.
    #[error("the store cannot be used: {0}")]
    Unfit(String),
    /// It answered with an error.
    #[error("the store refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// The same without saying that it is of the store.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Away(reason) | Self::Gone(reason) | Self::Unfit(reason) | Self::Refused(reason) => reason.clone(),
            Self::Late => "it does not answer in time".to_owned(),
            Self::Shed => "it does not answer".to_owned(),
        }
    }
}

impl Targets {
    /// The most that one operation is given.
    pub(crate) const BATCH: usize = 256;

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len() + self.tags.len()
    }

    /// The registers of all of it.
    pub(crate) fn registers(&self) -> impl Iterator<Item = Register> {
        let keys = self.keys.iter().cloned().map(Register::Key);
        keys.chain(self.tags.iter().cloned().map(Register::Tag))
    }

    /// All of it, in as many parts as it takes.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Self> {
        let keys = self.keys.chunks(Self::BATCH).map(|keys| Self { keys: keys.to_vec(), tags: Vec::new() });
        let tags = self.tags.chunks(Self::BATCH).map(|tags| Self { keys: Vec::new(), tags: tags.to_vec() });
        let whole = self.len() <= Self::BATCH;
        let one = whole.then(|| self.clone());
        one.into_iter().chain(keys.chain(tags).filter(move |_| !whole))
    }
}

impl FromIterator<Register> for Targets {
    fn from_iter<I: IntoIterator<Item = Register>>(registers: I) -> Self {
        let mut targets = Self::default();
        for register in registers {
            match register {
                Register::Key(key) => targets.keys.push(key),
                Register::Tag(tag) => targets.tags.push(tag),
            }
        }
        targets
    }
}

#[cfg(all(any(test, feature = "sim"), feature = "tls", any(feature = "redis", feature = "memcached")))]
pub(crate) mod certificates;
#[cfg(test)]
pub(crate) mod conformance;
#[cfg(feature = "memcached")]
pub(crate) mod fleet;
#[cfg(feature = "memcached")]
pub(crate) mod memcached;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod model;
#[cfg(any(test, feature = "redis", feature = "memcached", feature = "test-util"))]
pub(crate) mod pass_on;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod presence;
#[cfg(all(any(test, feature = "sim"), any(feature = "redis", feature = "memcached")))]
mod program;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(all(test, any(feature = "redis", feature = "memcached")))]
mod same;
#[cfg(all(test, any(feature = "redis", feature = "memcached")))]
mod samples;
#[cfg(any(feature = "redis", feature = "memcached"))]
pub(crate) mod tls;
#[cfg(any(feature = "redis", feature = "memcached"))]
pub(crate) mod witnesses;
