//! The protocol's store, as plainly as it can be written.
//!
//! It does no I/O, reads no clock and draws no randomness of its own: every operation is told the time, and tokens come from the source it was made with, so
//! a run replays. What it does to a slot is what the scripts of the Redis store do to one; both run the same conformance suite.
//!
//! The mark of a key stands in its lease slot, where it keeps fills out, and in its key token's slot, like a tag's: what an outer load captures while the
//! key is being mutated ends with the mark, also when the mutator died and the mark only expired.
//!
//! [`Broken`] takes away one rule at a time. A test that then finds nothing proves nothing.

mod broken;
mod slots;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub(crate) use self::broken::Broken;
use self::broken::repeating;
pub(crate) use self::slots::Held;
pub(crate) use self::slots::Marks;
pub(crate) use self::slots::Slot;
pub(crate) use self::slots::Standing;
pub(crate) use self::slots::Step;
pub(crate) use self::slots::Value;
use self::slots::last;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Steal;
use crate::store::Targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// A store as a map of slots.
pub(crate) struct Model {
    /// What is held, and what has expired and was not swept yet.
    pub(crate) slots: BTreeMap<Slot, Held>,
    pub(crate) broken: Broken,
    random: Box<dyn FnMut() -> u128 + Send>,
}

/// How many mutations one slot lists. Beyond, those listed become one without an id.
pub(crate) const MOST_MARKS: usize = 64;

impl Model {
    pub(crate) fn new(random: impl FnMut() -> u128 + Send + 'static) -> Self {
        Self { slots: BTreeMap::new(), broken: Broken::default(), random: Box::new(random) }
    }

    /// Loses what a slot holds, as a store that is short of memory does; says whether it held something.
    #[cfg(feature = "sim")]
    pub(crate) fn evict(&mut self, slot: &Slot) -> bool {
        self.slots.remove(slot).is_some()
    }

    /// Loses everything, as a restart does.
    #[cfg(feature = "sim")]
    pub(crate) fn flush(&mut self) {
        self.slots.clear();
    }

    /// Comes back with what it held at another time, as from an old snapshot, or as a replica that did not hear of all: in another incarnation, in which
    /// nothing is equal to what was read in the one before.
    #[cfg(feature = "sim")]
    pub(crate) fn roll_back(&mut self, slots: BTreeMap<Slot, Held>) {
        let incarnation = if self.broken.one_incarnation { 0 } else { (self.random)() };
        self.slots = slots.into_iter().map(|(slot, held)| (slot, held.in_incarnation(incarnation))).collect();
    }

    pub(crate) fn read(&self, now: u64, read: &Read) -> Reading {
        let entry = read.entry.as_ref().and_then(|key| match self.value(now, &Slot::Entry(key.clone()))? {
            Value::Entry(filled_under, blob) => Some((*filled_under, blob.clone())),
            _ => None,
        });
        let states = read.registers.iter().map(|register| self.state(now, &Slot::of(register))).collect();
        Reading { entry, states }
    }

    pub(crate) fn begin(&mut self, now: u64, begin: &Begin) -> Begun {
        let states = begin.registers.iter().map(|register| self.create(now, register, begin.token_life)).collect();
        let lease = begin.lease.as_ref().map(|request| self.lease(now, request));
        Begun { states, lease }
    }

    pub(crate) fn renew(
        &mut self,
        now: u64,
        key: &Name,
        lease: LeaseId,
        generation: Generation,
        life: Duration,
    ) -> bool {
        let held = self.holds(now, key, lease);
        if held {
            let value = Value::Lease { id: lease, generation: Some(generation) };
            self.put(Slot::Lease(key.clone()), value, after(now, life));
        }
        held
    }

    pub(crate) fn release(&mut self, now: u64, key: &Name, lease: LeaseId) {
        let slot = Slot::Lease(key.clone());
        if matches!(self.value(now, &slot), Some(Value::Lease { id, .. }) if id.is_asked_by(lease)) {
            self.slots.remove(&slot);
        }
    }

    pub(crate) fn fill(&mut self, now: u64, fill: &Fill) -> bool {
        let accepted = self.broken.unfenced_fill || self.holds(now, &fill.key, fill.lease);
        if accepted {
            self.put(Slot::Entry(fill.key.clone()), Value::Entry(fill.lease, fill.blob.clone()), after(now, fill.life));
            if self.holds(now, &fill.key, fill.lease) {
                self.slots.remove(&Slot::Lease(fill.key.clone()));
            }
        }
        for register in &fill.touch {
            if let Some(Held { value: Value::Token(_), until }) = self.held_mut(now, &Slot::of(register)) {
                *until = after(now, fill.token_life).max(*until);
            }
        }
        accepted
    }

