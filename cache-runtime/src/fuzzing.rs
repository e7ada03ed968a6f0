//! The places that take bytes of any origin, as a fuzzer calls them. Nothing here is promised to anybody else.
//!
//! Each says what must hold of whatever it is given, and panics if it does not. `fuzz/` runs them for hours, the tests below for a moment.

use bytes::Bytes;

use crate::envelope::Payload;
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::invalidation::Record;
use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::SecretOf;
use crate::key::Template;
use crate::key::Text;

/// Bytes that a store returns are an entry that is encoded to the same bytes again, or none.
pub fn envelope(bytes: &[u8]) {
    let key = Name::new(b"user:7");
    let Ok(stored) = Stored::decode(&key, &Bytes::copy_from_slice(bytes), &[]) else { return };
    let Payload::Bytes(payload) = &stored.payload else { panic!("decoded without a decoder") };
    if let Ok(plain) = payload.unpacked(LARGEST) {
        assert!(plain.len() <= LARGEST, "unpacked to more than it may");
    }
    let put = |out: &mut Vec<u8>| {
        out.extend_from_slice(&payload.bytes);
        Ok::<_, Unreadable>(payload.form)
    };
    let again = stored.header.encode(&key, put);
    assert_eq!(again.as_deref(), Ok(bytes), "an entry that is read is not the one that was written");
}

const LARGEST: usize = 1000;

/// A template that reads well is taken, and rendered to what it reads as. Different parts make different texts.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(expected) = read_plainly(text).filter(|_| text.len() <= LONGEST_TEMPLATE) else { return };
    // Templates are literals, which live for ever.
    let template = Template::new(Box::leak(text.into()));
    let render = |part: &dyn Fn(usize) -> String| {
        let parts: Vec<String> = (0..template.placeholders()).map(part).collect();
        let parts: Vec<&dyn KeyPart> = parts.iter().map(|part| part as &dyn KeyPart).collect();
        let mut out = Text::new();
        template.render(&parts, &mut KeyWriter::new(&mut out, SecretOf::Known(&None)));
        String::from_utf8_lossy(&out).into_owned()
    };
    let numbered = render(&|at| format!("part-{at}"));
    assert_eq!(numbered, expected, "rendered otherwise than it reads");
    for changed in 0..template.placeholders() {
        let other = render(&|at| format!("part-{at}{}", if at == changed { ":" } else { "" }));
        assert_ne!(numbered, other, "a part makes no difference");
    }
}

const LONGEST_TEMPLATE: usize = 400;

/// What a template reads as with `part-0`, `part-1` and so on for its parts, found in the plainest way; `None` if it is malformed.
fn read_plainly(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    let (mut parts, mut separated) = (0, true);
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        match letter {
            '{' | '}' if after.starts_with(letter) => {
                out.push(letter);
                separated = true;
                rest = &after[1..];
            }
            '{' => {
                out.push_str(&format!("part-{parts}"));
                rest = after.split_once('}').filter(|(inside, _)| separated && has_known_spec(inside))?.1;
                parts += 1;
                separated = false;
            }
            '}' | '\0' => return None,
            _ => {
                out.push(letter);
                separated |= !(letter.is_ascii_alphanumeric() || "-._~%".contains(letter));
                rest = after;
            }
        }
    }
    Some(out)
}

fn has_known_spec(placeholder: &str) -> bool {
    placeholder.split_once(':').is_none_or(|(_, spec)| ["json", "hash", "display"].contains(&spec))
}

/// Text is a record whose text is that record again, or none.
pub fn record(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(record) = text.parse::<Record>() else { return };
    let written = record.to_string();
    assert!(written.len() <= Record::LONGEST && written.is_ascii(), "no text of a record: {written}");
    assert_eq!(written.parse(), Ok(record), "a record that is read is not the one that was written");
}

