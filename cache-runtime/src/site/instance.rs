//! Which instance of generic code a call comes from.

use xxhash_rust::xxh3::xxh3_64;

/// The name of a type that stands in the calling code, such as a closure; or nothing, which is an instance too.
///
/// A `static` in a generic function is one for all its instances. The name of a closure has the types that they differ by: `shop::Repo<shop::User>::count::{{closure}}`.
/// What is in the angle brackets of the function itself does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance(pub(crate) &'static str);

const CLOSURE: &str = "::{{closure}}";

impl Instance {
    pub(crate) const NONE: Self = Self("");

    /// The type or the trait's implementation that the code belongs to, if it may have more than one instance.
    fn owner(self) -> Option<&'static str> {
        let mut function = self.0;
        while let Some(outer) = function.strip_suffix(CLOSURE) {
            function = outer;
        }
        let (mut depth, mut after) = (0_usize, 0);
        for (at, byte) in function.bytes().enumerate().rev() {
            match byte {
                // That of an arrow is no bracket.
                b'>' if !function[..at].ends_with('-') => depth += 1,
                b'<' => depth = depth.saturating_sub(1),
                b':' if depth == 0 && after == b':' => {
                    let owner = &function[..at];
                    return owner.contains('<').then_some(owner);
                }
                _ => {}
            }
            after = byte;
        }
        None
    }

    /// The same for one instance in all processes of one build. Zero for code that has no instances.
    pub(crate) fn fingerprint(self) -> u64 {
        self.owner().map_or(0, |owner| xxh3_64(owner.as_bytes()))
    }
}

impl PartialEq for Instance {
    /// One name may lie in several places, so its place says only when two are the same.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || is_same(*self, *other)
    }
}

#[cold]
fn is_same(one: Instance, other: Instance) -> bool {
    one.0 == other.0 || one.owner() == other.owner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_what_the_code_stands_in_if_that_has_instances() {
        let owners = [
            ("shop::Repo<shop::User>::count::{{closure}}::{{closure}}", Some("shop::Repo<shop::User>")),
            ("shop::Repo<shop::User>::count_entry::{{closure}}", Some("shop::Repo<shop::User>")),
            ("shop::Repo<shop::User>::count<&str>::{{closure}}", Some("shop::Repo<shop::User>")),
            (
                "shop::Repo<fn(u8) -> a::B<u8>>::count<fn(u8) -> u8>::{{closure}}",
                Some("shop::Repo<fn(u8) -> a::B<u8>>"),
            ),
            ("<shop::User as shop::Table>::count::{{closure}}", Some("<shop::User as shop::Table>")),
            ("shop::Bits<3>::count::{{closure}}", Some("shop::Bits<3>")),
            ("shop::Repo::count::{{closure}}", None),
            ("shop::count<alloc::vec::Vec<u8>>::{{closure}}::{{closure}}", None),
            ("shop::main::{{closure}}::{{closure}}", None),
            ("", None),
            ("u32", None),
            (">::<::>>", None),
        ];
        for (name, owner) in owners {
            assert_eq!(Instance(name).owner(), owner, "{name}");
        }
    }

    #[test]
    fn instances_are_told_apart_by_their_owners() {
        let (user, order) = (Instance("Repo<User>::f<u8>::{{closure}}"), Instance("Repo<Order>::f<u8>::{{closure}}"));
        assert_ne!(user, order);
        assert_ne!(user.fingerprint(), order.fingerprint());
        let handle = Instance("Repo<User>::f_entry<u16>::{{closure}}");
        assert_eq!(user, handle);
        assert_eq!(user.fingerprint(), handle.fingerprint());
        assert_eq!(Instance("").fingerprint(), Instance("shop::f::{{closure}}").fingerprint());
    }
}
