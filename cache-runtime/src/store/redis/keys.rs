//! Where things are in Redis: `<namespace>:<what>:{<name>}`.
//!
//! `e` is an entry, `l` a lease or the mark of a key, `k` a key's token, `t` a tag, `s` the list of a tag's entries. The braces make a hash tag, so that what belongs to one key is on one node of
//! a cluster; a name holds no braces of its own, and a namespace none either, so nobody chooses a node by a name.

use std::io::Write;
use std::sync::Arc;

use redis::Cmd;
use redis::RedisWrite;

use super::slots;
use super::slots::Slot;
use crate::key::Name;
use crate::token::Register;

/// The names of slots in one namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    namespace: Arc<str>,
    /// Whether it matters in which slot of a Cluster something is.
    has_slots: bool,
}

impl Keys {
    /// The names of `namespace`, which is hashed like a [`Name`] if it is long or odd.
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: Name::new(namespace.as_bytes()).as_str().into(), has_slots: false }
    }

    /// The same in a Cluster.
    pub(super) fn in_slots(self) -> Self {
        Self { has_slots: true, ..self }
    }

    /// In which slot everything is that belongs to `name`. Where that does not matter, all of it is in one.
    pub(super) fn place(&self, name: &Name) -> Slot {
        if self.has_slots { slots::slot_of(name.as_str()) } else { 0 }
    }

    /// The places of the registers in each slot.
    pub(super) fn by_slot(&self, registers: &[Register]) -> Vec<(Slot, Vec<usize>)> {
        let mut slots: Vec<(Slot, Vec<usize>)> = Vec::new();
        for (at, register) in registers.iter().enumerate() {
            let slot = self.place(register.name());
            match slots.iter_mut().find(|(other, _)| *other == slot) {
                Some((_, places)) => places.push(at),
                None => slots.push((slot, vec![at])),
            }
        }
        slots
    }

    pub(super) fn entry(&self, key: &Name) -> String {
        self.slot("e", key)
    }

    pub(super) fn lease(&self, key: &Name) -> String {
        self.slot("l", key)
    }

    pub(super) fn tag(&self, tag: &Name) -> String {
        self.slot("t", tag)
    }

    /// The list of the entries that have a tag.
    pub(super) fn set(&self, tag: &Name) -> String {
        self.slot("s", tag)
    }

    /// Everything that belongs to a key: its lease, its entry, its token.
    pub(super) fn whole(&self, key: &Name) -> [String; 3] {
        [self.lease(key), self.entry(key), self.slot("k", key)]
    }

    pub(super) fn register(&self, register: &Register) -> String {
        let (what, name) = placed(register);
        self.slot(what, name)
    }

    /// Adds an entry's slot to a command's arguments.
    pub(super) fn push_entry(&self, command: &mut Cmd, key: &Name) {
        self.push(command, "e", key);
    }

    /// Adds a register's slot to a command's arguments.
    pub(super) fn push_register(&self, command: &mut Cmd, register: &Register) {
        let (what, name) = placed(register);
        self.push(command, what, name);
    }

    fn push(&self, command: &mut Cmd, what: &str, name: &Name) {
        let mut argument = command.writer_for_next_arg();
        for part in [&*self.namespace, ":", what, ":{", name.as_str(), "}"] {
            // A command is a buffer in memory; writing to it cannot fail.
            let _ = argument.write_all(part.as_bytes());
        }
    }

    fn slot(&self, what: &str, name: &Name) -> String {
        [&*self.namespace, ":", what, ":{", name.as_str(), "}"].concat()
    }
}

fn placed(register: &Register) -> (&'static str, &Name) {
    match register {
        Register::Tag(name) => ("t", name),
        Register::Key(name) => ("k", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_readable_and_share_the_hash_tag_of_their_key() {
        let keys = Keys::new("shop:prod");
        let user = Name::new(b"user:7");
        assert_eq!(keys.whole(&user), ["shop:prod:l:{user:7}", "shop:prod:e:{user:7}", "shop:prod:k:{user:7}"]);
        assert_eq!(keys.tag(&Name::new(b"users")), "shop:prod:t:{users}");
    }

    #[test]
    fn a_namespace_chooses_no_hash_tag() {
        let keys = Keys::new("a{b}c");
        assert!(keys.tag(&Name::new(b"users")).starts_with('#'));
        assert_eq!(keys.tag(&Name::new(b"users")).matches('{').count(), 1);
    }

    #[test]
    fn a_pushed_name_is_the_same_name() {
        let keys = Keys::new("shop");
        let mut command = redis::cmd("MGET");
        keys.push_entry(&mut command, &Name::new(b"a"));
        keys.push_register(&mut command, &Register::Tag(Name::new(b"b")));
        let mut expected = redis::cmd("MGET");
        expected.arg(keys.entry(&Name::new(b"a"))).arg(keys.tag(&Name::new(b"b")));
        assert_eq!(command.get_packed_command(), expected.get_packed_command());
    }
}
