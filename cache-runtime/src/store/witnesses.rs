//! Witnesses of the namespace's epoch, on a store of several servers.
//!
//! The epoch is a register like others and has one home, but every entry rests on it. So some other servers are *witnesses*: each keeps a token, under a name that no tag has. Who empties the namespace removes the
//! epoch first and then all those tokens, and has not emptied it before all of them have heard it. As long as the home is away, a process goes on with the epoch that it read last, if some witness has the token
//! that this process had read *before* it read that epoch: had somebody emptied the namespace since, that token were gone. A process that has read neither uses nothing until the home is back.
//!
//! What is asked of the witnesses is asked beside the rest, at the same time, and none of them is needed while the home answers.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;

use crate::core::lock;
use crate::epoch;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::pass_on::passes_on;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// A store whose epoch has witnesses.
pub(crate) struct Witnessed {
    store: Arc<dyn Store>,
    witnesses: Vec<Name>,
    /// What is known of each witness. Locked for a moment, and only where the epoch is read.
    known: Mutex<Vec<Known>>,
}

/// What is known of a witness.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    /// Its token as it was read last.
    token: Option<Token>,
    /// A token of it, and an epoch that was read after that.
    vouches: Option<(Token, Token)>,
}

/// Names for witnesses on a store that puts names in so many `places`: each in another place, and none where the epoch is. All processes come to the same.
pub(crate) fn names(places: usize, place: impl Fn(&Name) -> usize) -> Vec<Name> {
    let mut taken = vec![place(&epoch::name())];
    let numbered = (1..MOST_TRIES).map(Name::witness);
    let apart = numbered.filter(|name| {
        let at = place(name);
        let is_free = !taken.contains(&at);
        if is_free {
            taken.push(at);
        }
        is_free
    });
    apart.take(MOST_WITNESSES.min(places.saturating_sub(1))).collect()
}

impl Witnessed {
    pub(crate) fn new(store: Arc<dyn Store>, witnesses: Vec<Name>) -> Self {
        let known = Mutex::new(vec![Known::default(); witnesses.len()]);
        Self { store, witnesses, known }
    }

    fn registers(&self) -> impl Iterator<Item = Register> {
        self.witnesses.iter().cloned().map(Register::Tag)
    }

    /// The tokens of the witnesses, as they are known now.
    fn tokens(&self) -> Vec<Option<Token>> {
        lock(&self.known).iter().map(|known| known.token).collect()
    }

    /// The epoch, as its home says it or as a witness vouches for it. `before` is what was known of the witnesses when the epoch was asked for, `seen` what they say now.
    fn epoch(
        &self,
        before: &[Option<Token>],
        seen: &[Result<State, StoreError>],
        epoch: Result<State, StoreError>,
    ) -> Result<State, StoreError> {
        let mut all = lock(&self.known);
        let mut vouched = None;
        for ((known, before), seen) in all.iter_mut().zip(before).zip(seen) {
            let stands = |token: Token| *seen == Ok(State::Token(token));
            vouched = known.vouches.filter(|(token, _)| stands(*token)).map(|(_, epoch)| epoch).or(vouched);
            match &epoch {
                Ok(State::Token(epoch)) => {
                    known.vouches = before.filter(|before| stands(*before)).map(|before| (before, *epoch));
                }
                Ok(_) => known.vouches = None,
                Err(_) => {}
            }
            known.token = if let Ok(State::Token(token)) = seen { Some(*token) } else { None };
        }
        match (epoch, vouched) {
            (Err(_), Some(epoch)) => Ok(State::Token(epoch)),
            (epoch, _) => epoch,
        }
    }

    async fn read_vouched(&self, mut reads: Vec<Read>) -> Result<Vec<Reading>, StoreError> {
        let before = self.tokens();
        let places: Vec<Option<usize>> = reads.iter_mut().map(|read| without_epoch(&mut read.registers)).collect();
        let one = |register| self.read_one(register);
        let (readings, epoch, seen) =
            tokio::join!(self.store.read(reads), one(epoch::register()), join_all(self.registers().map(one)));
        let epoch = self.epoch(&before, &seen, epoch);
        self.create_missing(&seen).await;
        let (mut readings, epoch) = (readings?, epoch?);
        for (reading, place) in readings.iter_mut().zip(places) {
            insert(&mut reading.states, place, epoch)?;
        }
        Ok(readings)
    }

