//! The epoch of a namespace: one more token that every entry rests on, so that all of them can be given up at once.
//!
//! It is a register like that of a tag, under a name that no tag can have. A load captures its token before it begins, an entry carries it, and a reader compares it with the one it
//! knows. Removing it empties the namespace. What absence means and how tokens are made is the same as for tags, so what holds of them holds here.
//!
//! What differs is how often it is read: not with every call, but with one in a second. Two facts make the bound exact:
//!
//! - what was read more than [`REFRESH`] ago is read again with the next read of the store, which then has one key more;
//! - what was read more than [`LIMIT`] ago is used for nothing: such a read waits for its own answer.
//!
//! So there is no timer, and no read that begins [`LIMIT`] after the epoch was removed serves an entry from before that. The process that removed it forgets what it knew at once.
//!
//! A store that has forgotten it, because it evicted it or restarted empty, has forgotten everything. What is stored within a second after that may be stored under what is known of it still,
//! which costs a load and nothing else.
//!
//! An epoch in the names of entries and tags would do without the comparison. But while processes disagree on it, and for a while they do, one would invalidate names that another does not
//! read: a mutation would return, and old values would still be served. Here tags and keys keep their names, and an invalidation holds whatever epoch its reader knows.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::core::lock;
use crate::key::Name;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// What this process knows of the epoch.
#[derive(Debug, Default)]
pub(crate) struct Epoch(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    token: Option<Token>,
    /// When the read that brought it was sent.
    read: Moment,
    /// When a read was last sent to bring a newer one.
    asked: Moment,
    /// How often everything was forgotten. What was asked before that is no answer.
    forgotten: u64,
}

/// How a read of the store goes about the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// It does without: this is known.
    Known(Token),
    /// It reads the register too.
    Read(Ticket),
}

/// A read of the register that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    sent: Moment,
    forgotten: u64,
}

/// After this what is known is read anew.
const REFRESH: Duration = Duration::from_secs(1);
/// After this what is known is not used.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);
/// How long one who reads it anew is waited for before another does.
const RETRY: Duration = Duration::from_millis(200);

const LEAST_LIFE: Duration = Duration::from_secs(600);

/// The register that holds it.
pub(crate) fn register() -> Register {
    Register::Tag(name())
}

/// How long tokens live that are created for `registers`, which shall live for `life`. The epoch is everybody's, so it outlives what is loaded under it for the first time.
pub(crate) fn life(registers: &[Register], life: Duration) -> Duration {
    if registers.iter().any(Register::is_epoch) { life.max(LEAST_LIFE) } else { life }
}

/// The name of that, as of a tag.
pub(crate) fn name() -> Name {
    Name::epoch()
}

impl Epoch {
    /// How a read goes about it that is sent now.
    pub(crate) fn ask(&self, now: Moment) -> Ask {
        let mut known = lock(&self.0);
        let ticket = Ticket { sent: now, forgotten: known.forgotten };
        let age = now.since(known.read);
        match known.token {
            Some(token) if age < REFRESH || age < LIMIT && now.since(known.asked) < RETRY => Ask::Known(token),
            _ => {
                known.asked = now;
                Ask::Read(ticket)
            }
        }
    }

    /// The register held `state` at some moment after `ticket` was given.
    pub(crate) fn learn(&self, ticket: Ticket, state: State) {
        let mut known = lock(&self.0);
        if known.forgotten == ticket.forgotten && known.read <= ticket.sent {
            known.token = state.usable();
            known.read = ticket.sent;
        }
    }

    /// It was removed: nothing that is known is used any more, and nothing that was asked for before.
    pub(crate) fn forget(&self) {
        let mut known = lock(&self.0);
        known.token = None;
        known.forgotten += 1;
    }

