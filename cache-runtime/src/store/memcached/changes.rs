//! Slots that are read, judged and written until each is as it should be.
//!
//! A slot is written only over the very item that was judged, or where there was nothing, so a write that comes late or twice finds another item and does nothing. All slots of one operation go
//! together: one write reads them all, the next writes them all, and those that somebody else has changed in between are judged again. What is likely may be tried first, without a look.
//!
//! A slot may come after another: it is as it should be only if it was found or made so after the other was. So a key's token is never removed before its entry.

use std::time::Duration;

use tokio::time::Instant;

use super::items::Item;
use super::items::Millis;
use super::items::Written;
use super::session::Session;
use super::wire::Answer;
use super::wire::Commands;
use super::wire::Condition;
use super::wire::Expiry;
use super::wire::Outcome;
use crate::store::StoreError;

/// One slot to be changed.
pub(super) struct Change<'a, T> {
    slot: String,
    /// The place of the change that has to be made before this one.
    after: Option<usize>,
    plan: Plan<T>,
    judge: Judge<'a, T>,
}

type Judge<'a, T> = Box<dyn FnMut(&Seen) -> Next<T> + Send + 'a>;

/// What a slot held.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) item: Item,
    /// Of what kind the item says it is, also where its value was not read; 0 if there is none.
    pub(super) kind: u32,
    pub(super) has_value: bool,
    /// Whether this change wrote it just now, unless somebody came in between.
    pub(super) is_written: bool,
    pub(super) now: Millis,
    /// How long it has to live, if not for ever.
    pub(super) left: Option<Duration>,
    cas: Option<u64>,
}

/// What is to be done about it.
pub(super) enum Next<T> {
    /// It is as it should be.
    Done(T),
    /// It is to be read with its value.
    Read,
    /// It is to be written, and is as it should be then; or it is judged once more, to learn the number it was given.
    Write(Written, Option<T>),
    Remove(T),
}

enum Plan<T> {
    Look,
    Read,
    Write { written: Written, condition: Condition, then: Option<T> },
    Remove { cas: u64, then: T },
    Done(Result<T, StoreError>),
}

/// How a slot was read.
#[derive(Clone, Copy)]
struct Looked {
    value: bool,
    /// Right after this change had written it.
    written: bool,
}

impl<'a, T> Change<'a, T> {
    /// Begins by reading the slot.
    pub(super) fn read(slot: String, judge: impl FnMut(&Seen) -> Next<T> + Send + 'a) -> Self {
        Self { slot, after: None, plan: Plan::Read, judge: Box::new(judge) }
    }

    /// Begins with a look at what kind of item there is.
    pub(super) fn look(slot: String, judge: impl FnMut(&Seen) -> Next<T> + Send + 'a) -> Self {
        Self { plan: Plan::Look, ..Self::read(slot, judge) }
    }

    /// Begins by writing, if there is nothing.
    pub(super) fn add(
        slot: String,
        written: Written,
        then: Option<T>,
        judge: impl FnMut(&Seen) -> Next<T> + Send + 'a,
    ) -> Self {
        let plan = Plan::Write { written, condition: Condition::Absent, then };
        Self { plan, ..Self::read(slot, judge) }
    }

    /// Is made after the one at `place`, which is an earlier one.
    pub(super) fn after(mut self, place: usize) -> Self {
        self.after = Some(place);
        self
    }

    fn is_done(&self) -> bool {
        matches!(self.plan, Plan::Done(_))
    }

    /// Says to the server what the plan is.
    fn say(&self, commands: &mut Commands, now: Millis) {
        match &self.plan {
            Plan::Look => commands.look(&self.slot),
            Plan::Read => commands.get(&self.slot),
            Plan::Write { written, condition, then } => {
                let expiry = Expiry::after(written.until.since(now), now);
                commands.set(&self.slot, &written.value, written.kind, expiry, *condition);
                if reads_too(*condition, then.as_ref()) {
                    commands.get(&self.slot);
                }
            }
            Plan::Remove { cas, .. } => commands.delete(&self.slot, Some(*cas)),
            Plan::Done(_) => {}
        }
    }

