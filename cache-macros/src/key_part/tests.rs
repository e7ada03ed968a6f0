use expect_test::expect_file;

use super::*;

fn derived(item: TokenStream) -> String {
    let tokens = KeyPart::parse(item).unwrap().expand();
    prettyplease::unparse(&syn::parse2(tokens).unwrap())
}

fn mistakes(item: TokenStream) -> Vec<String> {
    let error = KeyPart::parse(item).err();
    error.into_iter().flatten().map(|error| error.to_string()).collect()
}

#[test]
fn every_shape() {
    let structs = [
        quote!(
            struct Id<T>(u64, PhantomData<fn() -> T>);
        ),
        quote!(
            struct Page {
                size: u32,
                r#type: Kind<'static>,
                number: u32,
            }
        ),
        quote!(
            struct Pair<'a, T: ?Sized + Trait, const N: usize = 3>(&'a T, [T::Item; N])
            where
                T: Other;
        ),
        quote!(
            struct Unit;
        ),
        quote!(
            #[key_part(crate = facade::rt)]
            struct List<T> {
                head: T,
                tail: Option<Box<List<T>>>,
            }
        ),
        quote!(
            enum Never {}
        ),
        quote!(
            enum Status {
                Open,
                Closed { by: UserId, at: u64 },
                Moved(u64),
                Empty(),
            }
        ),
    ];
    let all: Vec<_> = structs.into_iter().map(derived).collect();
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expand/key_parts.rs")].assert_eq(&all.join("\n"));
}

#[test]
fn the_order_of_declaration_does_not_count() {
    let items = |item: TokenStream| {
        let all = derived(item);
        all.split("] = [").nth(1).map(|items| items.replace("field0", "_").replace("field1", "_")).unwrap()
    };
    assert_eq!(
        items(quote!(
            struct P {
                a: A,
                b: B,
            }
        )),
        items(quote!(
            struct P {
                b: B,
                a: A,
            }
        ))
    );
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    for (item, expected) in [
        (quote!(union U { a: u8, b: u16 }), "which field of a union"),
        (
            quote!(
                #[repr(C, packed)]
                struct S {
                    a: u8,
                }
            ),
            "packed struct",
        ),
        (
            quote!(
                struct S {
                    #[key_part(skip)]
                    a: u8,
                }
            ),
            "every field counts",
        ),
        (
            quote!(
                enum E {
                    #[key_part(rename = "x")]
                    A,
                }
            ),
            "every field counts",
        ),
        (
            quote!(
                #[key_part(rename = "x")]
                struct S;
            ),
            "the one argument is `crate`",
        ),
        (
            quote!(
                #[key_part(crate = "x")]
                struct S;
            ),
            "the one argument is `crate`",
        ),
        (
            quote!(
                #[key_part(crate = a, crate = b)]
                struct S;
            ),
            "given twice",
        ),
    ] {
        let [mistake] = &mistakes(item.clone())[..] else { panic!("{item} is one mistake") };
        assert!(mistake.contains(expected), "{item}: {mistake}");
    }
}
