//! Tokens in process: the cells they live in, and the marks of running mutations.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Moment;
use crate::store::Mark;
use crate::sync::AtomicU64;
use crate::token::MarkId;
use crate::token::State;
use crate::token::Token;

/// Where the current token of a register lives for as long as an entry points to it.
#[derive(Debug)]
pub(crate) struct Cell {
    token: AtomicU64,
    /// When the token dies by itself, because a mark does.
    until: AtomicU64,
}

/// The token of a cell that holds none any more.
pub(super) const DEAD: u64 = 0;

/// A cell, and the marks that stand on it.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) cell: Arc<Cell>,
    pub(super) marks: Vec<Standing>,
    /// Until when a load may be running that captured its token, and has stored nothing yet.
    wanted: Moment,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// `None` for those of whom there were too many to tell apart.
    id: Option<MarkId>,
    expires: Moment,
    strict: bool,
}

/// How long a load may take and still find the token that was made for it, however many others are made meanwhile.
const WANTED: Duration = Duration::from_secs(30);

/// The most mutations of one register that are told apart.
const MOST_MARKS: usize = 64;

impl Cell {
    pub(crate) fn new(token: u64) -> Arc<Self> {
        Arc::new(Self { token: AtomicU64::new(token), until: AtomicU64::new(Moment::NEVER.0) })
    }

    /// Whether `token` is still its token. Its time is looked at first: if the token is the same after that, it was this token's time, and not that of a later one.
    #[inline]
    pub(crate) fn holds(&self, token: u64, now: Moment) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        let held = self.token.load(Ordering::SeqCst);
        held == token && held != DEAD && now.0 < until
    }

    pub(crate) fn current(&self, now: Moment) -> Option<Token> {
        let until = self.until.load(Ordering::SeqCst);
        let held = self.token.load(Ordering::SeqCst);
        (held != DEAD && now.0 < until).then_some(Token(held.into()))
    }

    /// Gives it another token. The old one is dead before the new one's time begins, so the two are never mixed up.
    pub(crate) fn set(&self, token: u64, until: Moment) {
        self.token.store(DEAD, Ordering::SeqCst);
        self.until.store(until.0, Ordering::SeqCst);
        self.token.store(token, Ordering::SeqCst);
    }

    pub(crate) fn kill(&self) {
        self.token.store(DEAD, Ordering::SeqCst);
    }
}

impl Marked {
    pub(super) fn new() -> Self {
        Self { cell: Cell::new(DEAD), marks: Vec::new(), wanted: Moment(0) }
    }

    /// Takes off the marks of mutations that ended without a word. What was filled under their token may be from before their commits, so the token goes too.
    pub(super) fn prune(&mut self, now: Moment) {
        let before = self.marks.len();
        self.marks.retain(|mark| now < mark.expires);
        match self.marks.len() {
            after if after == before => {}
            0 => self.cell.kill(),
            _ => self.cell.set(fresh(), self.first_expiry()),
        }
    }

    /// Gives it a token that stands until it is invalidated.
    pub(super) fn create(&mut self, token: u64, now: Moment) {
        self.marks.clear();
        self.cell.set(token, Moment::NEVER);
        self.want(now);
    }

    /// Keeps it from being taken for idle while a load may still come to store under it.
    pub(super) fn want(&mut self, now: Moment) {
        self.wanted = now.after(WANTED);
    }

    pub(super) fn state(&mut self, now: Moment) -> State {
        self.prune(now);
        let Some(token) = self.cell.current(now) else { return State::Absent };
        match self.marks.is_empty() {
            true => State::Token(token),
            false => State::Pending { token, strict: self.marks.iter().any(|mark| mark.strict) },
        }
    }

    pub(super) fn place(&mut self, mark: Mark, now: Moment) {
        self.prune(now);
        self.marks.retain(|standing| standing.id != Some(mark.id));
        if self.marks.len() >= MOST_MARKS {
            self.merge();
        }
        self.marks.push(Standing { id: Some(mark.id), expires: now.after(mark.life), strict: mark.strict });
        self.cell.set(fresh(), self.first_expiry());
    }

    /// Makes one of all marks, which nobody takes off and which ends with the last of them.
    pub(super) fn merge(&mut self) {
        let expires = self.marks.iter().map(|mark| mark.expires).max().unwrap_or(Moment::NEVER);
        let strict = self.marks.iter().any(|mark| mark.strict);
        self.marks = vec![Standing { id: None, expires, strict }];
    }

    pub(super) fn renew(&mut self, mark: Mark, now: Moment) -> bool {
        self.prune(now);
        let Some(standing) = self.marks.iter_mut().find(|standing| standing.id == Some(mark.id)) else { return false };
        standing.expires = standing.expires.max(now.after(mark.life));
        self.cell.until.store(self.first_expiry().0, Ordering::SeqCst);
        true
    }

    pub(super) fn revoke(&mut self, ended: Option<MarkId>, now: Moment) {
        self.prune(now);
        self.marks.retain(|mark| ended.is_none() || mark.id != ended);
        match self.marks.is_empty() {
            true => {
                self.cell.kill();
                self.wanted = now;
            }
            false => self.cell.set(fresh(), self.first_expiry()),
        }
    }

    /// When the token must die by itself: with the first of its marks.
    pub(super) fn first_expiry(&self) -> Moment {
        self.marks.iter().map(|mark| mark.expires).min().unwrap_or(Moment::NEVER)
    }

    /// Whether it can go without anybody noticing: no mark, no entry that points to its cell, and no load that may yet bring one.
    pub(super) fn is_idle(&mut self, now: Moment) -> bool {
        self.prune(now);
        self.marks.is_empty() && self.wanted <= now && Arc::strong_count(&self.cell) == 1
    }
}

/// A number that was never used before in this process.
pub(crate) fn fresh() -> u64 {
    // Nothing waits for it and nothing is read with it, so the models need not see it.
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(DEAD + 1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
