//! What an item may hold, as bytes, and what it says together with its number.
//!
//! | first byte | what it is |
//! |---|---|
//! | `t` | a token: 16 random bytes |
//! | `!` | the marks of running mutations: their token, and who is running, how, and until when |
//! | `l` | a lease: who asked, the store's half, the generation of what its load captured, until when; then the old entry, if it may still be read |
//! | `e` | an entry: the lease it was filled under, until when (or 0, if the item's own expiry says so), its bytes |
//!
//! Anything else is foreign, and counts as nothing.
//!
//! A server numbers every write (its CAS), and the same bytes that are written again have another number. What must not come back when a write is delivered again
//! therefore counts together with its number: a token, the token of a mark, the store's half of a lease. What is rewritten to live longer says what it was, and can only be written over the very item that was read.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Buf;
use bytes::BufMut;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::LeaseState;
use crate::store::Mark;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::State;
use crate::token::Token;

/// Milliseconds of the time of day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Millis(pub(super) u64);

impl Millis {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// A life is at least a millisecond.
    pub(super) fn after(self, life: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)))
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Of what kind an item is, beside its value, so that it can be asked for without that.
pub(super) mod kind {
    pub(crate) const TOKEN: u32 = 1;
    pub(crate) const MARKS: u32 = 2;
    pub(crate) const LEASE: u32 = 3;
    pub(crate) const ENTRY: u32 = 4;
}

/// What an item holds of what still counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Nothing,
    Token(Token),
    Marks(Marks),
    Key { lease: Option<Lease>, entry: Option<Entry> },
}

/// The mutations that are running on one tag or key, and the token they run under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Marks {
    pub(super) token: Token,
    standing: Vec<Standing>,
    /// Whether one of those that the item lists has ended by itself.
    has_dead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    /// `None` for many that were too many to be listed; only time ends it.
    id: Option<MarkId>,
    strict: bool,
    until: Millis,
}

/// The right to fill, as it is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) generation: Option<Generation>,
    pub(super) until: Millis,
}

/// An entry, and the lease it was filled under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) filled_under: LeaseId,
    /// Until when, if the item lives for another reason.
    pub(super) until: Option<Millis>,
    pub(super) bytes: Bytes,
}

impl Item {
    /// What `value` under the number `cas` says now.
    pub(super) fn read(value: Bytes, cas: u64, now: Millis) -> Self {
        parse(value, cas, now).unwrap_or(Self::Nothing)
    }

    /// As the state of a register.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Token(token) => State::Token(*token),
            Self::Marks(marks) => State::Pending { token: marks.token, strict: marks.is_strict() },
            Self::Nothing | Self::Key { .. } => State::Absent,
        }
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        if let Self::Key { lease, .. } = self { *lease } else { None }
    }

    pub(super) fn entry(&self) -> Option<&Entry> {
        if let Self::Key { entry, .. } = self { entry.as_ref() } else { None }
    }

    /// The marks that stand when `ended` is off them.
    fn standing_without(&self, ended: Option<MarkId>) -> Vec<Standing> {
        let Self::Marks(marks) = self else { return Vec::new() };
        marks.standing.iter().copied().filter(|mark| mark.id.is_none() || mark.id != ended).collect()
    }
}

impl Marks {
    fn is_strict(&self) -> bool {
        self.standing.iter().any(|mark| mark.strict)
    }

    pub(super) fn as_lease(&self) -> LeaseState {
        LeaseState::Marked { token: self.token, strict: self.is_strict() }
    }

    /// When the last of them has ended.
    pub(super) fn until(&self) -> Millis {
        last(&self.standing)
    }
}

/// How many mutations one item lists. Beyond, those listed become one without an id.
const MOST_MARKS: usize = 64;

/// A value to write, and until when it says something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Written {
    pub(super) value: Vec<u8>,
    pub(super) kind: u32,
    pub(super) until: Millis,
}

/// A new token, of bytes that are new.
pub(super) fn token(random: u128, until: Millis) -> Written {
    let value = [&[b't'][..], &random.to_be_bytes()].concat();
    Written { value, kind: kind::TOKEN, until }
}

/// A lease that is given now: its other half is the number of this write.
pub(super) fn new_lease(
    asker: LeaseId,
    generation: Option<Generation>,
    until: Millis,
    old: Option<(&Entry, Millis)>,
) -> Written {
    lease(Lease { id: asker.given(0), generation, until }, old)
}