    pub(crate) fn touch(&mut self, now: u64, key: &Name, life: Duration) {
        if let Some(held) = self.held_mut(now, &Slot::Entry(key.clone())) {
            held.until = after(now, life);
        }
    }

    pub(crate) fn mark(&mut self, now: u64, targets: &Targets, mark: &Mark) {
        for tag in &targets.tags {
            self.place(now, Slot::Tag(tag.clone()), mark);
        }
        for key in &targets.keys {
            if self.place(now, Slot::Lease(key.clone()), mark) {
                self.slots.remove(&Slot::Entry(key.clone()));
            }
            self.place(now, Slot::KeyToken(key.clone()), mark);
        }
    }

    #[cfg(test)]
    pub(crate) fn revoke(&mut self, now: u64, targets: &Targets, ended: Option<MarkId>) {
        for step in self.revoke_steps(targets, ended) {
            self.apply(now, &step);
        }
    }

    /// A revocation as steps, for tests that let other commands come in between.
    pub(crate) fn revoke_steps(&self, targets: &Targets, ended: Option<MarkId>) -> Vec<Step> {
        let order = if self.broken.entry_first {
            [Slot::Entry, Slot::Lease, Slot::KeyToken]
        } else {
            [Slot::Lease, Slot::Entry, Slot::KeyToken]
        };
        let tags = targets.tags.iter().map(|tag| Slot::Tag(tag.clone()));
        let keys = targets.keys.iter().flat_map(|key| order.iter().map(|slot| slot(key.clone())));
        tags.chain(keys).map(|slot| Step { slot, ended }).collect()
    }

    /// Does one step of a revocation.
    pub(crate) fn apply(&mut self, now: u64, step: &Step) {
        let mut standing = self.standing(now, &step.slot);
        standing.retain(|mark| mark.id.is_none() || mark.id != step.ended);
        if self.broken.marks_ended_by_anyone {
            standing.clear();
        }
        if !standing.is_empty() {
            self.put_marks(now, step.slot.clone(), standing);
        } else if self.broken.counter_tokens && matches!(step.slot, Slot::Tag(_) | Slot::KeyToken(_)) {
            let value = Value::Token(self.next_token(now, &step.slot));
            self.put(step.slot.clone(), value, u64::MAX);
        } else {
            self.slots.remove(&step.slot);
        }
    }

    fn create(&mut self, now: u64, register: &Register, life: Duration) -> State {
        let slot = Slot::of(register);
        if let Some(Held { value: Value::Token(_), until }) = self.held_mut(now, &slot)
            && *until < after(now, life / 2)
        {
            *until = after(now, life);
        }
        if self.state(now, &slot) == State::Absent {
            let value = Value::Token(self.next_token(now, &slot));
            self.put(slot.clone(), value, after(now, life));
        }
        self.state(now, &slot)
    }

    fn lease(&mut self, now: u64, request: &LeaseRequest) -> LeaseState {
        let slot = Slot::Lease(request.key.clone());
        match self.value(now, &slot) {
            Some(Value::Marks(marks)) => return LeaseState::Marked { token: marks.token, strict: marks.strict() },
            Some(&Value::Lease { id, generation }) if !id.is_asked_by(request.id) && !request.steal.takes(id) => {
                return LeaseState::Held { id, generation };
            }
            Some(Value::Lease { .. }) => {}
            _ => {
                let filled_under = match self.value(now, &Slot::Entry(request.key.clone())) {
                    Some(Value::Entry(lease, _)) => Some(*lease),
                    _ => None,
                };
                if request.steal == Steal::Nobodys && filled_under.is_some() && filled_under != request.seen {
                    return LeaseState::Changed;
                }
            }
        }
        let id = request.id.given(self.next_salt());
        let value = Value::Lease { id, generation: request.generation };
        self.put(slot, value, after(now, request.life));
        LeaseState::Won(id)
    }

