//! Tokens, marks and leases of the in-process store.
//!
//! A register of a tag holds a token or a mark. A key has two: its *slot*, which holds a lease or a mark, and its *key token*, which
//! exists while an outer entry depends on it and dies with every invalidation of the key.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Moment;
use crate::key::Name;
use crate::local::cell::Cell;
use crate::local::cell::Marked;
use crate::local::cell::fresh;
use crate::store::Mark;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// A lease that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) generation: Option<Generation>,
    pub(crate) expires: Moment,
}

/// The registers of some names.
#[derive(Debug)]
pub(crate) struct Shard {
    tags: HashMap<Name, Marked>,
    keys: HashMap<Name, Key>,
    most: usize,
    /// Sweep when there are so many.
    sweep_at: usize,
}

#[derive(Debug)]
struct Key {
    lease: Option<Lease>,
    /// Its cell holds the token of the mark, which stands in for the key token meanwhile.
    slot: Marked,
    token: Option<Arc<Cell>>,
}

impl Key {
    fn new() -> Self {
        Self { lease: None, slot: Marked::new(), token: None }
    }

    fn is_idle(&mut self, now: Moment) -> bool {
        let leased = self.lease.is_some_and(|lease| now < lease.expires);
        let depended_on = self.token.as_ref().is_some_and(|cell| Arc::strong_count(cell) > 1);
        !leased && !depended_on && self.slot.is_idle(now)
    }

    /// The state of the key token: the mark's while a mutation runs, so that what an outer load captures then ends with the mark.
    fn state(&mut self, now: Moment) -> State {
        match self.slot.state(now) {
            State::Absent => self.token.as_ref().and_then(|cell| cell.current(now)).map_or(State::Absent, State::Token),
            pending => pending,
        }
    }

    fn kill_token(&mut self) {
        if let Some(cell) = self.token.take() {
            cell.kill();
        }
    }
}

impl Shard {
    pub(crate) fn new(most: usize) -> Self {
        Self { tags: HashMap::new(), keys: HashMap::new(), most, sweep_at: most.min(256) }
    }

    pub(crate) fn state(&mut self, register: &Register, now: Moment) -> State {
        match register {
            Register::Tag(tag) => self.tags.get_mut(tag).map_or(State::Absent, |marked| marked.state(now)),
            Register::Key(key) => self.keys.get_mut(key).map_or(State::Absent, |key| key.state(now)),
        }
    }

    pub(crate) fn state_or_create(&mut self, register: &Register, now: Moment) -> State {
        match self.state(register, now) {
            State::Absent => {
                self.make_room(now);
                let token = fresh();
                match register {
                    Register::Tag(tag) => {
                        self.tags.entry(tag.clone()).or_insert_with(Marked::new).create(token, now);
                    }
                    Register::Key(key) => {
                        let key = self.keys.entry(key.clone()).or_insert_with(Key::new);
                        key.token = Some(Cell::new(token));
                        key.slot.want(now);
                    }
                }
                State::Token(Token(token.into()))
            }
            state => state,
        }
    }

    /// The cell of a register, if `token` is its token.
    pub(crate) fn cell(&self, register: &Register, token: u64, now: Moment) -> Option<Arc<Cell>> {
        let cell = match register {
            Register::Tag(tag) => &self.tags.get(tag)?.cell,
            Register::Key(key) => {
                let key = self.keys.get(key)?;
                if key.slot.cell.holds(token, now) { &key.slot.cell } else { key.token.as_ref()? }
            }
        };
        cell.holds(token, now).then(|| cell.clone())
    }

    pub(crate) fn mark_of_key(&mut self, key: &Name, now: Moment) -> State {
        self.keys.get_mut(key).map_or(State::Absent, |key| key.slot.state(now))
    }

    pub(crate) fn lease(&self, key: &Name, now: Moment) -> Option<Lease> {
        self.keys.get(key)?.lease.filter(|lease| now < lease.expires)
    }

    pub(crate) fn set_lease(&mut self, key: &Name, lease: Lease, now: Moment) {
        match self.keys.get_mut(key) {
            Some(slot) => slot.lease = Some(lease),
            None => {
                self.make_room(now);
                self.keys.insert(key.clone(), Key { lease: Some(lease), ..Key::new() });
            }
        }
    }

    /// Ends the lease of `key`, whoever holds it, and forgets the key if nothing else is known of it.
    pub(crate) fn end_lease(&mut self, key: &Name) {
        let Some(slot) = self.keys.get_mut(key) else { return };
        slot.lease = None;
        if slot.token.is_none() && slot.slot.marks.is_empty() {
            self.keys.remove(key);
        }
    }

