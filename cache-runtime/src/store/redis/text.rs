//! What a slot holds, read from text of any origin.
//!
//! The forms are those that `scripts/common.lua` lists, and this reads exactly what the scripts read: text that one side took for a token and the other for nothing
//! would never be replaced and never count. Whatever is none of them is nothing.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::incarnation::Incarnation;
use crate::store::Blob;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::State;
use crate::token::Token;

/// The longest text of a token or of a mark's token.
const LONGEST: usize = 80;
/// The digits of an id.
const ID: usize = 32;
/// The digits of the incarnation that an entry is of.
const INCARNATION: usize = 16;

/// What a lease slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lease {
    Held { id: LeaseId, generation: Option<Generation> },
    Marked { token: Token, strict: bool },
}

/// How much stands in front of an entry.
pub(super) const BEFORE_ENTRY: usize = ID + INCARNATION;

/// An entry: the id of the lease it was filled under, the incarnation it was stored in, then its bytes. What is none goes on, for the envelope to refuse.
pub(super) fn entry(mut bytes: Bytes, at: Incarnation) -> (LeaseId, Blob) {
    let Some(id) = bytes.split_at_checked(ID).and_then(|(id, _)| hexadecimal(id)) else {
        return (LeaseId(0), Blob::Bytes(bytes));
    };
    let lease = at.lease(LeaseId(id));
    let digits = bytes.get(ID..ID + INCARNATION).and_then(hexadecimal).and_then(|digits| u64::try_from(digits).ok());
    match digits {
        Some(digits) => {
            let _ = bytes.split_to(ID + INCARNATION);
            (lease, at.vouches_for(digits, bytes))
        }
        None => (lease, Blob::Bytes(Bytes::new())),
    }
}

/// What an entry begins with.
pub(super) fn before_entry(written: LeaseId, at: Incarnation) -> String {
    format!("{:032x}{}", written.0, at.digits())
}

/// What a register holds.
pub(super) fn state(text: &[u8], at: Incarnation) -> State {
    if let Some(token) = token(b't', text) {
        return State::Token(at.token(token));
    }
    mark(text).map_or(State::Absent, |(token, strict)| State::Pending { token: at.token(token), strict })
}

/// The lease that the script says it gave: `w<32 hex>`, which no slot holds.
pub(super) fn given(text: &[u8], at: Incarnation) -> Option<LeaseId> {
    let id = text.strip_prefix(b"w").filter(|id| id.len() == ID)?;
    hexadecimal(id).map(|id| at.lease(LeaseId(id)))
}

/// What a lease slot holds, or `None` if that is nothing.
pub(super) fn lease(text: &[u8], at: Incarnation) -> Option<Lease> {
    if let Some((token, strict)) = mark(text) {
        return Some(Lease::Marked { token: at.token(token), strict });
    }
    let (id, generation) = text.strip_prefix(b"l")?.split_at_checked(ID)?;
    let generation = match generation.strip_prefix(b":")? {
        [] => None,
        digits if digits.len() == 16 => Some(Generation(u64::try_from(hexadecimal(digits)?).ok()?)),
        _ => return None,
    };
    Some(Lease::Held { id: at.lease(LeaseId(hexadecimal(id)?)), generation })
}

/// The token of `<kind><32 hex>-<digits>-<digits>`: a hash of all of it.
fn token(kind: u8, text: &[u8]) -> Option<Token> {
    let (&first, rest) = text.split_first()?;
    let (id, salt) = rest.split_at_checked(ID)?;
    let mut numbers = salt.strip_prefix(b"-")?.split(|&byte| byte == b'-');
    let well_formed = first == kind
        && text.len() <= LONGEST
        && hexadecimal(id).is_some()
        && decimal(numbers.next()?)
        && decimal(numbers.next()?)
        && numbers.next().is_none();
    well_formed.then(|| Token(xxh3_128(text)))
}

/// The token of a mark, and whether one of those it lists is strict.
fn mark(text: &[u8]) -> Option<(Token, bool)> {
    let end = text.iter().position(|&byte| byte == b';')?;
    let token = token(b'!', &text[..end])?;
    let listed = text[end + 1..].strip_suffix(b";")?;
    let mut strict = false;
    for one in listed.split(|&byte| byte == b';') {
        let mut fields = one.split(|&byte| byte == b',');
        let (id, how, until) = (fields.next()?, fields.next()?, fields.next()?);
        let of_one = id == b"*" || (id.len() == ID && hexadecimal(id).is_some());
        if !of_one || !matches!(how, b"o" | b"s") || until.len() > 15 || !decimal(until) || fields.next().is_some() {
            return None;
        }
        strict |= how == b"s";
    }
    Some((token, strict))
}