    async fn read_one(&self, register: Register) -> Result<State, StoreError> {
        let readings = self.store.read(vec![Read { entry: None, registers: vec![register] }]).await?;
        readings.first().and_then(|reading| reading.states.first()).copied().ok_or_else(odd)
    }

    async fn create_missing(&self, seen: &[Result<State, StoreError>]) {
        let life = epoch::life(&[epoch::register()], Duration::ZERO);
        let missing = self.registers().zip(seen).filter(|(_, state)| **state == Ok(State::Absent));
        // Without a witness the epoch is read at its home, as long as that is there.
        drop(join_all(missing.map(|(register, _)| self.begin_one(register, life))).await);
    }

    async fn begin_vouched(&self, mut begin: Begin) -> Result<Begun, StoreError> {
        let before = self.tokens();
        let place = without_epoch(&mut begin.registers);
        let one = |register| self.begin_one(register, begin.token_life);
        let (epoch, seen) = (one(epoch::register()), join_all(self.registers().map(one)));
        let (begun, epoch, seen) = tokio::join!(self.store.begin(begin.clone()), epoch, seen);
        let epoch = self.epoch(&before, &seen, epoch);
        let mut begun = begun?;
        insert(&mut begun.states, place, epoch?)?;
        Ok(begun)
    }

    async fn begin_one(&self, register: Register, token_life: Duration) -> Result<State, StoreError> {
        let begun = self.store.begin(Begin { lease: None, registers: vec![register], token_life }).await?;
        begun.states.first().copied().ok_or_else(odd)
    }

    /// What has to live on together with `registers`.
    fn with_witnesses(&self, mut registers: Vec<Register>) -> Vec<Register> {
        if registers.iter().any(Register::is_epoch) {
            registers.extend(self.registers());
        }
        registers
    }

    /// Tells the store, and then the witnesses what is said of the epoch.
    async fn tell<'a>(
        &'a self,
        targets: Targets,
        call: impl Fn(&'a dyn Store, Targets) -> Reply<'a, ()>,
    ) -> Result<(), StoreError> {
        let is_everything = targets.tags.contains(&epoch::name());
        call(&*self.store, targets).await?;
        if is_everything {
            call(&*self.store, Targets { keys: Vec::new(), tags: self.witnesses.clone() }).await?;
        }
        Ok(())
    }
}

/// Takes the epoch out of `registers`, and says where it was.
fn without_epoch(registers: &mut Vec<Register>) -> Option<usize> {
    let place = registers.iter().position(Register::is_epoch)?;
    registers.remove(place);
    Some(place)
}

/// Puts the epoch where it was.
fn insert(states: &mut Vec<State>, place: Option<usize>, epoch: State) -> Result<(), StoreError> {
    let Some(place) = place else { return Ok(()) };
    if place > states.len() {
        return Err(odd());
    }
    states.insert(place, epoch);
    Ok(())
}

fn odd() -> StoreError {
    StoreError::Refused("a reply of another length".into())
}

/// How many servers vouch for the epoch.
const MOST_WITNESSES: usize = 3;
/// How many names are looked at for one in every place.
const MOST_TRIES: usize = 10_000;

#[deny(clippy::missing_trait_methods)]
impl Store for Witnessed {
    passes_on!(store: keeps ready renew release touch lists listed discard);

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        if reads.iter().any(|read| read.registers.iter().any(Register::is_epoch)) {
            Box::pin(self.read_vouched(reads))
        } else {
            self.store.read(reads)
        }
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        if begin.registers.iter().any(Register::is_epoch) {
            Box::pin(self.begin_vouched(begin))
        } else {
            self.store.begin(begin)
        }
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        let touch = self.with_witnesses(fill.touch);
        self.store.fill(Fill { touch, ..fill })
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        self.store.live_on(self.with_witnesses(registers), life)
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |store, targets| store.mark(targets, mark)))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |store, targets| store.revoke(targets, ended)))
    }
}

impl fmt::Debug for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[cfg(test)]
mod tests;
