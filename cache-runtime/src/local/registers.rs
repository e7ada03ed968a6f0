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
