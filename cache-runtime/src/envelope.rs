//! An entry as it is stored, and as bytes that are not trusted.
//!
//! ```text
//! magic "cr"  format u8  flags u8  key digest 16  schema u64  version u32  created u64 (ms)  ttl u64 (ms)  load u32 (ms)  epoch 16
//! dependencies u16, each: kind u8 ('t' tag, 'k' key)  name length u8  name  token 16
//! payload length u32  checksum u64  payload
//! ```
//!
//! The epoch is the token of the namespace's [epoch](crate::epoch); no entry that is served is without one. In memory it is a dependency like the others, and the first.
//!
//! The flags say in which [form](Form) the payload is; no flag means plain JSON. One more says that the function found nothing; then no form is said, and the payload is empty.
//! Another says that the entry may be of use after it was invalidated. A flag that is not known makes an entry of another format of it.
//!
//! The checksum is the XXH3 of the payload with that of everything before as its seed. Numbers are little-endian. The payload comes last and as it is, so JSON stays readable in the store. Whatever is off by a bit, a byte or a
//! length is [`Unreadable`], never a panic and never a value.

mod form;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) use crate::envelope::form::Form;
pub(crate) use crate::envelope::form::Packed;
pub(crate) use crate::envelope::form::Packing;
use crate::epoch;
use crate::key::Name;
use crate::token::Dependency;
use crate::token::Register;
use crate::token::Token;

/// What is known of a stored value without decoding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which type the value has.
    pub(crate) schema: u64,
    /// Which version of the type its author says it has.
    pub(crate) version: u32,
    /// When its load began, in milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// For how long from then it may be served.
    pub(crate) ttl: Duration,
    /// How long its load took.
    pub(crate) load: Duration,
    /// Whether it may be served after it was invalidated, where its function fails.
    pub(crate) even_invalidated: bool,
    /// Its own tags and everything it inherited, as they were before the load.
    pub(crate) dependencies: Vec<Dependency>,
}

/// An entry: a header and a value.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) payload: Payload,
}

/// An encoded value, or the news that there is none.
#[derive(Clone)]
pub(crate) enum Payload {
    Bytes(Packed),
    Empty,
}

/// Why bytes are no entry of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("not an entry of this format")]
    Format,
    #[error("cut short, or longer than it says")]
    Length,
    #[error("the checksum does not match")]
    Checksum,
    #[error("an entry of another key")]
    Key,
    #[error("a value of another type than the function's")]
    Type,
    #[error("in a codec, or compressed in a way, that this build does not have")]
    Form,
    #[cfg(feature = "lz4")]
    #[error("longer than it may be when decompressed, or not what was compressed")]
    Compression,
}

const MAGIC: &[u8; 2] = b"cr";
const FORMAT: u8 = 2;
const FLAGS_AT: usize = 3;
/// The flag of an entry that says that there is nothing.
const EMPTY: u8 = 0x80;
/// The flag of an entry that may be of use after it was invalidated.
const EVEN_INVALIDATED: u8 = 0x40;
/// The most dependencies that an entry may have, whatever its cache allows.
pub(crate) const MOST_DEPENDENCIES: usize = 1024;
/// More dependencies than most entries have.
const FEW: usize = 8;
/// Everything before the dependencies.
const FIXED: usize = 2 + 1 + 1 + 16 + 8 + 4 + 8 + 8 + 4 + 16 + 2;
/// In the place of an epoch, where there is none.
const NO_EPOCH: Token = Token(0);
const CHECKSUM: usize = 8;

impl Header {
    /// Writes the entry of `key` with the payload that `encode` appends, in the form that it says.
    ///
    /// # Errors
    ///
    /// Those of `encode`, and [`Unreadable::Length`] when a count or a length does not fit its field.
    pub(crate) fn encode<E: From<Unreadable>>(
        &self,
        key: &Name,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Form, E>,
    ) -> Result<Vec<u8>, E> {
        self.encode_flagged(key, |out| encode(out).map(Form::flags))
    }

    /// Appends the entry of `key` that says that there is nothing.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode).
    pub(crate) fn encode_empty(&self, key: &Name) -> Result<Vec<u8>, Unreadable> {
        self.encode_flagged(key, |_| Ok(EMPTY))
    }

