//! The law of `#[derive(KeyPart)]`: values that differ are written differently, however they nest.

use std::marker::PhantomData;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::KeyPart;
use crate::key::writer::is_unreserved;
use crate::key_part;

#[derive(Clone, Debug, PartialEq, KeyPart)]
struct New(Option<String>);

#[derive(Clone, Debug, PartialEq, KeyPart)]
struct Typed<T>(u8, PhantomData<fn() -> T>);

#[derive(Clone, Debug, PartialEq, KeyPart)]
struct Unit;

#[derive(Clone, Debug, PartialEq, KeyPart)]
struct Pair<A, B: Clone>(A, B);

#[derive(Clone, Debug, PartialEq, KeyPart)]
struct Named<'a, T: ?Sized> {
    r#type: String,
    a: Option<Box<Shape>>,
    borrowed: &'a T,
}

/// Names that begin alike, and fields that may hold one another's names.
#[derive(Clone, Debug, PartialEq, KeyPart)]
enum Shape {
    A,
    Ab,
    Abc(),
    Text(String),
    Texts(String, String),
    Optional(Option<Option<String>>),
    Wrapped(New),
    Typed(Typed<String>),
    Unit(Unit),
    Pair(Pair<Box<Self>, Vec<Self>>),
    Fields { a: String, ab: String },
    Other { ab: String },
    Borrowed(Named<'static, &'static str>),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[A-C%2E5F7~]{0,3}", Just(String::new()), Just("Ab".to_owned()), Just("a".to_owned())]
}

fn shape() -> impl Strategy<Value = Shape> {
    let optional = || prop::option::of(text());
    let leaf = prop_oneof![
        Just(Shape::A),
        Just(Shape::Ab),
        Just(Shape::Abc()),
        Just(Shape::Unit(Unit)),
        text().prop_map(Shape::Text),
        (text(), text()).prop_map(|(a, b)| Shape::Texts(a, b)),
        prop::option::of(optional()).prop_map(Shape::Optional),
        optional().prop_map(|text| Shape::Wrapped(New(text))),
        (0_u8..3).prop_map(|id| Shape::Typed(Typed(id, PhantomData))),
        (text(), text()).prop_map(|(a, ab)| Shape::Fields { a, ab }),
        text().prop_map(|ab| Shape::Other { ab }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), vec(inner.clone(), 0..3)).prop_map(|(one, more)| Shape::Pair(Pair(one.into(), more))),
            (text(), prop::option::of(inner.prop_map(Box::new)), prop_oneof![Just(&"x"), Just(&"")])
                .prop_map(|(r#type, a, borrowed)| Shape::Borrowed(Named { r#type, a, borrowed })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn different_values_are_written_differently(one in shape(), other in shape()) {
        prop_assert_eq!(one == other, key_part(&one) == key_part(&other));
        let (one, other) = (Some(one), Some(other));
        prop_assert_eq!(one == other, key_part(&one) == key_part(&other));
        prop_assert_ne!(key_part(&one), key_part(&None::<Shape>));
    }

    #[test]
    fn only_harmless_characters_are_written(value in shape()) {
        prop_assert!(key_part(&value).bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
    }
}

#[test]
fn a_newtype_is_written_as_what_it_wraps() {
    assert_eq!(key_part(&New(Some("a b".to_owned()))), key_part(&"a b"));
    assert_eq!(key_part(&New(None)), key_part(&None::<u8>));
    assert_eq!(key_part(&Typed::<String>(7, PhantomData)), "7");
    assert_eq!(key_part(&Pair(1, "x")), key_part(&(1, "x")));
    assert_eq!(key_part(&Shape::Ab), "Ab");
}

#[test]
fn where_a_field_is_declared_does_not_count_and_its_name_does() {
    #[derive(KeyPart)]
    struct One {
        user: u8,
        tenant: u8,
    }
    #[derive(KeyPart)]
    struct Moved {
        tenant: u8,
        user: u8,
    }
    #[derive(KeyPart)]
    struct Renamed {
        owner: u8,
        tenant: u8,
    }
    assert_eq!(key_part(&One { user: 1, tenant: 2 }), key_part(&Moved { tenant: 2, user: 1 }));
    assert_ne!(key_part(&One { user: 1, tenant: 2 }), key_part(&Renamed { owner: 1, tenant: 2 }));
}