    pub(crate) fn mark(&mut self, register: &Register, mark: Mark, now: Moment) {
        self.make_room(now);
        match register {
            Register::Tag(tag) => self.tags.entry(tag.clone()).or_insert_with(Marked::new).place(mark, now),
            Register::Key(key) => {
                let key = self.keys.entry(key.clone()).or_insert_with(Key::new);
                key.kill_token();
                key.slot.place(mark, now);
            }
        }
    }

    pub(crate) fn renew_mark(&mut self, register: &Register, mark: Mark, now: Moment) -> bool {
        match register {
            Register::Tag(tag) => self.tags.get_mut(tag).is_some_and(|marked| marked.renew(mark, now)),
            Register::Key(key) => self.keys.get_mut(key).is_some_and(|key| key.slot.renew(mark, now)),
        }
    }

    pub(crate) fn revoke(&mut self, register: &Register, ended: Option<MarkId>, now: Moment) {
        match register {
            Register::Tag(tag) => {
                let Some(marked) = self.tags.get_mut(tag) else { return };
                marked.revoke(ended, now);
                if marked.is_idle(now) {
                    self.tags.remove(tag);
                }
            }
            Register::Key(name) => {
                let Some(key) = self.keys.get_mut(name) else { return };
                key.kill_token();
                key.slot.revoke(ended, now);
                if key.lease.is_none() && key.slot.marks.is_empty() {
                    self.keys.remove(name);
                }
            }
        }
    }

    /// Ends every lease and every token. Marks stay, under new tokens.
    pub(crate) fn forget(&mut self, now: Moment) {
        self.tags.retain(|_, marked| {
            marked.revoke(None, now);
            !marked.marks.is_empty()
        });
        self.keys.retain(|_, key| {
            key.kill_token();
            key.slot.revoke(None, now);
            !key.slot.marks.is_empty()
        });
    }

    #[cfg(feature = "sim")]
    pub(crate) fn evict(&mut self, register: &Register) {
        match register {
            Register::Tag(tag) => {
                if let Some(marked) = self.tags.remove(tag) {
                    marked.cell.kill();
                }
            }
            Register::Key(key) => {
                if let Some(key) = self.keys.get_mut(key) {
                    key.kill_token();
                }
            }
        }
    }

    /// Forgets what is idle, and kills tokens if that is not enough: their entries become misses.
    fn make_room(&mut self, now: Moment) {
        if self.len() < self.sweep_at {
            return;
        }
        self.tags.retain(|_, marked| !marked.is_idle(now));
        self.keys.retain(|_, key| !key.is_idle(now));
        if self.len() >= self.most {
            self.kill(self.len() - self.most / 2);
        }
        self.sweep_at = (2 * self.len()).clamp(256, self.most.max(256));
    }