/// A lease with its whole id, and the old entry if there is one.
pub(super) fn lease(lease: Lease, old: Option<(&Entry, Millis)>) -> Written {
    let mut value = vec![b'l'];
    value.put_u128(lease.id.0);
    value.put_u8(u8::from(lease.generation.is_some()));
    value.put_u64(lease.generation.map_or(0, |generation| generation.0));
    value.put_u64(lease.until.0);
    let mut until = lease.until;
    if let Some((old, lives_until)) = old {
        put_entry(&mut value, old.filled_under, Some(lives_until), &old.bytes);
        until = until.max(lives_until);
    }
    Written { value, kind: kind::LEASE, until }
}

/// An entry by itself.
pub(super) fn entry(filled_under: LeaseId, bytes: &[u8], until: Millis) -> Written {
    let mut value = Vec::with_capacity(bytes.len() + 25);
    put_entry(&mut value, filled_under, None, bytes);
    Written { value, kind: kind::ENTRY, until }
}

fn put_entry(value: &mut Vec<u8>, filled_under: LeaseId, until: Option<Millis>, bytes: &[u8]) {
    value.put_u8(b'e');
    value.put_u128(filled_under.0);
    value.put_u64(until.map_or(0, |until| until.0));
    value.put_slice(bytes);
}

/// `item` with the mark on it. A renewal keeps the token, unless another mark was found dead: what was filled under that token was filled under the dead mutation too, and nobody else will
/// revoke it.
pub(super) fn marked(item: &Item, mark: &Mark, now: Millis) -> Written {
    let until = now.after(mark.life);
    if let Item::Marks(marks) = item
        && mark.renew
        && marks.standing.iter().any(|standing| standing.id == Some(mark.id))
    {
        let mut standing = marks.standing.clone();
        for one in standing.iter_mut().filter(|one| one.id == Some(mark.id)) {
            one.until = one.until.max(until);
        }
        return put_marks((!marks.has_dead).then_some(marks.token), &standing);
    }
    let mut standing = item.standing_without(Some(mark.id));
    if standing.len() >= MOST_MARKS {
        let strict = standing.iter().any(|mark| mark.strict);
        standing = vec![Standing { id: None, strict, until: last(&standing) }];
    }
    standing.push(Standing { id: Some(mark.id), strict: mark.strict, until });
    put_marks(None, &standing)
}

/// What is left of `item` when it is revoked and `ended` is off its marks: others' marks under a new token, or nothing.
pub(super) fn revoked(item: &Item, ended: Option<MarkId>) -> Option<Written> {
    let standing = item.standing_without(ended);
    (!standing.is_empty()).then(|| put_marks(None, &standing))
}

/// Under a token that they had before, or a new one.
fn put_marks(token: Option<Token>, standing: &[Standing]) -> Written {
    let mut value = vec![b'!', u8::from(token.is_some())];
    value.put_u128(token.map_or_else(rand::random, |token| token.0));
    for one in standing {
        value.put_u8(u8::from(one.strict) | u8::from(one.id.is_some()) << 1);
        value.put_u128(one.id.map_or(0, |id| id.0));
        value.put_u64(one.until.0);
    }
    Written { value, kind: kind::MARKS, until: last(standing) }
}

fn last(standing: &[Standing]) -> Millis {
    standing.iter().map(|mark| mark.until).max().unwrap_or(Millis(0))
}

/// A hash of bytes that are new, and of the number of the write that brought them.
fn salted(random: u128, cas: u64) -> Token {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&random.to_be_bytes());
    bytes[16..].copy_from_slice(&cas.to_be_bytes());
    Token(xxh3_128(&bytes))
}

fn parse(mut value: Bytes, cas: u64, now: Millis) -> Option<Item> {
    match value.try_get_u8().ok()? {
        b't' => {
            let random = value.try_get_u128().ok()?;
            value.is_empty().then(|| Item::Token(salted(random, cas)))
        }
        b'!' => marks(value, cas, now),
        b'l' => held(value, cas, now),
        b'e' => Some(Item::Key { lease: None, entry: Some(old(value, now)??) }),
        _ => None,
    }
}

fn marks(mut value: Bytes, cas: u64, now: Millis) -> Option<Item> {
    let is_kept = flag(value.try_get_u8().ok()?)?;
    let random = value.try_get_u128().ok()?;
    let token = if is_kept { Token(random) } else { salted(random, cas) };
    let (mut standing, mut has_dead) = (Vec::new(), false);
    while !value.is_empty() {
        let how = value.try_get_u8().ok().filter(|how| *how < 4)?;
        let (id, until) = (value.try_get_u128().ok()?, Millis(value.try_get_u64().ok()?));
        if until <= now {
            has_dead = true;
            continue;
        }
        standing.push(Standing { id: (how & 2 != 0).then_some(MarkId(id)), strict: how & 1 != 0, until });
    }
    (!standing.is_empty()).then_some(Item::Marks(Marks { token, standing, has_dead }))
}

