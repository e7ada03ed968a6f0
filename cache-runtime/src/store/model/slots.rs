//! What the model holds, and where.

use crate::key::Name;
use crate::store::Blob;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::Token;

/// Where something is held.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Slot {
    Entry(Name),
    /// A lease, or the mark of a key.
    Lease(Name),
    /// A key's token or mark, for those that depend on the key.
    KeyToken(Name),
    /// A tag's token or mark.
    Tag(Name),
}

/// What is held, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) value: Value,
    /// In milliseconds of the caller's clock. At that moment it is gone.
    pub(crate) until: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// An entry, and the lease it was filled under.
    Entry(LeaseId, Blob),
    Lease {
        id: LeaseId,
        generation: Option<Generation>,
    },
    Token(Token),
    Marks(Marks),
}

/// The mutations that are running on one tag or key, and the token they run under.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) token: Token,
    pub(crate) standing: Vec<Standing>,
}

/// One mutation that is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// `None` for many that were too many to be listed; only time ends it.
    pub(crate) id: Option<MarkId>,
    pub(crate) strict: bool,
    pub(crate) until: u64,
}

/// One step of a revocation that another command may come in between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) slot: Slot,
    pub(crate) ended: Option<MarkId>,
}

impl Slot {
    pub(crate) fn of(register: &Register) -> Self {
        match register {
            Register::Tag(name) => Self::Tag(name.clone()),
            Register::Key(name) => Self::KeyToken(name.clone()),
        }
    }
}

impl Marks {
    /// Whether one of those that run forbids fills and joins.
    pub(crate) fn strict(&self) -> bool {
        self.standing.iter().any(|mark| mark.strict)
    }
}

#[cfg(feature = "sim")]
impl Held {
    /// As it is seen in an incarnation that it was not stored in, but for 0, which is the same.
    pub(super) fn in_incarnation(self, incarnation: u128) -> Self {
        let value = match self.value {
            Value::Entry(lease, _) if incarnation != 0 => Value::Entry(lease, Blob::Bygone),
            Value::Lease { id: LeaseId(id), generation } => {
                Value::Lease { id: LeaseId(id ^ u128::from(incarnation as u64)), generation }
            }
            Value::Token(Token(token)) => Value::Token(Token(token ^ incarnation)),
            Value::Marks(Marks { token: Token(token), standing }) => {
                Value::Marks(Marks { token: Token(token ^ incarnation), standing })
            }
            entry @ Value::Entry(..) => entry,
        };
        Self { value, until: self.until }
    }
}

/// When the last of them has ended.
pub(super) fn last(standing: &[Standing]) -> u64 {
    standing.iter().map(|mark| mark.until).max().unwrap_or(0)
}