    /// Forgets up to `excess` registers that nobody is mutating or loading.
    fn kill(&mut self, mut excess: usize) {
        self.tags.retain(|_, marked| {
            let goes = excess > 0 && marked.marks.is_empty();
            if goes {
                excess -= 1;
                marked.cell.kill();
            }
            !goes
        });
        self.keys.retain(|_, key| {
            let goes = excess > 0 && key.lease.is_none() && key.slot.marks.is_empty();
            if goes {
                excess -= 1;
                key.kill_token();
            }
            !goes
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.tags.len() + self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MOST: usize = 1000;
    const LONG: Duration = Duration::from_secs(60);

    fn tag(number: usize) -> Register {
        Register::Tag(Name::new(format!("t{number}").as_bytes()))
    }

    fn key(number: usize) -> Register {
        Register::Key(name(number))
    }

    fn name(number: usize) -> Name {
        Name::new(format!("k{number}").as_bytes())
    }

    fn mark() -> Mark {
        Mark { id: MarkId(7), life: LONG, strict: false, renew: false, late: false }
    }

    fn lease(expires: Moment) -> Lease {
        Lease { id: LeaseId(7), generation: None, expires }
    }

    fn token(state: State) -> u64 {
        u64::try_from(state.usable().unwrap().0).unwrap()
    }

    /// A shard in which nothing is idle: loads have just begun that captured every token.
    fn full(register: fn(usize) -> Register, now: Moment) -> (Shard, Vec<Arc<Cell>>) {
        let mut shard = Shard::new(MOST);
        let cells = (0..MOST).map(|number| {
            let token = token(shard.state_or_create(&register(number), now));
            shard.cell(&register(number), token, now).unwrap()
        });
        let cells = cells.collect();
        assert_eq!(shard.len(), MOST);
        (shard, cells)
    }

    fn living(cells: &[Arc<Cell>], now: Moment) -> usize {
        cells.iter().filter(|cell| cell.current(now).is_some()).count()
    }

    #[test]
    fn a_full_shard_gives_up_half_of_its_tokens() {
        let now = Moment(0).after(LONG);
        for register in [tag, key] {
            let (mut shard, cells) = full(register, now);
            shard.state_or_create(&register(MOST), now);
            assert_eq!(shard.len(), MOST / 2 + 1);
            // Who holds the cell of one that is forgotten finds out.
            assert_eq!(living(&cells, now), MOST / 2);
            for number in MOST + 1..3 * MOST {
                shard.state_or_create(&register(number), now);
                assert!(shard.len() <= MOST);
            }
        }
    }

    #[test]
    fn marks_and_leases_make_room_as_tokens_do_and_are_not_given_up() {
        let now = Moment(0).after(LONG);
        for register in [tag, key] {
            let mut shard = Shard::new(MOST);
            for number in 0..MOST {
                shard.mark(&register(number), mark(), now);
            }
            for number in MOST..2 * MOST {
                shard.state_or_create(&register(number), now);
                assert!(shard.len() <= MOST + 1);
            }
            assert!((0..MOST).all(|number| matches!(shard.state(&register(number), now), State::Pending { .. })));
            let (mut shard, _) = full(tag, now);
            shard.mark(&register(MOST), mark(), now);
            assert_eq!(shard.len(), MOST / 2 + 1);
        }
        let (mut shard, _) = full(tag, now);
        shard.set_lease(&name(0), lease(now.after(LONG)), now);
        assert_eq!(shard.len(), MOST / 2 + 1);
        let (mut shard, _) = full(key, now);
        (0..MOST).for_each(|number| shard.set_lease(&name(number), lease(now.after(LONG)), now));
        shard.state_or_create(&tag(0), now);
        assert!((0..MOST).all(|number| shard.lease(&name(number), now).is_some()));
    }

    #[test]
    fn a_key_is_swept_once_nothing_is_known_of_it() {
        let now = Moment(0).after(LONG);
        let late = now.after(LONG);
        let idle = |shard: &mut Shard| {
            shard.sweep_at = 0;
            shard.make_room(late);
            shard.len() == 0
        };
        let shard = || Shard::new(MOST);
        let mut leased = shard();
        leased.set_lease(&name(0), lease(late), now);
        assert!(idle(&mut leased), "its lease has expired");
        leased.set_lease(&name(0), lease(late.after(LONG)), now);
        assert!(!idle(&mut leased), "it is leased");

        let mut depended_on = shard();
        let token = token(depended_on.state_or_create(&key(0), now));
        let cell = depended_on.cell(&key(0), token, now);
        assert!(!idle(&mut depended_on), "an entry depends on it");
        drop(cell);
        assert!(idle(&mut depended_on));

        let mut wanted = shard();
        wanted.state_or_create(&key(0), late);
        assert!(!idle(&mut wanted), "a load may come to depend on it");

        let mut marked = shard();
        marked.mark(&key(0), Mark { life: 2 * LONG, ..mark() }, now);
        assert!(!idle(&mut marked), "it is marked");
        let mut was_marked = shard();
        was_marked.mark(&key(0), mark(), now);
        assert!(idle(&mut was_marked), "its mark has expired");
    }

    #[test]
    fn what_nothing_is_known_of_takes_no_room() {
        let now = Moment(0).after(LONG);
        let mut shard = Shard::new(MOST);
        shard.set_lease(&name(0), lease(now.after(LONG)), now);
        shard.end_lease(&name(0));
        assert_eq!(shard.len(), 0);
        for register in [tag(0), key(0)] {
            shard.mark(&register, mark(), now);
            shard.revoke(&register, Some(mark().id), now);
        }
        assert_eq!(shard.len(), 0);
    }

    #[test]
    fn forgetting_leaves_marks_under_new_tokens() {
        let now = Moment(0).after(LONG);
        for register in [tag, key] {
            let (mut shard, cells) = full(register, now);
            shard.mark(&register(0), mark(), now);
            let before = shard.state(&register(0), now);
            shard.forget(now);
            let after = shard.state(&register(0), now);
            assert!(matches!(after, State::Pending { .. }) && after != before);
            assert_eq!((shard.len(), living(&cells[1..], now)), (1, 0));
            shard.revoke(&register(0), Some(mark().id), now);
            assert_eq!(shard.state(&register(0), now), State::Absent);
        }
    }

    #[test]
    fn a_token_dies_with_its_mark_to_the_moment() {
        let now = Moment(0).after(LONG);
        let mut shard = Shard::new(MOST);
        shard.mark(&tag(0), mark(), now);
        let token = token(shard.state(&tag(0), now));
        let cell = shard.cell(&tag(0), token, now).unwrap();
        let (last, end) = (Moment(now.after(LONG).0 - 1), now.after(LONG));
        assert!(cell.holds(token, last) && cell.current(last).is_some());
        assert!(!cell.holds(token, end) && cell.current(end).is_none());
        shard.set_lease(&name(0), lease(end), now);
        assert!(shard.lease(&name(0), last).is_some() && shard.lease(&name(0), end).is_none());
    }
}