    /// Hears what became of it. `may_end` unless what it comes after is still to be done.
    fn hear(
        &mut self,
        answers: &mut impl Iterator<Item = Answer>,
        now: Millis,
        may_end: bool,
    ) -> Result<(), StoreError> {
        let plan = std::mem::replace(&mut self.plan, Plan::Read);
        let mut next = || answers.next().ok_or_else(odd);
        match plan {
            Plan::Done(done) => self.plan = Plan::Done(done),
            Plan::Look => self.judge(next()?, Looked { value: false, written: false }, now, may_end),
            Plan::Read => self.judge(next()?, Looked { value: true, written: false }, now, may_end),
            Plan::Write { condition, then, .. } => {
                let written = next()?;
                let read = reads_too(condition, then.as_ref()).then(&mut next).transpose()?;
                match (written.outcome, then, read) {
                    (Outcome::Refused(reason), ..) => self.plan = Plan::Done(Err(StoreError::Refused(reason))),
                    (Outcome::Well, Some(then), _) if may_end => self.plan = Plan::Done(Ok(then)),
                    (outcome, _, Some(read)) => {
                        let how = Looked { value: true, written: outcome == Outcome::Well };
                        self.judge(read, how, now, may_end);
                    }
                    _ => {}
                }
            }
            Plan::Remove { then, .. } => match next()?.outcome {
                Outcome::Refused(reason) => self.plan = Plan::Done(Err(StoreError::Refused(reason))),
                Outcome::Well if may_end => self.plan = Plan::Done(Ok(then)),
                _ => {}
            },
        }
        Ok(())
    }

    fn judge(&mut self, answer: Answer, how: Looked, now: Millis, may_end: bool) {
        let seen = match answer.outcome {
            Outcome::Refused(reason) => {
                self.plan = Plan::Done(Err(StoreError::Refused(reason)));
                return;
            }
            Outcome::Well => Seen { is_written: how.written, ..Seen::of(answer, how.value, now) },
            Outcome::Absent | Outcome::Other => Seen::nothing(now),
        };
        let condition = seen.cas.map_or(Condition::Absent, Condition::Cas);
        self.plan = match (self.judge)(&seen) {
            Next::Done(done) if may_end => Plan::Done(Ok(done)),
            Next::Done(_) | Next::Read => Plan::Read,
            Next::Write(written, then) => Plan::Write { written, condition, then },
            Next::Remove(then) => match seen.cas {
                Some(cas) => Plan::Remove { cas, then },
                None if may_end => Plan::Done(Ok(then)),
                None => Plan::Read,
            },
        };
    }
}

impl Seen {
    fn of(answer: Answer, has_value: bool, now: Millis) -> Self {
        let left = u64::try_from(answer.left).ok().map(Duration::from_secs);
        let (kind, cas) = (answer.flags, Some(answer.cas));
        let item = if has_value { Item::read(answer.value, answer.cas, now) } else { Item::Nothing };
        Self { item, kind, has_value, is_written: false, now, left, cas }
    }

    fn nothing(now: Millis) -> Self {
        Self { item: Item::Nothing, kind: 0, has_value: true, is_written: false, now, left: None, cas: None }
    }

    /// Until when the item lives by itself.
    pub(super) fn until(&self) -> Millis {
        self.now.after(self.left.unwrap_or(Duration::MAX))
    }
}

/// Whether a slot is read right after it is written: to learn the number it was given, or what is there where something is.
fn reads_too<T>(condition: Condition, then: Option<&T>) -> bool {
    then.is_none() || condition == Condition::Absent
}

/// Makes all of `changes`, and says of each what came of it.
pub(super) async fn make<T>(
    session: &Session,
    deadline: Instant,
    mut changes: Vec<Change<'_, T>>,
) -> Result<Vec<Result<T, StoreError>>, StoreError> {
    for _ in 0..MOST_ROUNDS {
        let open = changes.iter().filter(|change| !change.is_done()).count();
        if open == 0 {
            break;
        }
        let mut commands = session.commands(2 * open);
        let now = Millis::now();
        for change in &changes {
            change.say(&mut commands, now);
        }
        let mut answers = session.ask(commands, deadline).await?.into_iter();
        let now = Millis::now();
        for at in 0..changes.len() {
            let may_end = changes[at].after.is_none_or(|before| changes[before].is_done());
            changes[at].hear(&mut answers, now, may_end)?;
        }
    }
    let result = |change: Change<'_, T>| match change.plan {
        Plan::Done(done) => done,
        _ => Err(StoreError::Refused("others change the same all the time".into())),
    };
    Ok(changes.into_iter().map(result).collect())
}

pub(super) fn odd() -> StoreError {
    StoreError::Refused("a reply of another form than asked for".into())
}

/// How often somebody else may come first.
const MOST_ROUNDS: usize = 64;