fn held(mut value: Bytes, cas: u64, now: Millis) -> Option<Item> {
    let id = LeaseId(value.try_get_u128().ok()?);
    let is_known = flag(value.try_get_u8().ok()?)?;
    let generation = Generation(value.try_get_u64().ok()?);
    let until = Millis(value.try_get_u64().ok()?);
    let id = if id == id.given(0) { id.given(cas) } else { id };
    let lease = Lease { id, generation: is_known.then_some(generation), until };
    let entry = match value.try_get_u8() {
        Ok(b'e') => old(value, now)?,
        Ok(_) => return None,
        Err(_) => None,
    };
    Some(Item::Key { lease: (until > now).then_some(lease), entry })
}

/// An entry, or `Some(None)` if its time is over.
fn old(mut value: Bytes, now: Millis) -> Option<Option<Entry>> {
    let filled_under = LeaseId(value.try_get_u128().ok()?);
    let until = Some(Millis(value.try_get_u64().ok()?)).filter(|until| until.0 != 0);
    let lives = until.is_none_or(|until| until > now);
    Some(lives.then_some(Entry { filled_under, until, bytes: value }))
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn read(written: &Written, cas: u64) -> Item {
        Item::read(written.value.clone().into(), cas, NOW)
    }

    fn mark(id: u128, millis: u64) -> Mark {
        Mark { id: MarkId(id), life: Duration::from_millis(millis), strict: false, renew: false, late: false }
    }

    #[test]
    fn what_is_written_again_is_another() {
        let written = token(7, NOW);
        assert_ne!(read(&written, 1), read(&written, 2));
        let written = new_lease(LeaseId::asked(u128::MAX), None, Millis(NOW.0 + 1), None);
        assert_ne!(read(&written, 1).lease().unwrap().id, read(&written, 2).lease().unwrap().id);
        let written = marked(&Item::Nothing, &mark(1, 5), NOW);
        assert_ne!(read(&written, 1).state(), read(&written, 2).state());
    }

    #[test]
    fn a_renewal_says_what_it_was() {
        let first = read(&new_lease(LeaseId::asked(u128::MAX), None, Millis(NOW.0 + 1), None), 5).lease().unwrap();
        assert_eq!(read(&lease(first, None), 6).lease(), Some(first));
        let marks = read(&marked(&Item::Nothing, &mark(1, 5), NOW), 5);
        let renewed = marked(&marks, &Mark { renew: true, ..mark(1, 9) }, NOW);
        assert_eq!((read(&renewed, 6).state(), renewed.until), (marks.state(), Millis(NOW.0 + 9)));
    }

    #[test]
    fn an_old_entry_is_read_beside_a_lease_until_its_time_is_over() {
        let entry = Entry { filled_under: LeaseId(7), until: None, bytes: Bytes::from_static(b"old") };
        let held = Lease { id: LeaseId(1 << 64 | 3), generation: None, until: Millis(NOW.0 + 1) };
        let beside = read(&lease(held, Some((&entry, Millis(NOW.0 + 1)))), 1);
        assert_eq!((beside.lease(), beside.entry().unwrap().bytes.as_ref()), (Some(held), &b"old"[..]));
        let over = read(&lease(held, Some((&entry, NOW))), 1);
        assert_eq!((over.lease(), over.entry()), (Some(held), None));
    }

    #[test]
    fn what_is_over_counts_as_nothing() {
        assert_eq!(read(&marked(&Item::Nothing, &mark(1, 5), Millis(NOW.0 - 5)), 1), Item::Nothing);
        let lease = lease(Lease { id: LeaseId(1 << 64 | 3), generation: None, until: NOW }, None);
        assert_eq!(read(&lease, 1).lease(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(kind in prop::sample::select(b"t!le".to_vec()), bytes in prop::collection::vec(any::<u8>(), 0..120), cas: u64) {
            let item = Item::read(Bytes::from([&[kind], &bytes[..]].concat()), cas, NOW);
            let _ = (item.state(), item.lease(), item.entry());
            let _ = revoked(&item, Some(MarkId(1)));
        }
    }
}
