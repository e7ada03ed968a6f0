//! Where things are in Memcached: `<namespace>:<what>:<name>`, and behind the namespace a hash of the list of servers where there are several.
//!
//! `e` is an entry with its lease, or the mark of a key; `k` a key's token, `t` a tag. Whatever the namespace and the name are, it is at most 250 bytes of visible ASCII.

use std::sync::Arc;

use crate::key::Name;
use crate::token::Register;

/// The names of slots in one namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// The names of `namespace` on a list of servers. Two lists share no name, because they place names differently: what is invalidated where the one list has it, would live on where the
    /// other has it. A single server places nothing, so it may be spelled in any way.
    pub(super) fn new(namespace: &str, servers: &[String]) -> Self {
        let named = Name::new(namespace.as_bytes());
        let namespace =
            if named.as_str().len() <= LONGEST_NAMESPACE { named.as_str().to_owned() } else { hashed(namespace) };
        let mut sorted: Vec<&str> = servers.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let prefix = match sorted[..] {
            [] | [_] => namespace,
            _ => format!("{namespace}:{:016x}", xxhash_rust::xxh3::xxh3_64(sorted.join(",").as_bytes())),
        };
        Self { prefix: prefix.into() }
    }

    pub(super) fn entry(&self, key: &Name) -> String {
        self.slot(":e:", key)
    }

    pub(super) fn key_token(&self, key: &Name) -> String {
        self.slot(":k:", key)
    }

    pub(super) fn tag(&self, tag: &Name) -> String {
        self.slot(":t:", tag)
    }

    pub(super) fn register(&self, register: &Register) -> String {
        match register {
            Register::Tag(name) => self.tag(name),
            Register::Key(name) => self.key_token(name),
        }
    }

    fn slot(&self, what: &str, name: &Name) -> String {
        let name = name.as_str();
        if self.prefix.len() + what.len() + name.len() <= LONGEST {
            [&*self.prefix, what, name].concat()
        } else {
            [&*self.prefix, what, &hashed(name)].concat()
        }
    }
}

/// Plain text that is too long here. No name begins like this where it is hashed already.
fn hashed(text: &str) -> String {
    format!("##{}", &blake3::hash(text.as_bytes()).to_hex()[..40])
}

/// What Memcached takes as a key.
const LONGEST: usize = 250;
const LONGEST_NAMESPACE: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(servers: &[&str]) -> Vec<String> {
        servers.iter().map(|&server| server.to_owned()).collect()
    }

    #[test]
    fn slots_are_readable() {
        let keys = Keys::new("shop:prod", &servers(&["a:1"]));
        assert_eq!(keys.entry(&Name::new(b"user:7")), "shop:prod:e:user:7");
        assert_eq!(keys.tag(&Name::new(b"users")), "shop:prod:t:users");
    }

    #[test]
    fn two_lists_share_no_name_and_their_order_does_not_matter() {
        let key = |list: &[&str]| Keys::new("shop", &servers(list)).entry(&Name::new(b"k"));
        assert_eq!(key(&["a:1"]), key(&["b:1"]));
        assert_eq!(key(&["a:1", "b:1"]), key(&["b:1", "a:1"]));
        assert_ne!(key(&["a:1", "b:1"]), key(&["a:1"]));
        assert_ne!(key(&["a:1", "b:1"]), key(&["a:1", "c:1"]));
    }

    proptest! {
        #[test]
        fn every_key_is_short_and_visible(namespace in any::<Vec<u8>>(), name in prop::collection::vec(any::<u8>(), 0..300), many in any::<bool>()) {
            let list = servers(if many { &["a:1", "b:1"] } else { &["a:1"] });
            let keys = Keys::new(&String::from_utf8_lossy(&namespace), &list);
            let name = Name::new(&name);
            for key in [keys.entry(&name), keys.key_token(&name), keys.tag(&name)] {
                prop_assert!(key.len() <= LONGEST && key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
            }
        }

        #[test]
        fn two_names_have_two_keys(name in "[a-z]{190,200}", other in "[a-z]{190,200}", namespace in "[a-z]{1,100}") {
            let keys = Keys::new(&namespace, &servers(&["a:1", "b:1"]));
            let (one, two) = (Name::new(name.as_bytes()), Name::new(other.as_bytes()));
            prop_assert_eq!(name == other, keys.tag(&one) == keys.tag(&two));
            prop_assert_ne!(keys.tag(&one), keys.entry(&one));
        }
    }
}
