use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::btree_map;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use super::*;
use crate::outcome::Cacheable;

#[cfg(feature = "msgpack")]
const CODECS: [Codec; 2] = [Codec::Json, Codec::MessagePack];
#[cfg(not(feature = "msgpack"))]
const CODECS: [Codec; 1] = [Codec::Json];

fn encoded<V: Cacheable>(value: &V, codec: Codec) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    codec.encode(value, &mut out).then(|| out.split_off(6))
}

fn decoded<V: Cacheable>(bytes: &[u8], codec: Codec) -> Option<V> {
    codec.decode(bytes)
}

fn again<V: Cacheable>(value: &V, codec: Codec) -> Option<V> {
    decoded(&encoded(value, codec)?, codec)
}

fn is_the_same_again<V: Cacheable + PartialEq + fmt::Debug>(value: &V) {
    for codec in CODECS {
        assert_eq!(again(value, codec).as_ref(), Some(value), "{codec:?}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    number: u64,
    signed: i64,
    wide: u128,
    wide_signed: i128,
    float: f64,
    short_float: f32,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    hash: [u8; 20],
    tuple: (u8, String, Option<bool>),
    unit: (),
    optional: Option<Kind>,
    kinds: Vec<Kind>,
    by_name: BTreeMap<String, Kind>,
    by_number: BTreeMap<i32, f64>,
    #[serde(flatten)]
    more: More,
    untagged: Untagged,
    tagged: Tagged,
    adjacent: Adjacent,
    list: Option<Box<List>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Newtype(u32),
    Optional(Option<String>),
    Tuple(i16, String),
    Struct { left: f64, right: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct More {
    also: Option<i64>,
    rest: [u8; 16],
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Pair([u8; 2]),
    Named { value: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    One { count: u64 },
    Two(More),
    Three,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "content")]
enum Adjacent {
    One(u64),
    Two { text: String },
    Three,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct List {
    value: u8,
    next: Option<Box<Self>>,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<u32>().prop_map(Kind::Newtype),
        any::<Option<String>>().prop_map(Kind::Optional),
        any::<(i16, String)>().prop_map(|(number, text)| Kind::Tuple(number, text)),
        (finite(), any::<Vec<u8>>()).prop_map(|(left, right)| Kind::Struct { left, right }),
    ]
}

fn finite() -> impl Strategy<Value = f64> {
    use proptest::num::f64::*;
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

fn more() -> impl Strategy<Value = More> {
    (any::<Option<i64>>(), any::<[u8; 16]>(), vec(any::<String>(), 0..2)).prop_map(|(also, rest, skipped)| More {
        also,
        rest,
        skipped,
    })
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        any::<i64>().prop_map(Untagged::Number),
        any::<String>().prop_map(Untagged::Text),
        any::<[u8; 2]>().prop_map(Untagged::Pair),
        finite().prop_map(|value| Untagged::Named { value }),
    ]
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![any::<u64>().prop_map(|count| Tagged::One { count }), more().prop_map(Tagged::Two), Just(Tagged::Three),]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        any::<u64>().prop_map(Adjacent::One),
        any::<String>().prop_map(|text| Adjacent::Two { text }),
        Just(Adjacent::Three),
    ]
}

fn list(values: Vec<u8>) -> Option<Box<List>> {
    values.into_iter().fold(None, |next, value| Some(Box::new(List { value, next })))
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = any::<(bool, i8, u64, i64, u128, i128, char)>();
    let floats = (finite(), proptest::num::f32::NORMAL);
    let texts = any::<(String, Vec<u8>, [u8; 20], (u8, String, Option<bool>))>();
    let kinds = (proptest::option::of(kinds()), vec(kinds(), 0..3), btree_map(any::<String>(), kinds(), 0..3));
    let enums = (more(), untagged(), tagged(), adjacent());
    let rest = (btree_map(any::<i32>(), finite(), 0..3), vec(any::<u8>(), 0..100));
    (numbers, floats, texts, kinds, enums, rest).prop_map(|(numbers, floats, texts, kinds, enums, rest)| Everything {
        flag: numbers.0,
        small: numbers.1,
        number: numbers.2,
        signed: numbers.3,
        wide: numbers.4,
        wide_signed: numbers.5,
        letter: numbers.6,
        float: floats.0,
        short_float: floats.1,
        text: texts.0,
        bytes: texts.1,
        hash: texts.2,
        tuple: texts.3,
        unit: (),
        optional: kinds.0,
        kinds: kinds.1,
        by_name: kinds.2,
        by_number: rest.0,
        more: enums.0,
        untagged: enums.1,
        tagged: enums.2,
        adjacent: enums.3,
        list: list(rest.1),
    })
}

/// As [`Everything`] without what flattening cannot do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    #[serde(flatten)]
    inner: WideInner,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WideInner {
    wide: u128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldUser {
    id: u64,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewUser {
    #[serde(default)]
    email: Option<String>,
    name: String,
    id: u64,
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_to_the_last_bit(value in everything()) {
        for codec in CODECS {
            // Flattened and tagged content cannot be wider than 64 bits, which these are not.
            let read = again(&value, codec);
            prop_assert_eq!(read.as_ref(), Some(&value), "{:?}", codec);
        }
    }

    #[test]
    fn bytes_that_are_cut_short_or_longer_are_no_value(value in everything(), cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        for codec in CODECS {
            let whole = encoded(&value, codec).unwrap();
            prop_assert_eq!(decoded::<Everything>(&whole[..cut.index(whole.len())], codec), None);
            let more = if codec == Codec::Json { more | 0x80 } else { more };
            prop_assert_eq!(decoded::<Everything>(&[whole, vec![more]].concat(), codec), None);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        for codec in CODECS {
            let _ = decoded::<Everything>(&bytes, codec);
            let _ = decoded::<Nest>(&bytes, codec);
            let _ = decoded::<Vec<Untagged>>(&bytes, codec);
        }
    }

    #[test]
    fn changed_bytes_are_survived(value in everything(), changes in vec(any::<(prop::sample::Index, u8)>(), 1..4)) {
        for codec in CODECS {
            let mut bytes = encoded(&value, codec).unwrap();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = decoded::<Everything>(&bytes, codec);
        }
    }
}

#[test]
fn a_field_that_was_added_or_moved_is_read_rightly() {
    for codec in CODECS {
        let old = OldUser { id: 7, name: "Ada".into() };
        let new = NewUser { email: None, name: "Ada".into(), id: 7 };
        assert_eq!(decoded(&encoded(&old, codec).unwrap(), codec), Some(new.clone()), "{codec:?}");
        assert_eq!(decoded(&encoded(&new, codec).unwrap(), codec), Some(old), "{codec:?}");
    }
}

#[test]
fn floats_come_back_to_the_last_bit() {
    // One that a fast parser reads a little off.
    is_the_same_again(&vec![0.1 + 0.2, 5e-324, f64::MAX, -0.0, 1.4e-45, 9_007_199_254_740_993.0]);
    is_the_same_again(&2.2250738585072014e-308);
    is_the_same_again(&31.245270191439438);
    is_the_same_again(&vec![f32::MIN_POSITIVE, 16_777_217.0, 3.4e38]);
}

#[test]
fn wide_numbers_come_back_and_under_flatten_are_no_other_number() {
    is_the_same_again(&(u128::MAX, i128::MIN, 7_u128));
    for wide in [7, u64::MAX.into(), u128::MAX] {
        let value = Wide { inner: WideInner { wide } };
        for codec in CODECS {
            assert_eq!(again(&value, codec), None, "{codec:?} {wide}");
        }
    }
}

#[test]
fn a_key_that_json_cannot_write_is_not_stored() {
    let map = BTreeMap::from([((1_u8, "a".to_owned()), 2_u8)]);
    for codec in CODECS {
        let read = again(&map, codec);
        assert_eq!(read, (codec != Codec::Json).then(|| map.clone()), "{codec:?}");
    }
    is_the_same_again(&BTreeMap::from([('a', 1_u8), ('b', 2)]));
    is_the_same_again(&BTreeMap::from([(true, 1_u8)]));
    is_the_same_again(&BTreeMap::from([(u64::MAX, 1_u8)]));
}

fn kept<V: Cacheable>(value: &V, codec: Codec) -> Option<V> {
    if codec.is_faithful_to(value) { again(value, codec) } else { None }
}

#[test]
fn what_is_no_number_is_stored_as_itself_or_not_at_all() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for codec in CODECS {
            let bits = (codec != Codec::Json).then(|| odd.to_bits());
            assert_eq!(kept(&odd, codec).map(f64::to_bits), bits, "{codec:?} {odd}");
            assert_eq!(kept(&vec![Some(odd)], codec).map(|read| read[0].unwrap().to_bits()), bits, "{codec:?} {odd}");
        }
    }
}

#[test]
fn nothing_in_something_is_not_stored_as_nothing() {
    for codec in CODECS {
        assert_eq!(kept(&Some(None::<u8>), codec), None, "{codec:?}");
        assert_eq!(kept(&Some(()), codec), None, "{codec:?}");
        assert_eq!(kept(&Some(serde_json::Value::Null), codec), None, "{codec:?}");
        assert_eq!(kept(&None::<Option<u8>>, codec), Some(None), "{codec:?}");
        assert_eq!(kept(&Some(Some(7_u8)), codec), Some(Some(Some(7_u8))), "{codec:?}");
        assert_eq!(kept(&vec![Some(1_u8), None], codec), Some(vec![Some(1), None]), "{codec:?}");
        assert_eq!(kept(&Some(Some(Kind::Optional(None))), codec), Some(Some(Some(Kind::Optional(None)))), "{codec:?}");
    }
}

/// What is easily written as something else.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Odd {
    ratio: Option<f64>,
    nested: Option<Option<u32>>,
    unit: Option<()>,
    many: Vec<Option<f32>>,
    kinds: Vec<OddKind>,
    by_name: BTreeMap<String, Option<Option<bool>>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum OddKind {
    Newtype(Option<()>),
    Tuple(f32, Option<Option<u8>>),
    Struct { inner: Option<Option<String>> },
}

fn odd_kinds() -> impl Strategy<Value = OddKind> {
    prop_oneof![
        any::<Option<()>>().prop_map(OddKind::Newtype),
        (proptest::num::f32::ANY, any::<Option<Option<u8>>>())
            .prop_map(|(float, nested)| OddKind::Tuple(float, nested)),
        any::<Option<Option<String>>>().prop_map(|inner| OddKind::Struct { inner }),
    ]
}

fn odd() -> impl Strategy<Value = Odd> {
    let floats =
        (proptest::option::of(proptest::num::f64::ANY), vec(proptest::option::of(proptest::num::f32::ANY), 0..2));
    let rest = (vec(odd_kinds(), 0..2), btree_map(any::<String>(), any::<Option<Option<bool>>>(), 0..2));
    (floats, any::<(Option<Option<u32>>, Option<()>)>(), rest)
        .prop_map(|((ratio, many), (nested, unit), (kinds, by_name))| Odd { ratio, nested, unit, many, kinds, by_name })
}

proptest! {
    #[test]
    fn what_is_stored_is_read_as_itself_and_what_would_be_is_stored(value in odd()) {
        // Numbers that are none are unlike themselves, but not when they are printed.
        let printed = |value: &Odd| format!("{value:?}");
        for codec in CODECS {
            let would_be = again(&value, codec).filter(|read| printed(read) == printed(&value));
            let kept = kept(&value, codec);
            prop_assert_eq!(kept.as_ref().map(printed), would_be.as_ref().map(printed), "{:?} of {:?}", codec, value);
        }
    }

    #[test]
    fn what_every_codec_can_write_is_faithful(value in everything()) {
        for codec in CODECS {
            prop_assert!(kept(&value, codec).is_some(), "{:?}", codec);
        }
    }
}

/// Levels that take few bytes each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Nest {
    In(Box<Self>),
    Out,
}

fn nested(depth: usize) -> Nest {
    (0..depth).fold(Nest::Out, |inner, _| Nest::In(Box::new(inner)))
}

#[test]
fn depth_is_bounded_whatever_the_type() {
    for codec in CODECS {
        assert!(again(&nested(100), codec).is_some(), "{codec:?}");
        assert!(again(&nested(1000), codec).is_none(), "{codec:?}");
    }
    // Deep enough to overflow a stack.
    let json = [r#"{"In":"#.repeat(100_000).into_bytes(), b"1".to_vec()].concat();
    assert_eq!(decoded::<Nest>(&json, Codec::Json), None);
    #[cfg(feature = "msgpack")]
    for level in [b"\x81\xa2In".as_slice(), b"\x91", b"\x81\x01"] {
        let deep = [level.repeat(100_000), b"\xa3Out".to_vec()].concat();
        assert_eq!(decoded::<Nest>(&deep, Codec::MessagePack), None);
        assert_eq!(decoded::<Everything>(&deep, Codec::MessagePack), None);
    }
}

#[cfg(feature = "msgpack")]
mod msgpack {
    use serde::de::SeqAccess;
    use serde::de::Visitor;

    use super::*;

    /// Reserves as much as it is told to, as no careful type does.
    #[derive(Clone, Debug, PartialEq)]
    struct Greedy(Vec<u64>);

    impl Serialize for Greedy {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Greedy {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Numbers;
            impl<'de> Visitor<'de> for Numbers {
                type Value = Greedy;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("numbers")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Greedy, A::Error> {
                    let claimed = seq.size_hint().unwrap_or_default();
                    assert!(claimed <= 1000, "{claimed} elements are claimed");
                    let mut numbers = Vec::with_capacity(claimed);
                    while let Some(number) = seq.next_element()? {
                        numbers.push(number);
                    }
                    Ok(Greedy(numbers))
                }
            }
            deserializer.deserialize_seq(Numbers)
        }
    }

    #[test]
    fn a_claimed_length_that_is_not_there_is_never_believed() {
        is_the_same_again(&Greedy(vec![1, 2, 3]));
        for claim in [b"\xdd\xff\xff\xff\xff".as_slice(), b"\xdd\x00\x10\x00\x00\x01\x02", b"\xdc\xff\xff\x01"] {
            assert_eq!(decoded::<Greedy>(claim, Codec::MessagePack), None);
            assert_eq!(decoded::<(Greedy, u8)>(&[b"\x92", claim].concat(), Codec::MessagePack), None);
        }
        for claim in [b"\xdb\xff\xff\xff\xff".as_slice(), b"\xc6\xff\xff\xff\xffabc", b"\xdf\xff\xff\xff\xff"] {
            assert_eq!(decoded::<String>(claim, Codec::MessagePack), None);
            assert_eq!(decoded::<BTreeMap<String, String>>(claim, Codec::MessagePack), None);
        }
    }

    #[test]
    fn what_a_type_leaves_unread_is_no_value() {
        // An array where an enum wants a map: its content would come after its end.
        assert_eq!(decoded::<Nest>(b"\x91\xa3Out", Codec::MessagePack), None);
        assert_eq!(decoded::<Nest>(b"\xa3Out", Codec::MessagePack), Some(Nest::Out));
        assert_eq!(decoded::<Nest>(b"\xa3Out\xc0", Codec::MessagePack), None);
        assert_eq!(decoded::<u8>(b"\x01\x02", Codec::MessagePack), None);
        assert_eq!(decoded::<()>(b"", Codec::MessagePack), None);
    }

    #[test]
    fn bytes_take_a_byte_each() {
        #[derive(Clone, Debug, PartialEq)]
        struct Raw(Vec<u8>);
        impl Serialize for Raw {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for Raw {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Vec::deserialize(deserializer).map(Raw)
            }
        }
        is_the_same_again(&Raw((0..=255).collect()));
        assert_eq!(encoded(&Raw(vec![200; 1000]), Codec::MessagePack).unwrap().len(), 1003);
    }
}
