use std::collections::BTreeMap;
use std::collections::HashMap;

use proptest::collection::btree_map;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap as _;

use super::canonical;

/// One of every shape that serde knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
enum Tree {
    Nothing,
    Unit(()),
    Flag(bool),
    Signed(i64),
    Unsigned(u128),
    Float(f64),
    Text(String),
    Optional(Option<Option<String>>),
    Pair(Box<Self>, Box<Self>),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Fields { a: Box<Self>, b: String },
    New(Wrapped),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Wrapped(Vec<Option<i8>>);

fn tree() -> impl Strategy<Value = Tree> {
    let text = || "[A-C\"{}\\[\\]]{0,3}";
    let leaf = prop_oneof![
        Just(Tree::Nothing),
        Just(Tree::Unit(())),
        any::<bool>().prop_map(Tree::Flag),
        (-2_i64..3).prop_map(Tree::Signed),
        (0_u128..3).prop_map(Tree::Unsigned),
        (-2.0_f64..2.0).prop_map(|number| Tree::Float(number.round())),
        text().prop_map(Tree::Text),
        prop::option::of(prop::option::of(text())).prop_map(Tree::Optional),
        vec(prop::option::of(-1_i8..2), 0..3).prop_map(|list| Tree::New(Wrapped(list))),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Pair(a.into(), b.into())),
            vec(inner.clone(), 0..3).prop_map(Tree::List),
            btree_map(text(), inner.clone(), 0..3).prop_map(Tree::Map),
            (inner, text()).prop_map(|(a, b)| Tree::Fields { a: a.into(), b }),
        ]
    })
}

/// Emits its entries in the order they are in.
struct InOrder<'a>(&'a [(String, u8)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Whether floats of `0.0` differ in sign, which `==` does not see.
fn form(tree: &Tree) -> Vec<u8> {
    canonical(tree).unwrap()
}

fn without_signed_zeros(tree: &Tree) -> String {
    format!("{tree:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn different_values_have_different_forms(one in tree(), other in tree()) {
        prop_assert_eq!(without_signed_zeros(&one) == without_signed_zeros(&other), form(&one) == form(&other));
    }

    #[test]
    fn no_form_is_the_beginning_of_another(one in tree(), other in tree()) {
        let (one, other) = (form(&one), form(&other));
        prop_assert!(one == other || !one.starts_with(&other));
    }

    #[test]
    fn the_order_of_a_map_does_not_count(map in btree_map("[a-c]{0,3}", any::<u8>(), 0..6), seed in any::<u64>()) {
        let mut entries: Vec<_> = map.clone().into_iter().collect();
        let mut state = seed;
        for at in (1..entries.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            entries.swap(at, (state >> 33) as usize % (at + 1));
        }
        prop_assert_eq!(canonical(&InOrder(&entries)), canonical(&map));
        let hashed: HashMap<_, _> = entries.into_iter().collect();
        prop_assert_eq!(canonical(&hashed), canonical(&map));
    }

    #[test]
    fn whole_numbers_are_written_alike_whatever_their_type(number in any::<i32>()) {
        prop_assert_eq!(canonical(&number), canonical(&i128::from(number)));
        prop_assert_eq!(canonical(&number.unsigned_abs()), canonical(&u128::from(number.unsigned_abs())));
        prop_assert_ne!(canonical(&number), canonical(&f64::from(number)));
    }
}

#[test]
fn what_json_takes_for_one_is_told_apart() {
    let forms = [
        canonical(&None::<Option<()>>),
        canonical(&Some(None::<()>)),
        canonical(&Some(Some(None::<()>))),
        canonical(&()),
        canonical(&0_u8),
        canonical(&0.0),
        canonical(&-0.0),
        canonical("0"),
        canonical(""),
        canonical("Nothing"),
        canonical(&Tree::Nothing),
        canonical(&Tree::Unit(())),
        canonical(&[(); 0]),
        canonical(&BTreeMap::<u8, u8>::new()),
        canonical(&BTreeMap::from([(1, 2)])),
        canonical(&BTreeMap::from([("1", 2)])),
        canonical(&[[1, 2], [3, 4]]),
        canonical(&([1, 2, 3], 4)),
    ];
    for (at, form) in forms.iter().enumerate() {
        assert!(form.is_some() && !forms[..at].contains(form), "number {at}");
    }
}

#[test]
fn the_order_of_fields_does_not_count() {
    #[derive(Serialize)]
    struct One {
        page: u8,
        size: Option<u8>,
    }
    #[derive(Serialize)]
    struct Other {
        size: u64,
        page: u64,
    }
    assert_eq!(canonical(&One { page: 1, size: Some(2) }), canonical(&Other { size: 2, page: 1 }));
    assert_ne!(canonical(&One { page: 1, size: Some(2) }), canonical(&Other { size: 1, page: 2 }));
}

#[test]
fn the_form_is_the_same_in_every_release() {
    let tree = Tree::Fields {
        a: Tree::List(vec![Tree::Float(0.5), Tree::Signed(-7), Tree::Optional(Some(None))]).into(),
        b: "x".to_owned(),
    };
    assert_eq!(
        blake3::hash(&form(&tree)).to_hex().as_str(),
        "3b573481c9932f9718b95450397ed0cfff2398fe06597a3a89dac115a6c29ca8"
    );
}

#[test]
fn what_does_not_serialize_has_no_form() {
    struct Failing;
    impl Serialize for Failing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("on purpose"))
        }
    }
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    struct Printing;
    impl Serialize for Printing {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&Unprintable)
        }
    }
    assert_eq!(canonical(&Failing), None);
    assert_eq!(canonical(&Printing), None);
    assert_eq!(canonical(&(1, vec![Some(f64::NAN)])), None);
    assert_eq!(canonical(&f32::INFINITY), None);
    assert_eq!(canonical(&BTreeMap::from([("a", Failing)])), None);
}