    /// What is known, however old it is: the mistake that a negative control makes.
    #[cfg(feature = "sim")]
    pub(crate) fn last_known(&self) -> Option<Token> {
        lock(&self.0).token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Token = Token(1);
    const TWO: Token = Token(2);

    fn at(milliseconds: u64) -> Moment {
        Moment(1_000_000 + milliseconds)
    }

    fn ticket(epoch: &Epoch, now: Moment) -> Ticket {
        match epoch.ask(now) {
            Ask::Read(ticket) => ticket,
            Ask::Known(token) => panic!("{token:?} is known"),
        }
    }

    fn knowing(token: Token, sent: Moment) -> Epoch {
        let epoch = Epoch::default();
        epoch.learn(ticket(&epoch, sent), State::Token(token));
        epoch
    }

    #[test]
    fn one_read_in_a_second_asks_for_it() {
        let epoch = knowing(ONE, at(0));
        assert_eq!(epoch.ask(at(999)), Ask::Known(ONE));
        let asked = ticket(&epoch, at(1000));
        assert_eq!(epoch.ask(at(1000)), Ask::Known(ONE), "while one asks, the others need not");
        epoch.learn(asked, State::Token(TWO));
        assert_eq!(epoch.ask(at(1001)), Ask::Known(TWO));
    }

    #[test]
    fn another_asks_if_no_answer_comes() {
        let epoch = knowing(ONE, at(0));
        ticket(&epoch, at(1000));
        assert_eq!(epoch.ask(at(1199)), Ask::Known(ONE));
        ticket(&epoch, at(1200));
    }

    #[test]
    fn what_was_read_two_seconds_ago_is_not_used() {
        let epoch = knowing(ONE, at(0));
        ticket(&epoch, at(1950));
        assert_eq!(epoch.ask(at(1999)), Ask::Known(ONE));
        ticket(&epoch, at(2000));
        ticket(&epoch, at(2000));
    }

    #[test]
    fn what_was_asked_for_before_it_was_forgotten_is_no_answer() {
        let epoch = knowing(ONE, at(0));
        let before = ticket(&epoch, at(1000));
        epoch.forget();
        epoch.learn(before, State::Token(ONE));
        ticket(&epoch, at(1001));
    }

    #[test]
    fn an_older_answer_does_not_replace_a_newer_one() {
        let epoch = Epoch::default();
        let (older, newer) = (ticket(&epoch, at(0)), ticket(&epoch, at(1)));
        epoch.learn(newer, State::Token(TWO));
        epoch.learn(older, State::Token(ONE));
        assert_eq!(epoch.ask(at(2)), Ask::Known(TWO));
    }

    #[test]
    fn nothing_is_known_of_a_register_that_is_empty_or_strictly_marked() {
        for state in [State::Absent, State::Pending { token: TWO, strict: true }] {
            let epoch = knowing(ONE, at(0));
            epoch.learn(ticket(&epoch, at(1000)), state);
            ticket(&epoch, at(1001));
        }
    }

    #[test]
    fn what_was_asked_for_in_the_same_moment_as_what_is_known_is_news() {
        let epoch = Epoch::default();
        epoch.learn(ticket(&epoch, at(0)), State::Absent);
        epoch.learn(ticket(&epoch, at(0)), State::Token(ONE));
        assert_eq!(epoch.ask(at(0)), Ask::Known(ONE));
    }

    #[test]
    fn it_outlives_what_is_loaded_under_it_for_the_first_time_and_nothing_else_does() {
        let (tag, short, long) = (Register::Tag(Name::new(b"rows")), Duration::from_secs(1), 2 * LEAST_LIFE);
        assert_eq!(life(&[tag.clone(), register()], short), LEAST_LIFE);
        assert_eq!(life(&[register()], long), long);
        assert_eq!(life(&[tag], short), short);
    }

    #[test]
    fn no_tag_has_its_name() {
        assert_ne!(Name::new(Name::epoch().as_str().as_bytes()), Name::epoch());
        assert_eq!(Name::stored(Name::epoch().as_str().as_bytes()), None);
    }
}
