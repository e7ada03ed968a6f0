//! Commands as they are sent, and replies as they are read.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use redis::Cmd;
use redis::Value;

use super::incarnation::Incarnation;
use super::keys::Keys;
use super::link::Answer;
use super::scripts::Script;
use super::slots::Slot;
use super::text;
use crate::key::Name;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Steal;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;

/// A command to be sent.
pub(super) struct Call {
    /// The slot of all its keys.
    pub(super) slot: Slot,
    /// Whether it is sent to a server that does not answer these days all the same.
    pub(super) urgent: bool,
    form: Form,
}

enum Form {
    /// The same to every server.
    Always(Cmd),
    /// With a lease in it, which is written as the server that is asked knows it.
    At(Box<dyn Fn(Incarnation) -> Cmd + Send + Sync>),
}

impl Call {
    pub(super) fn always(slot: Slot, command: Cmd) -> Self {
        Self { slot, urgent: false, form: Form::Always(command) }
    }

    pub(super) fn at(slot: Slot, command: impl Fn(Incarnation) -> Cmd + Send + Sync + 'static) -> Self {
        Self { slot, urgent: false, form: Form::At(Box::new(command)) }
    }

    fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }

    /// The command for a server of that incarnation.
    pub(super) fn command(&self, at: Incarnation) -> Cow<'_, Cmd> {
        match &self.form {
            Form::Always(command) => Cow::Borrowed(command),
            Form::At(command) => Cow::Owned(command(at)),
        }
    }
}

/// A call that invalidates, and the names that it is about, in the order in which they may be removed one by one.
pub(super) struct Change {
    pub(super) call: Call,
    pub(super) names: Vec<String>,
}

/// One call for each slot, and which of the registers it is about.
pub(super) fn tokens(keys: &Keys, registers: &[Register], life: Duration) -> Vec<(Call, Vec<usize>)> {
    let call = |(slot, places): (Slot, Vec<usize>)| {
        let names: Vec<String> = places.iter().map(|&place| keys.register(&registers[place])).collect();
        let mut call = Script::Tokens.call(&names);
        call.arg(millis(life));
        for _ in &names {
            call.arg(chance());
        }
        (Call::always(slot, call), places)
    };
    keys.by_slot(registers).into_iter().map(call).collect()
}

pub(super) fn lease(keys: &Keys, request: &LeaseRequest) -> Call {
    let (slots, request) = ([keys.lease(&request.key), keys.entry(&request.key)], request.clone());
    Call::at(keys.place(&request.key), move |at| {
        let written = |id| digits(at.lease(id).0);
        let steal = match request.steal {
            Steal::Nobodys => String::new(),
            Steal::From(id) => written(id),
            Steal::Anybodys => "*".into(),
        };
        let mut call = Script::Lease.call(&slots);
        call.arg(asker_digits(request.id)).arg(request.generation.map_or_else(String::new, generation_digits));
        call.arg(millis(request.life)).arg(steal).arg(request.seen.map_or_else(String::new, written));
        call
    })
}

pub(super) fn renew(keys: &Keys, key: &Name, lease: LeaseId, generation: Generation, life: Duration) -> Call {
    let slots = [keys.lease(key)];
    Call::at(keys.place(key), move |at| {
        let mut call = Script::Renew.call(&slots);
        call.arg(digits(at.lease(lease).0)).arg(generation_digits(generation)).arg(millis(life));
        call
    })
}

pub(super) fn release(keys: &Keys, key: &Name, lease: LeaseId) -> Call {
    let mut call = Script::Release.call(&[keys.lease(key)]);
    call.arg(asker_digits(lease));
    Call::always(keys.place(key), call)
}

pub(super) fn fill(keys: &Keys, fill: &Fill, bytes: &Bytes) -> Call {
    let (slots, bytes) = ([keys.entry(&fill.key), keys.lease(&fill.key)], bytes.clone());
    let (lease, life) = (fill.lease, millis(fill.life));
    Call::at(keys.place(&fill.key), move |at| {
        let written = at.lease(lease);
        let mut call = Script::Fill.call(&slots);
        let before = text::before_entry(written, at);
        call.arg(digits(written.0)).arg([before.as_bytes(), &bytes].concat()).arg(life);
        call
    })
}

