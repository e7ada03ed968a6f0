//! The slots of a Cluster: which one a name is in, and which server has which.
//!
//! The slot is the CRC16 (XMODEM: polynomial 0x1021) of what stands between the braces of a key, modulo 16,384, as the Cluster specification has it.

use redis::Value;

/// One of the slots.
pub(super) type Slot = u16;

/// How many there are.
pub(super) const SLOTS: usize = 16_384;

/// In which slot every key is whose hash tag is `name`.
pub(super) fn slot_of(name: &str) -> Slot {
    let crc = name.bytes().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS as u16
}

/// A run of slots and the address of their master.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) from: Slot,
    pub(super) to: Slot,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What `CLUSTER SLOTS` says, asked of a server at `host`. A server that does not know its own address leaves it out. `None` if it says something else.
pub(super) fn ranges(said: &Value, host: &str) -> Option<Vec<Range>> {
    let Value::Array(runs) = said else { return None };
    runs.iter().map(|run| range(run, host)).collect()
}

fn range(run: &Value, asked: &str) -> Option<Range> {
    let Value::Array(parts) = run else { return None };
    let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = &parts[..] else { return None };
    let [host, Value::Int(port), ..] = &master[..] else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8(host.clone()).ok()?,
        Value::BulkString(_) | Value::Nil => asked.to_owned(),
        _ => return None,
    };
    let (from, to) = (Slot::try_from(*from).ok()?, Slot::try_from(*to).ok()?);
    (from <= to && usize::from(to) < SLOTS).then_some(Range { from, to, host, port: u16::try_from(*port).ok()? })
}

/// The parts of `host:port`, as a redirection names a server. An empty host is that of the server which said so.
pub(super) fn address(said: &str, asked: &str) -> Option<(String, u16)> {
    let (host, port) = said.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { asked } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        for (name, slot) in [("123456789", 12739), ("foo", 12182), ("", 0), ("user1000", 3443)] {
            assert_eq!(slot_of(name), slot, "{name}");
        }
    }

    #[test]
    fn a_server_says_who_has_what() {
        let text = |text: &str| Value::BulkString(text.into());
        let run = |from, to, host: Value, port| {
            Value::Array(vec![Value::Int(from), Value::Int(to), Value::Array(vec![host, Value::Int(port), text("id")])])
        };
        let said = Value::Array(vec![run(0, 99, text("10.0.0.1"), 7000), run(100, 16_383, Value::Nil, 7001)]);
        let expected = [
            Range { from: 0, to: 99, host: "10.0.0.1".into(), port: 7000 },
            Range { from: 100, to: 16_383, host: "asked".into(), port: 7001 },
        ];
        assert_eq!(ranges(&said, "asked").unwrap(), expected);
        for odd in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![run(5, 4, text("a"), 1)]),
            Value::Array(vec![run(0, 16_384, text("a"), 1)]),
            Value::Array(vec![run(-1, 4, text("a"), 1)]),
            Value::Array(vec![run(0, 4, text("a"), 65_536)]),
        ] {
            assert_eq!(ranges(&odd, "asked"), None, "{odd:?}");
        }
    }

    #[test]
    fn a_redirection_says_where_to() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(address("10.0.0.1:7000", "asked"), at("10.0.0.1", 7000));
        assert_eq!(address("::1:7000", "asked"), at("::1", 7000));
        assert_eq!(address(":7000", "asked"), at("asked", 7000));
        assert_eq!(address("host", "asked"), None);
        assert_eq!(address("host:x", "asked"), None);
    }

    proptest! {
        #[test]
        fn every_name_has_a_slot(name in ".*") {
            prop_assert!(usize::from(slot_of(&name)) < SLOTS);
        }
    }
}