    /// Places or renews a mark; says whether it is new.
    fn place(&mut self, now: u64, slot: Slot, mark: &Mark) -> bool {
        let until = after(now, mark.life);
        if mark.renew && self.prolong(now, &slot, mark.id, until) {
            return false;
        }
        let mut standing = self.standing(now, &slot);
        standing.retain(|other| other.id != Some(mark.id));
        if standing.len() >= MOST_MARKS {
            let strict = standing.iter().any(|mark| mark.strict);
            let until = standing.iter().map(|mark| mark.until).max().unwrap_or(until);
            standing = vec![Standing { id: None, strict, until }];
        }
        standing.push(Standing { id: Some(mark.id), strict: mark.strict, until });
        self.put_marks(now, slot, standing);
        true
    }

    /// Lets a mark live longer; says whether it still stands. The token stays, unless another mark was found dead: what was filled under
    /// that token was filled under the dead mutation too, and nobody else will revoke it.
    fn prolong(&mut self, now: u64, slot: &Slot, id: MarkId, until: u64) -> bool {
        let mut standing = self.standing(now, slot);
        let Some(mark) = standing.iter_mut().find(|mark| mark.id == Some(id)) else {
            return false;
        };
        mark.until = until.max(mark.until);
        match self.held_mut(now, slot) {
            Some(Held { value: Value::Marks(marks), until }) if marks.standing.len() == standing.len() => {
                *until = last(&standing);
                marks.standing = standing;
            }
            _ => self.put_marks(now, slot.clone(), standing),
        }
        true
    }

    /// The marks in a slot that have not ended yet.
    fn standing(&self, now: u64, slot: &Slot) -> Vec<Standing> {
        match self.value(now, slot) {
            Some(Value::Marks(marks)) => marks.standing.iter().copied().filter(|mark| mark.until > now).collect(),
            _ => Vec::new(),
        }
    }

    /// Holds `standing` under a new token.
    fn put_marks(&mut self, now: u64, slot: Slot, standing: Vec<Standing>) {
        let token = if self.broken.repeating_mark_token { repeating(&standing) } else { self.next_token(now, &slot) };
        let until = last(&standing);
        self.put(slot, Value::Marks(Marks { token, standing }), until);
    }

    fn next_salt(&mut self) -> u64 {
        if self.broken.unsalted_lease { 0 } else { (self.random)() as u64 }
    }

    fn next_token(&mut self, now: u64, slot: &Slot) -> Token {
        if !self.broken.counter_tokens || matches!(slot, Slot::Lease(_)) {
            return Token((self.random)());
        }
        match self.value(now, slot) {
            Some(Value::Token(Token(count)) | Value::Marks(Marks { token: Token(count), .. })) => Token(count + 1),
            _ => Token(1),
        }
    }

    fn state(&self, now: u64, slot: &Slot) -> State {
        match self.value(now, slot) {
            Some(&Value::Token(token)) => State::Token(token),
            Some(Value::Marks(marks)) => State::Pending { token: marks.token, strict: marks.strict() },
            _ => State::Absent,
        }
    }

    fn holds(&self, now: u64, key: &Name, lease: LeaseId) -> bool {
        let slot = Slot::Lease(key.clone());
        matches!(self.value(now, &slot), Some(&Value::Lease { id, .. }) if id == lease)
    }

    fn value(&self, now: u64, slot: &Slot) -> Option<&Value> {
        self.slots.get(slot).filter(|held| held.until > now).map(|held| &held.value)
    }

    fn held_mut(&mut self, now: u64, slot: &Slot) -> Option<&mut Held> {
        self.slots.get_mut(slot).filter(|held| held.until > now)
    }

    fn put(&mut self, slot: Slot, value: Value, until: u64) {
        self.slots.insert(slot, Held { value, until });
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("slots", &self.slots).field("broken", &self.broken).finish_non_exhaustive()
    }
}