/// A URL is understood or refused, and never is a password of it shown or repeated: not by a builder, not by settings and not by an error.
pub fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    shows_nothing(text, text);
    // Where a password stands by the book, whatever comes after it.
    for scheme in ["redis", "rediss", "redis+sentinel", "memcached"] {
        shows_nothing(&format!("{scheme}://ann:{PASSWORD}@{text}"), text);
    }
}

/// What no fuzzer writes by itself.
const PASSWORD: &str = "hunter2";

fn shows_nothing(url: &str, rest: &str) {
    let shown = format!("{:?}", crate::Cache::builder().url(url));
    assert!(!shown.contains(PASSWORD), "a builder shows {shown}");
    #[cfg(feature = "redis")]
    {
        let settings = crate::store::redis::settings(url);
        let shown = settings.map_or_else(|error| error, |settings| format!("{settings:?}"));
        assert!(rest.contains(PASSWORD) || !shown.contains(PASSWORD), "{shown}");
    }
    #[cfg(feature = "memcached")]
    {
        let settings = crate::store::memcached::settings(url);
        let shown = settings.map_or_else(|error| error, |settings| format!("{settings:?}"));
        assert!(rest.contains(PASSWORD) || !shown.contains(PASSWORD), "{shown}");
    }
    #[cfg(not(any(feature = "redis", feature = "memcached")))]
    let _ = rest;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::Header;
    use crate::envelope::Packing;
    use crate::token::Dependency;
    use crate::token::Register;
    use crate::token::Token;

    /// A true entry, whose header the properties then change.
    fn entry() -> Vec<u8> {
        let register = Register::Tag(Name::new(b"users"));
        let header = Header {
            schema: 7,
            version: 1,
            created: 2,
            ttl: Duration::from_secs(60),
            load: Duration::from_millis(3),
            even_invalidated: false,
            dependencies: vec![Dependency { register, token: Token(9) }],
        };
        let put = |out: &mut Vec<u8>| {
            let start = out.len();
            out.extend_from_slice(b"{}");
            Ok::<_, Unreadable>(Packing::default().pack(out, start))
        };
        header.encode(&Name::new(b"user:7"), put).unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_none(bytes in vec(any::<u8>(), 0..300)) {
            envelope(&bytes);
        }

        #[test]
        fn an_entry_with_pieces_exchanged_is_an_entry_or_none(
            at in any::<prop::sample::Index>(), length in 0..20_usize, piece in vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = entry();
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, piece);
            envelope(&bytes);
        }

        #[test]
        fn any_text_is_a_template_or_none(text in "[a{}:.é-]{0,16}|\\PC{0,12}|(\\{[ab]?\\}[:.{}]{0,2}){0,7}") {
            template(text.as_bytes());
        }

        #[test]
        fn what_is_taken_is_what_reads_well(text in "[a{}:-]{0,10}|(\\{[ab]?\\}[:.{}]{0,2}){0,4}") {
            let text: &'static str = text.leak();
            let taken = std::panic::catch_unwind(|| Template::new(text)).is_ok();
            prop_assert_eq!(taken, read_plainly(text).is_some());
        }

        #[test]
        fn any_text_is_a_record_or_none(
            namespace in "shop(:[a-z]{1,3})?|\\PC{0,9}",
            names in vec("(key|tag):[a-z:#0-9]{0,6}|key:#[0-9a-f]{40}|\\PC{0,9}", 0..4), end in " ?\\.?|\\PC{0,3}",
        ) {
            record(format!("v1 {namespace} {}{end}", names.join(" ")).as_bytes());
            record(end.as_bytes());
        }

        #[test]
        fn any_text_is_a_url_or_none(
            scheme in "redis|redis\\+unix|memory|rediss|\\PC{0,6}", rest in "\\PC{0,20}|[a-z0-9:@/?=&%.\\[\\]]{0,24}",
        ) {
            url(format!("{scheme}:{rest}").as_bytes());
            url(rest.as_bytes());
        }
    }

    #[test]
    fn a_true_entry_is_one() {
        envelope(&entry());
        assert!(Stored::decode(&Name::new(b"user:7"), &entry().into(), &[]).is_ok());
    }
}
