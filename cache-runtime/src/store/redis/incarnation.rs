//! Which life of which server an answer is from.
//!
//! A server that was restarted from an old snapshot, or a replica that took over without having heard of the last deletions, holds tokens, leases and entries that were
//! invalidated. So everything that is read of a server counts only together with its incarnation: the run of the process and the history of its data, by the names that the server
//! itself gives them. Both are needed: a server that is made master again later has the run it had, and one that restarts from a file may go on with the history.
//!
//! What was read under another incarnation is equal to nothing that is read under this one: tokens differ, a lease is not held, and an entry is [`Bygone`](Blob::Bygone). The incarnation is asked for
//! when a connection is made, and once a second from then on; a connection whose server is another one by then is given up. So it is the same for all answers of one connection.

use redis::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::Blob;
use crate::token::LeaseId;
use crate::token::Token;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Incarnation(u128);

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Identity {
    pub(super) is_replica: bool,
    /// `None` if it does not say.
    pub(super) incarnation: Option<Incarnation>,
}

impl Incarnation {
    /// The one of all servers, for those who would rather have a warm cache after a failover.
    pub(super) const ANY: Self = Self(0);

    /// That of a run of a server, with a history of its data.
    pub(super) fn of(run: &str, history: &str) -> Self {
        Self(xxh3_128(format!("{run} {history}").as_bytes()))
    }

    /// The token that `token` is here.
    pub(super) fn token(self, token: Token) -> Token {
        Token(token.0 ^ self.0)
    }

    /// The lease that `lease`, as it is written there, is here; and back.
    pub(super) fn lease(self, lease: LeaseId) -> LeaseId {
        LeaseId(lease.0 ^ u128::from(self.0 as u64))
    }

    /// The digits that entries are stored with.
    pub(super) fn digits(self) -> String {
        format!("{:016x}", self.mark())
    }

    /// What an entry holds that was stored with those digits.
    pub(super) fn vouches_for(self, digits: u64, bytes: bytes::Bytes) -> Blob {
        if digits == self.mark() { Blob::Bytes(bytes) } else { Blob::Bygone }
    }

    fn mark(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl Identity {
    /// Of what `INFO server` and `INFO replication` say.
    pub(super) fn of(said: &[Value]) -> Self {
        let said: String = said.iter().map(text).collect();
        let is_replica = field(&said, "role").is_some_and(|role| role != "master");
        let incarnation = field(&said, "run_id").zip(field(&said, "master_replid"));
        let incarnation = incarnation.map(|(run, history)| Incarnation::of(run, history));
        Self { is_replica, incarnation }
    }
}

fn text(reply: &Value) -> String {
    match reply {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

/// What `name` stands for in lines of `name:value`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.trim_end().strip_prefix(name)?.strip_prefix(':');
    text.lines().find_map(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(run: &str, replication: &str) -> Identity {
        let said = |text: String| Value::BulkString(text.into_bytes());
        Identity::of(&[said(format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{run}\r\n")), said(replication.into())])
    }

    #[test]
    fn an_incarnation_is_a_run_with_a_history() {
        let of = |run, history| {
            identity(run, &format!("# Replication\r\nrole:master\r\nmaster_replid:{history}\r\nmaster_replid2:0\r\n"))
        };
        assert_eq!(of("a", "b"), of("a", "b"));
        assert!(!of("a", "b").is_replica && of("a", "b").incarnation.is_some());
        for (run, history) in [("x", "b"), ("a", "x"), ("b", "a")] {
            assert_ne!(of("a", "b").incarnation, of(run, history).incarnation);
        }
    }

    #[test]
    fn a_server_that_does_not_say_has_none() {
        for replication in ["role:slave", "role:master\r\nmaster_replid:\r\n", ""] {
            assert_eq!(identity("a", replication).incarnation, None);
        }
        assert!(identity("a", "role:slave\r\nmaster_replid:b\r\n").is_replica);
        assert_eq!(Identity::of(&[Value::Nil]), Identity::default());
    }

    #[test]
    fn what_is_read_elsewhere_is_equal_to_nothing_here() {
        let (one, other) = (Incarnation::of("one", "a"), Incarnation::of("other", "a"));
        assert_ne!(one.token(Token(7)), other.token(Token(7)));
        assert_ne!(one.lease(LeaseId(7)), other.lease(LeaseId(7)));
        assert_eq!(one.lease(one.lease(LeaseId(7))), LeaseId(7));
        let lease = LeaseId(u128::MAX);
        assert!(one.lease(lease).is_asked_by(lease), "the half of the asker is the asker's");
        let read =
            |by: Incarnation| by.vouches_for(u64::from_str_radix(&one.digits(), 16).unwrap(), bytes::Bytes::new());
        assert!(matches!((read(one), read(other)), (Blob::Bytes(_), Blob::Bygone)));
    }
}