pub(super) fn touch(keys: &Keys, registers: &[Register], life: Duration) -> impl Iterator<Item = Call> {
    keys.by_slot(registers).into_iter().map(move |(slot, places)| {
        let names: Vec<String> = places.iter().map(|&place| keys.register(&registers[place])).collect();
        let mut call = Script::Touch.call(&names);
        call.arg(millis(life));
        Call::always(slot, call)
    })
}

pub(super) fn live_on(keys: &Keys, key: &Name, life: Duration) -> Call {
    let mut call = redis::cmd("PEXPIRE");
    call.arg(keys.entry(key)).arg(millis(life));
    Call::always(keys.place(key), call)
}

pub(super) fn mark(keys: &Keys, targets: &Targets, mark: &Mark) -> Vec<Change> {
    changes(keys, targets, mark.late, (Script::MarkTag, Script::MarkKey), |call| {
        call.arg(digits(mark.id.0)).arg(if mark.strict { "s" } else { "o" });
        call.arg(millis(mark.life)).arg(u8::from(mark.renew));
    })
}

pub(super) fn revoke(keys: &Keys, targets: &Targets, ended: Option<MarkId>) -> Vec<Change> {
    let ended = ended.map_or_else(String::new, |id| digits(id.0));
    changes(keys, targets, true, (Script::RevokeTag, Script::RevokeKey), |call| {
        call.arg(&ended);
    })
}

/// What is left to do where a script cannot write.
pub(super) fn unlink(slot: Slot, name: &str) -> Call {
    let mut unlink = redis::cmd("UNLINK");
    unlink.arg(name);
    Call::always(slot, unlink).urgent()
}

/// One call for each target, with randomness for each token that it may have to make.
fn changes(
    keys: &Keys,
    targets: &Targets,
    urgent: bool,
    (of_tag, of_key): (Script, Script),
    arguments: impl Fn(&mut Cmd),
) -> Vec<Change> {
    let change = |script: Script, slot: Slot, names: Vec<String>, tokens: usize| {
        let mut call = script.call(&names);
        arguments(&mut call);
        for _ in 0..tokens {
            call.arg(chance());
        }
        let call = Call::always(slot, call);
        Change { call: if urgent { call.urgent() } else { call }, names }
    };
    let tags = targets.tags.iter().map(|tag| change(of_tag, keys.place(tag), vec![keys.tag(tag)], 1));
    let keys = targets.keys.iter().map(|key| change(of_key, keys.place(key), keys.whole(key).to_vec(), 2));
    tags.chain(keys).collect()
}

/// The reply to [`tokens`].
pub(super) fn states(answer: Answer, count: usize) -> Result<Vec<State>, StoreError> {
    match answer.value {
        Value::Array(values) if values.len() == count => {
            Ok(values.iter().map(|value| state(value, answer.at)).collect())
        }
        _ => Err(odd()),
    }
}

pub(super) fn state(value: &Value, at: Incarnation) -> State {
    match value {
        Value::BulkString(text) => text::state(text, at),
        _ => State::Absent,
    }
}

/// The reply to [`lease`].
pub(super) fn lease_state(answer: &Answer) -> Result<LeaseState, StoreError> {
    match &answer.value {
        Value::Int(2) => Ok(LeaseState::Changed),
        Value::BulkString(text) => match (text::given(text, answer.at), text::lease(text, answer.at)) {
            (Some(id), _) => Ok(LeaseState::Won(id)),
            (None, Some(text::Lease::Held { id, generation })) => Ok(LeaseState::Held { id, generation }),
            (None, Some(text::Lease::Marked { token, strict })) => Ok(LeaseState::Marked { token, strict }),
            (None, None) => Err(odd()),
        },
        _ => Err(odd()),
    }
}

/// The reply of a script that says whether it did what it is there for.
pub(super) fn is_yes(answer: &Answer) -> Result<bool, StoreError> {
    match &answer.value {
        Value::Int(said) => Ok(*said == 1),
        _ => Err(odd()),
    }
}

pub(super) fn odd() -> StoreError {
    StoreError::Refused("a reply that no script gives".into())
}

/// Randomness for a token that the server makes.
fn chance() -> String {
    digits(rand::random())
}

pub(super) fn digits(id: u128) -> String {
    format!("{id:032x}")
}

fn asker_digits(id: LeaseId) -> String {
    format!("{:016x}", id.asker())
}

fn generation_digits(generation: Generation) -> String {
    format!("{:016x}", generation.0)
}

/// A life as Redis takes it: not nothing, and not beyond what its clock can hold.
pub(super) fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_LIFE)
}

/// A hundred years.
const LONGEST_LIFE: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