    fn encode_flagged<E: From<Unreadable>>(
        &self,
        key: &Name,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<u8, E>,
    ) -> Result<Vec<u8>, E> {
        let mut out = Vec::with_capacity(FIXED + 64 * self.dependencies.len() + 512);
        self.put_fixed(key, &mut out)?;
        for dependency in self.dependencies.iter().filter(|dependency| !dependency.register.is_epoch()) {
            put_dependency(dependency, &mut out)?;
        }
        let length_at = out.len();
        out.extend_from_slice(&[0; 4 + CHECKSUM]);
        let payload_at = out.len();
        out[FLAGS_AT] = encode(&mut out)? | if self.even_invalidated { EVEN_INVALIDATED } else { 0 };
        let length = u32::try_from(out.len() - payload_at).map_err(|_| Unreadable::Length)?;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        let checksum = checksum(&out[..length_at + 4], &out[payload_at..]);
        out[length_at + 4..payload_at].copy_from_slice(&checksum.to_le_bytes());
        Ok(out)
    }

    fn put_fixed(&self, key: &Name, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let mut epochs = self.dependencies.iter().filter(|dependency| dependency.register.is_epoch());
        let epoch = epochs.next().map(|epoch| epoch.token);
        let dependencies = self.dependencies.len() - usize::from(epoch.is_some());
        if dependencies > MOST_DEPENDENCIES {
            return Err(Unreadable::Length);
        }
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[FORMAT, 0]);
        out.extend_from_slice(&digest(key).to_le_bytes());
        out.extend_from_slice(&self.schema.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&millis(self.ttl).to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.load.as_millis()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&epoch.unwrap_or(NO_EPOCH).0.to_le_bytes());
        out.extend_from_slice(&(dependencies as u16).to_le_bytes());
        Ok(())
    }

    /// What the first of the bytes of the entry of `key` say, which nothing vouches for: the checksum is of all of them.
    ///
    /// # Errors
    ///
    /// [`Unreadable::Length`] if that is not all of the header, or another, which says what was off first.
    pub(crate) fn glimpse(key: &Name, head: &Bytes) -> Result<Self, Unreadable> {
        let Head { header, of_key, .. } = Reader { bytes: head, at: 0 }.head(&[])?;
        if of_key == digest(key) { Ok(header) } else { Err(Unreadable::Key) }
    }
}

impl Stored {
    /// Reads the entry of `key` from bytes of any origin. Registers that are `known` already are not made anew.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], which says what was off first.
    pub(crate) fn decode(key: &Name, bytes: &Bytes, known: &[Register]) -> Result<Self, Unreadable> {
        let mut reader = Reader { bytes, at: 0 };
        let Head { flags, of_key, header } = reader.head(known)?;
        let payload = reader.payload()?;
        if of_key != digest(key) {
            return Err(Unreadable::Key);
        }
        let payload = match flags {
            EMPTY if payload.is_empty() => Payload::Empty,
            EMPTY => return Err(Unreadable::Format),
            flags => Payload::Bytes(Packed { form: Form::of_flags(flags)?, bytes: payload }),
        };
        Ok(Self { header, payload })
    }
}

/// What stands before the payload.
struct Head {
    /// Those of the payload.
    flags: u8,
    of_key: u128,
    header: Header,
}