fn hexadecimal(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let (high, low) = digits.split_at(digits.len().saturating_sub(16));
    Some(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

/// Up to 16 digits.
fn half(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(number << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

fn decimal(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn tokens_are_told_apart_by_all_of_their_text() {
        let one = state(format!("t{HEX}-1700000000-1").as_bytes(), Incarnation::ANY);
        let other = state(format!("t{HEX}-1700000000-2").as_bytes(), Incarnation::ANY);
        assert!(matches!((one, other), (State::Token(one), State::Token(other)) if one != other));
    }

    #[test]
    fn a_marks_token_is_the_same_whoever_is_listed() {
        let one = state(format!("!{HEX}-1-2;{HEX},o,5;").as_bytes(), Incarnation::ANY);
        let two = state(format!("!{HEX}-1-2;{HEX},o,5;*,s,7;").as_bytes(), Incarnation::ANY);
        let (State::Pending { token: of_one, strict: false }, State::Pending { token: of_two, strict: true }) =
            (one, two)
        else {
            panic!("{one:?} {two:?}");
        };
        assert_eq!(of_one, of_two);
    }

    #[test]
    fn leases_say_their_generation() {
        let id = LeaseId(u128::from_str_radix(HEX, 16).unwrap());
        assert_eq!(lease(format!("l{HEX}:").as_bytes(), Incarnation::ANY), Some(Lease::Held { id, generation: None }));
        let held = Lease::Held { id, generation: Some(Generation(0xab)) };
        assert_eq!(lease(format!("l{HEX}:00000000000000ab").as_bytes(), Incarnation::ANY), Some(held));
    }

    #[test]
    fn a_lease_that_was_given_is_told_from_one_that_is_held() {
        let id = LeaseId(u128::from_str_radix(HEX, 16).unwrap());
        assert_eq!(given(format!("w{HEX}").as_bytes(), Incarnation::ANY), Some(id));
        for text in [format!("l{HEX}:"), format!("w{HEX}:"), format!("w+{}", &HEX[1..]), format!("w{}", &HEX[1..])] {
            assert_eq!(given(text.as_bytes(), Incarnation::ANY), None, "{text}");
        }
    }

    #[test]
    fn an_entry_says_its_lease_and_counts_where_it_was_stored() {
        let (here, there) = (Incarnation::ANY, Incarnation::of("run", "history"));
        let written = LeaseId(u128::from_str_radix(HEX, 16).unwrap());
        let stored = |before: &str| Bytes::from([before.as_bytes(), b"bytes"].concat());
        let own = entry(stored(&before_entry(written, there)), there);
        assert!(matches!(own, (lease, Blob::Bytes(bytes)) if lease == there.lease(written) && bytes == "bytes"));
        let bygone = entry(stored(&before_entry(written, there)), here);
        assert!(
            matches!(bygone, (lease, Blob::Bygone) if lease == written),
            "it is found again by who asks for its lease"
        );
        assert!(
            matches!(entry(stored(HEX), here), (lease, Blob::Bytes(bytes)) if lease == written && bytes.is_empty())
        );
        assert!(matches!(entry(stored("nonsense"), here), (LeaseId(0), Blob::Bytes(_))));
    }

    #[test]
    fn anything_else_is_nothing() {
        let odd = [
            String::new(),
            "t".into(),
            HEX.into(),
            format!("t{HEX}"),
            format!("t{HEX}-1"),
            format!("t{HEX}-1-"),
            format!("t{HEX}-1-2-3"),
            format!("t{HEX}-1-2 "),
            format!("t{HEX}-+1-2"),
            format!("t{HEX}-1-{}", "2".repeat(80)),
            format!("!{HEX}-1-2"),
            format!("!{HEX}-1-2;"),
            format!("!{HEX}-1-2;;"),
            format!("!{HEX}-1-2;{HEX},o,5"),
            format!("!{HEX}-1-2;{HEX},x,5;"),
            format!("!{HEX}-1-2;{HEX},o,5,5;"),
            format!("!{HEX}-1-2;a,o,5;"),
            format!("l{HEX}"),
            format!("l{HEX}:1"),
            format!("l+{}:", &HEX[1..]),
            format!("w{HEX}"),
        ];
        for text in odd {
            assert_eq!(state(text.as_bytes(), Incarnation::ANY), State::Absent, "{text}");
            assert_eq!(lease(text.as_bytes(), Incarnation::ANY), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in prop::sample::select(b"t!l".to_vec())) {
            let _ = state(&bytes, Incarnation::ANY);
            let _ = entry(bytes.clone().into(), Incarnation::ANY);
            let framed = [&[kind], HEX.as_bytes(), &bytes].concat();
            let _ = (state(&framed, Incarnation::ANY), lease(&framed, Incarnation::ANY));
        }
    }
}