/// A life is at least a millisecond, as it is in Redis.
fn after(now: u64, life: Duration) -> u64 {
    now.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::MutexGuard;
    use std::sync::PoisonError;

    use super::*;
    use crate::store::Keeps;
    use crate::store::Reply;
    use crate::store::Store;
    use crate::store::StoreError;
    use crate::store::conformance;
    use crate::store::conformance::Subject;
    use crate::store::conformance::Waiting;

    /// The model and a clock that stands still.
    #[derive(Clone, Debug)]
    struct Held(Arc<Mutex<(Model, u64)>>);

    impl Held {
        fn new(broken: Broken) -> Self {
            let mut model = Model::new(rand::random);
            model.broken = broken;
            Self(Arc::new(Mutex::new((model, 1_000_000))))
        }

        fn lock(&self) -> MutexGuard<'_, (Model, u64)> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn reply<T: Send + 'static>(&self, run: impl FnOnce(&mut Model, u64) -> T) -> Reply<'_, T> {
            let (model, now) = &mut *self.lock();
            let reply = Ok::<T, StoreError>(run(model, *now));
            Box::pin(std::future::ready(reply))
        }
    }

    impl Store for Held {
        fn keeps(&self) -> Keeps {
            Keeps::Bytes
        }

        fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
            self.reply(|model, now| reads.iter().map(|read| model.read(now, read)).collect())
        }

        fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
            self.reply(|model, now| model.begin(now, &begin))
        }

        fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
            self.reply(|model, now| model.renew(now, &key, lease, generation, life))
        }

        fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
            self.reply(|model, now| model.release(now, &key, lease))
        }

        fn fill(&self, fill: Fill) -> Reply<'_, bool> {
            self.reply(|model, now| model.fill(now, &fill))
        }

        fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
            self.reply(|model, now| model.touch(now, &key, life))
        }

        fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
            self.reply(|model, now| model.mark(now, &targets, &mark))
        }

        fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
            self.reply(|model, now| model.revoke(now, &targets, ended))
        }
    }

    impl Subject for Held {
        fn store(&self) -> Arc<dyn Store> {
            Arc::new(self.clone())
        }

        fn advance(&self, by: Duration) -> Waiting<'_> {
            self.lock().1 += u64::try_from(by.as_millis()).unwrap();
            Box::pin(std::future::ready(()))
        }
    }

    async fn laws_broken_by(broken: Broken) -> Vec<&'static str> {
        conformance::breaches(&Held::new(broken)).await.into_iter().map(|breach| breach.law).collect()
    }

    #[tokio::test]
    async fn the_model_conforms() {
        conformance::all(&Held::new(Broken::default())).await;
    }

    #[tokio::test]
    async fn a_fill_without_a_look_at_the_lease_is_found() {
        let laws = laws_broken_by(Broken { unfenced_fill: true, ..Broken::default() }).await;
        assert!(laws.contains(&"a fill after a revocation is refused"), "{laws:?}");
    }

    #[tokio::test]
    async fn counters_are_found() {
        let laws = laws_broken_by(Broken { counter_tokens: true, ..Broken::default() }).await;
        assert!(laws.contains(&"an expired token never returns"), "{laws:?}");
    }

    #[tokio::test]
    async fn a_mark_token_that_repeats_is_found() {
        let laws = laws_broken_by(Broken { repeating_mark_token: true, ..Broken::default() }).await;
        assert!(laws.contains(&"the same marks again have another token"), "{laws:?}");
    }

    #[tokio::test]
    async fn a_lease_without_a_half_of_the_stores_is_found() {
        let laws = laws_broken_by(Broken { unsalted_lease: true, ..Broken::default() }).await;
        let law = "a request delivered again after a revocation does not revive the first lease";
        assert!(laws.contains(&law), "{laws:?}");
    }

    #[test]
    fn steps_of_a_revocation_begin_with_the_lease_unless_broken() {
        let targets = Targets { keys: vec![Name::new(b"k")], tags: Vec::new() };
        let mut model = Model::new(rand::random);
        let slots = |model: &Model| model.revoke_steps(&targets, None).into_iter().map(|step| step.slot).collect();
        let key = || Name::new(b"k");
        let right: Vec<Slot> = slots(&model);
        assert_eq!(right, [Slot::Lease(key()), Slot::Entry(key()), Slot::KeyToken(key())]);
        model.broken.entry_first = true;
        let wrong: Vec<Slot> = slots(&model);
        assert_eq!(wrong, [Slot::Entry(key()), Slot::Lease(key()), Slot::KeyToken(key())]);
    }

    #[test]
    fn marks_of_one_slot_are_bounded() {
        let targets = Targets { keys: Vec::new(), tags: vec![Name::new(b"t")] };
        let mut model = Model::new(rand::random);
        for id in 0..1000 {
            let mark = Mark { id: MarkId(id), life: Duration::from_secs(3), strict: false, renew: false, late: false };
            model.mark(0, &targets, &mark);
        }
        let slot = Slot::Tag(Name::new(b"t"));
        assert!(matches!(&model.slots[&slot].value, Value::Marks(marks) if marks.standing.len() <= MOST_MARKS));
    }
}