/// Reads forward, and never past the end.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn slice(&mut self, length: usize) -> Result<&[u8], Unreadable> {
        let end = self.at.checked_add(length).ok_or(Unreadable::Length)?;
        let slice = self.bytes.get(self.at..end).ok_or(Unreadable::Length)?;
        self.at = end;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.slice(N)?.try_into().map_err(|_| Unreadable::Length)
    }

    fn head(&mut self, known: &[Register]) -> Result<Head, Unreadable> {
        if self.take::<2>()? != *MAGIC || self.take::<1>()? != [FORMAT] {
            return Err(Unreadable::Format);
        }
        let [all] = self.take()?;
        let flags = all & !EVEN_INVALIDATED;
        if flags != EMPTY && flags & !Form::FLAGS != 0 {
            return Err(Unreadable::Format);
        }
        let of_key = u128::from_le_bytes(self.take()?);
        let mut header = Header {
            schema: u64::from_le_bytes(self.take()?),
            version: u32::from_le_bytes(self.take()?),
            created: u64::from_le_bytes(self.take()?),
            ttl: Duration::from_millis(u64::from_le_bytes(self.take()?)),
            load: Duration::from_millis(u32::from_le_bytes(self.take()?).into()),
            even_invalidated: all & EVEN_INVALIDATED != 0,
            dependencies: Vec::new(),
        };
        let epoch = Token(u128::from_le_bytes(self.take()?));
        let dependencies = u16::from_le_bytes(self.take()?);
        if usize::from(dependencies) > MOST_DEPENDENCIES {
            return Err(Unreadable::Length);
        }
        // They may not be there, so only a little room is made for what is only said.
        header.dependencies.reserve_exact(usize::from(dependencies).min(FEW) + 1);
        if epoch != NO_EPOCH {
            header.dependencies.push(Dependency { register: epoch::register(), token: epoch });
        }
        for _ in 0..dependencies {
            header.dependencies.push(self.dependency(known)?);
        }
        Ok(Head { flags, of_key, header })
    }

    fn dependency(&mut self, known: &[Register]) -> Result<Dependency, Unreadable> {
        let [kind] = self.take()?;
        let [length] = self.take()?;
        let text = self.slice(length.into())?;
        let is_it = |register: &&Register| match register {
            Register::Tag(name) => kind == b't' && name.as_str().as_bytes() == text,
            Register::Key(name) => kind == b'k' && name.as_str().as_bytes() == text,
        };
        let register = match (known.iter().find(is_it), kind) {
            (Some(register), _) => register.clone(),
            (None, b't') => Register::Tag(Name::stored(text).ok_or(Unreadable::Format)?),
            (None, b'k') => Register::Key(Name::stored(text).ok_or(Unreadable::Format)?),
            (None, _) => return Err(Unreadable::Format),
        };
        let token = Token(u128::from_le_bytes(self.take()?));
        Ok(Dependency { register, token })
    }

    /// The rest, if it is as long as it says and nothing in front of it or in it was changed.
    fn payload(&mut self) -> Result<Bytes, Unreadable> {
        let length = u32::from_le_bytes(self.take()?);
        let header = &self.bytes[..self.at];
        let expected = u64::from_le_bytes(self.take()?);
        let payload = self.bytes.slice(self.at..);
        if usize::try_from(length) != Ok(payload.len()) {
            return Err(Unreadable::Length);
        }
        if checksum(header, &payload) != expected {
            return Err(Unreadable::Checksum);
        }
        Ok(payload)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(packed) => write!(f, "{} bytes", packed.bytes.len()),
            Self::Empty => f.write_str("Empty"),
        }
    }
}

fn put_dependency(dependency: &Dependency, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    let (kind, name) = match &dependency.register {
        Register::Tag(name) => (b't', name.as_str()),
        Register::Key(name) => (b'k', name.as_str()),
    };
    out.push(kind);
    out.push(u8::try_from(name.len()).map_err(|_| Unreadable::Length)?);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&dependency.token.0.to_le_bytes());
    Ok(())
}

fn digest(key: &Name) -> u128 {
    xxh3_128(key.as_str().as_bytes())
}

fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(header))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn dependencies() -> impl Strategy<Value = Vec<Dependency>> {
        let one = (any::<bool>(), "[a-z:]{1,200}", any::<u128>()).prop_map(|(tag, name, token)| {
            let name = Name::new(name.as_bytes());
            let register = if tag { Register::Tag(name) } else { Register::Key(name) };
            Dependency { register, token: Token(token) }
        });
        vec(one, 0..8)
    }

    fn headers() -> impl Strategy<Value = Header> {
        let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
        (numbers, any::<u128>(), dependencies()).prop_map(
            |((schema, version, created, ttl, load), epoch, mut dependencies)| {
                if epoch % 2 == 1 {
                    dependencies.insert(0, Dependency { register: epoch::register(), token: Token(epoch) });
                }
                Header {
                    schema,
                    version,
                    created,
                    ttl: Duration::from_millis(ttl),
                    load: Duration::from_millis(load.into()),
                    even_invalidated: version % 2 == 1,
                    dependencies,
                }
            },
        )
    }

    fn encoded(header: &Header, key: &Name, payload: &[u8]) -> Vec<u8> {
        let put = |out: &mut Vec<u8>| {
            let start = out.len();
            out.extend_from_slice(payload);
            Ok::<_, Unreadable>(Packing::default().pack(out, start))
        };
        header.encode(key, put).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_again(header in headers(), payload in vec(any::<u8>(), 0..300)) {
            let key = Name::new(b"user:7");
            let bytes = Bytes::from(encoded(&header, &key, &payload));
            let stored = Stored::decode(&key, &bytes, &[]).unwrap();
            prop_assert_eq!(stored.header, header);
            prop_assert!(matches!(stored.payload, Payload::Bytes(read) if *read.bytes == *payload));
        }

        #[test]
        fn the_same_is_read_whatever_registers_are_known(header in headers(), known in dependencies()) {
            let key = Name::new(b"user:7");
            let bytes = Bytes::from(encoded(&header, &key, b"{}"));
            let own = || header.dependencies.iter().map(|dependency| dependency.register.clone());
            let alike = own().map(|register| match register {
                Register::Tag(name) => Register::Key(name),
                Register::Key(name) => Register::Tag(name),
            });
            let others = || known.iter().map(|dependency| dependency.register.clone());
            for known in [others().chain(own()).collect::<Vec<_>>(), alike.chain(others()).chain(own()).collect()] {
                prop_assert_eq!(&Stored::decode(&key, &bytes, &known).unwrap().header, &header);
            }
        }

        #[test]
        fn nothing_is_read_as_nothing_and_no_value_as_nothing(header in headers(), flip in 1..=255_u8) {
            let key = Name::new(b"user:7");
            let empty = header.encode_empty(&key).unwrap();
            prop_assert!(matches!(Stored::decode(&key, &empty.clone().into(), &[]).unwrap().payload, Payload::Empty));
            for mut bytes in [empty, encoded(&header, &key, b""), encoded(&header, &key, b"null")] {
                bytes[FLAGS_AT] ^= flip;
                prop_assert!(Stored::decode(&key, &bytes.into(), &[]).is_err());
            }
        }

        #[test]
        fn a_changed_byte_is_never_a_value(
            header in headers(), payload in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
        ) {
            let key = Name::new(b"user:7");
            let mut bytes = encoded(&header, &key, &payload);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Stored::decode(&key, &bytes.into(), &[]).is_err());
        }

        #[test]
        fn cut_or_padded_bytes_are_never_a_value(header in headers(), cut in any::<prop::sample::Index>(), pad in 1..9_usize) {
            let key = Name::new(b"user:7");
            let bytes = encoded(&header, &key, b"{}");
            let short = bytes[..cut.index(bytes.len())].to_vec();
            let long = [bytes, vec![0; pad]].concat();
            prop_assert!(Stored::decode(&key, &short.into(), &[]).is_err());
            prop_assert!(Stored::decode(&key, &long.into(), &[]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..400), framed in any::<bool>()) {
            let bytes = if framed { [b"cr\x02\x00".to_vec(), bytes].concat() } else { bytes };
            prop_assert!(Stored::decode(&Name::new(b"user:7"), &bytes.into(), &[]).is_err());
        }
    }

    /// Of an entry with so many dependencies.
    fn header(dependencies: usize) -> Header {
        let dependency = |number: usize| Dependency {
            register: Register::Tag(Name::new(number.to_string().as_bytes())),
            token: Token(1),
        };
        Header {
            schema: 1,
            version: 0,
            created: 0,
            ttl: Duration::from_secs(1),
            load: Duration::ZERO,
            even_invalidated: false,
            dependencies: (0..dependencies).map(dependency).collect(),
        }
    }

    #[test]
    fn an_entry_has_as_many_dependencies_as_it_may_and_no_more() {
        let (key, most) = (Name::new(b"user:7"), header(MOST_DEPENDENCIES));
        let bytes = Bytes::from(encoded(&most, &key, b"{}"));
        assert_eq!(Stored::decode(&key, &bytes, &[]).unwrap().header, most);
        assert_eq!(header(MOST_DEPENDENCIES + 1).encode_empty(&key), Err(Unreadable::Length));
    }

    #[test]
    fn an_entry_moved_to_another_key_is_no_entry() {
        let header = header(0);
        let bytes = Bytes::from(encoded(&header, &Name::new(b"user:7"), b"{}"));
        assert_eq!(Stored::decode(&Name::new(b"user:8"), &bytes, &[]).unwrap_err(), Unreadable::Key);
    }
}
