//! Several stores as one: each name has its place on one of them, which never changes.
//!
//! - A name is placed by a hash of it and of the server's address as written (rendezvous hashing), so every process with the same list places it alike, in whatever order the list is.
//! - A server that is away is never replaced by another: its names are unknown until it is back, a call that needs one of them loads and stores nothing, and what is invalidated there waits for it. If another
//!   took its place, what was invalidated on that one would live on here.
//! - What belongs to other servers goes on. Each has a breaker of its own, and invalidations that wait are delivered to each by itself.
//! - What one operation asks of several servers it asks at the same time. It fails if one of them does; what was changed on the others then has been changed, which does no harm.
//!
//! The namespace's [epoch](crate::epoch) is a register like others and has one home, but every entry rests on it. So some other servers are *witnesses*: each keeps a token under the same name. Who empties the
//! namespace removes the epoch first and then all those tokens. As long as the home is away, a process goes on with the epoch that it read last, if some witness has the token that this process had read *before*
//! it read that epoch: had somebody emptied the namespace since, and been told so, that token were gone. A process that has read neither uses nothing until the home is back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::core::lock;
use crate::debt::Placing;
use crate::epoch;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// See the module.
pub(crate) struct Fleet {
    nodes: Vec<Arc<dyn Store>>,
    ring: Arc<Ring>,
    /// Where the epoch has its witnesses.
    witnesses: Vec<usize>,
    /// What is known of each witness. Locked for a moment, and only where the epoch is read.
    known: Mutex<Vec<Known>>,
}

/// Which node a name is placed on.
pub(crate) struct Ring {
    /// A hash of each node's address.
    seeds: Vec<u64>,
    /// Says of each node whether it is away, so that others take its names: the mistake that a negative control makes.
    #[cfg(feature = "sim")]
    pub(crate) ejects: Vec<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// What is known of a witness.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    /// Its token as it was read last.
    token: Option<Token>,
    /// A token of it, and an epoch that was read after that.
    vouches: Option<(Token, Token)>,
}

impl Ring {
    /// Places names on servers with these addresses, each of which is another.
    pub(crate) fn new(servers: &[String]) -> Self {
        Self {
            seeds: servers.iter().map(|server| xxh3_64(server.as_bytes())).collect(),
            #[cfg(feature = "sim")]
            ejects: Vec::new(),
        }
    }

    /// The place of a key, of its token or of a tag.
    pub(crate) fn place(&self, name: &Name) -> usize {
        let places = 0..self.seeds.len();
        #[cfg(feature = "sim")]
        let places = places.filter(|&place| self.ejects.get(place).is_none_or(|is_away| !is_away()));
        places.max_by_key(|&place| self.weight(place, name)).unwrap_or(0)
    }

    /// All places, that of `name` first.
    fn ranking(&self, name: &Name) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.seeds.len()).collect();
        places.sort_by_key(|&place| std::cmp::Reverse(self.weight(place, name)));
        places
    }

    fn weight(&self, place: usize, name: &Name) -> (u64, u64) {
        let seed = self.seeds[place];
        (xxh3_64_with_seed(name.as_str().as_bytes(), seed), seed)
    }

    fn place_of(&self, register: &Register) -> usize {
        self.place(register.name())
    }
}

/// Each node has one slot, which it keeps.
impl Placing for Arc<Ring> {
    fn slot(&self, name: &Name) -> usize {
        // Whoever ejects it, what is owed is owed to its home.
        self.ranking(name)[0]
    }

    fn node(&self, slot: usize) -> Option<usize> {
        Some(slot)
    }

    fn nodes(&self) -> Vec<usize> {
        (0..self.seeds.len()).collect()
    }

    fn parts(&self) -> usize {
        self.seeds.len()
    }
}

impl Fleet {
    /// A fleet of `nodes`, in the order in which `ring` knows them.
    pub(crate) fn new(nodes: Vec<Arc<dyn Store>>, ring: Arc<Ring>) -> Self {
        let ranking = ring.ranking(&epoch::name());
        let witnesses: Vec<usize> = ranking.into_iter().skip(1).take(MOST_WITNESSES).collect();
        let known = Mutex::new(vec![Known::default(); witnesses.len()]);
        Self { nodes, ring, witnesses, known }
    }

    fn node(&self, name: &Name) -> &dyn Store {
        &*self.nodes[self.ring.place(name)]
    }

    /// The tokens of the witnesses, as they are known now.
    fn tokens(&self) -> Vec<Option<Token>> {
        lock(&self.known).iter().map(|known| known.token).collect()
    }

    /// The epoch, as its home says it or as a witness vouches for it. `before` is what was known of the witnesses when the epoch was asked for, `seen` what they say now.
    fn epoch(
        &self,
        before: &[Option<Token>],
        seen: &[Option<State>],
        epoch: Result<State, StoreError>,
    ) -> Result<State, StoreError> {
        let mut all = lock(&self.known);
        let mut vouched = None;
        for ((known, before), seen) in all.iter_mut().zip(before).zip(seen) {
            let stands = |token: Token| *seen == Some(State::Token(token));
            vouched = known.vouches.filter(|(token, _)| stands(*token)).map(|(_, epoch)| epoch).or(vouched);
            match &epoch {
                Ok(State::Token(epoch)) => {
                    known.vouches = before.filter(|before| stands(*before)).map(|before| (before, *epoch))
                }
                Ok(_) => known.vouches = None,
                Err(_) => {}
            }
            known.token = if let Some(State::Token(token)) = seen { Some(*token) } else { None };
        }
        match (epoch, vouched) {
            (Err(_), Some(epoch)) => Ok(State::Token(epoch)),
            (epoch, _) => epoch,
        }
    }

    async fn read_split(&self, reads: Vec<Read>) -> Result<Vec<Reading>, StoreError> {
        let mut parts = Parts::new(self.nodes.len());
        let before = self.tokens();
        for (number, read) in reads.iter().enumerate() {
            for (at, register) in read.registers.iter().enumerate() {
                parts.add(self.ring.place_of(register), number, register.clone(), At::Register(at));
                for (witness, place) in self.witnesses.iter().enumerate().filter(|_| register.is_epoch()) {
                    parts.add(*place, number, epoch::register(), At::Witness(witness));
                }
            }
            if let Some(key) = &read.entry {
                parts.part(self.ring.place(key), number).read.entry = Some(key.clone());
            }
        }
        let asked = parts.0.iter().enumerate().filter(|(_, parts)| !parts.is_empty());
        let asked =
            asked.map(|(place, parts)| self.nodes[place].read(parts.iter().map(|part| part.read.clone()).collect()));
        let mut answers = join_all(asked).await.into_iter();
        let mut merging: Vec<Merging> = reads.iter().map(|read| Merging::of(read, self.witnesses.len())).collect();
        for parts in parts.0.iter().filter(|parts| !parts.is_empty()) {
            match answers.next().ok_or_else(odd)? {
                Ok(readings) if readings.len() == parts.len() => {
                    for (part, reading) in parts.iter().zip(readings) {
                        merging[part.number].take(part, reading);
                    }
                }
                Ok(_) => return Err(odd()),
                Err(error) => parts.iter().for_each(|part| merging[part.number].lack(part, &error)),
            }
        }
        let is_missing = |witness: usize| merging.iter().any(|one| one.seen[witness] == Some(State::Absent));
        let missing: Vec<usize> = (0..self.witnesses.len()).filter(|&witness| is_missing(witness)).collect();
        let merged = merging.into_iter().zip(&reads).map(|(one, read)| self.merged(one, read, &before));
        let readings = merged.collect::<Result<Vec<_>, _>>();
        self.create_witnesses(missing).await;
        readings
    }

    fn merged(&self, merging: Merging, read: &Read, before: &[Option<Token>]) -> Result<Reading, StoreError> {
        let Merging { entry, states, seen, failed } = merging;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(Reading { entry, states: self.states(states, &read.registers, &seen, before)? })
    }

    /// The states of `registers`, of which that of the epoch may be one that a witness vouches for.
    fn states(
        &self,
        said: Vec<Option<Result<State, StoreError>>>,
        registers: &[Register],
        seen: &[Option<State>],
        before: &[Option<Token>],
    ) -> Result<Vec<State>, StoreError> {
        let state = |(said, register): (Option<Result<State, StoreError>>, &Register)| {
            let said = said.unwrap_or_else(|| Err(odd()));
            if register.is_epoch() { self.epoch(before, seen, said) } else { said }
        };
        said.into_iter().zip(registers).map(state).collect()
    }

    async fn create_witnesses(&self, missing: Vec<usize>) {
        let registers = vec![epoch::register()];
        let token_life = epoch::life(&registers, Duration::ZERO);
        let begin = Begin { lease: None, registers, token_life };
        let creating = missing.iter().map(|&witness| self.nodes[self.witnesses[witness]].begin(begin.clone()));
        // Without a witness the epoch is read at its home, as long as that is there.
        drop(join_all(creating).await);
    }

    async fn begin_split(&self, begin: Begin) -> Result<Begun, StoreError> {
        let before = self.tokens();
        let mut parts: Vec<(Vec<Register>, Vec<At>)> = vec![Default::default(); self.nodes.len()];
        for (at, register) in begin.registers.iter().enumerate() {
            let mut add = |place: usize, at: At| {
                parts[place].0.push(register.clone());
                parts[place].1.push(at);
            };
            add(self.ring.place_of(register), At::Register(at));
            let witnesses = self.witnesses.iter().enumerate().filter(|_| register.is_epoch());
            witnesses.for_each(|(witness, place)| add(*place, At::Witness(witness)));
        }
        let lessor = begin.lease.as_ref().map(|request| self.ring.place(&request.key));
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for (place, (registers, _)) in parts.iter_mut().enumerate() {
            let lease = begin.lease.clone().filter(|_| lessor == Some(place));
            if lease.is_some() || !registers.is_empty() {
                let registers = std::mem::take(registers);
                asked.push(self.nodes[place].begin(Begin { lease, registers, token_life: begin.token_life }));
                places.push(place);
            }
        }
        let mut states = vec![None; begin.registers.len()];
        let mut seen = vec![None; self.witnesses.len()];
        let mut lease = None;
        for (place, answer) in places.into_iter().zip(join_all(asked).await) {
            match answer {
                Ok(begun) => {
                    for (at, state) in parts[place].1.iter().zip(begun.states) {
                        match at {
                            At::Register(at) => states[*at] = Some(Ok(state)),
                            At::Witness(witness) => seen[*witness] = Some(state),
                        }
                    }
                    lease = begun.lease.or(lease);
                }
                Err(error) if lessor == Some(place) => return Err(error),
                Err(error) => {
                    for at in &parts[place].1 {
                        if let At::Register(at) = at {
                            states[*at] = Some(Err(error.clone()));
                        }
                    }
                }
            }
        }
        Ok(Begun { states: self.states(states, &begin.registers, &seen, &before)?, lease })
    }

    async fn fill_split(&self, mut fill: Fill) -> Result<bool, StoreError> {
        let place = self.ring.place(&fill.key);
        let mut touched: Vec<Vec<Register>> = vec![Vec::new(); self.nodes.len()];
        for register in std::mem::take(&mut fill.touch) {
            let witnesses = self.witnesses.iter().filter(|_| register.is_epoch());
            witnesses.for_each(|&place| touched[place].push(register.clone()));
            touched[self.ring.place_of(&register)].push(register);
        }
        fill.touch = std::mem::take(&mut touched[place]);
        let life = fill.token_life;
        let filling = self.nodes[place].fill(fill);
        let touching = touched.into_iter().enumerate().filter(|(_, registers)| !registers.is_empty());
        let touching = touching.map(|(place, registers)| self.nodes[place].live_on(registers, life));
        // Whether the tokens live on is a matter of hits to come, not of this fill.
        tokio::join!(filling, join_all(touching)).0
    }

    /// Tells every node its part of `targets`, and the witnesses what is said of the epoch, after its home has heard it.
    async fn tell<'a>(
        &'a self,
        targets: Targets,
        call: impl Fn(&'a dyn Store, Targets) -> Reply<'a, ()>,
    ) -> Result<(), StoreError> {
        let mut parts = vec![Targets::default(); self.nodes.len()];
        let is_everything = targets.tags.contains(&epoch::name());
        for tag in targets.tags {
            parts[self.ring.place(&tag)].tags.push(tag);
        }
        for key in targets.keys {
            parts[self.ring.place(&key)].keys.push(key);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        let told = parts.map(|(place, part)| call(&*self.nodes[place], part));
        join_all(told).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        if is_everything {
            let told = self.witnesses.iter().map(|&place| call(&*self.nodes[place], Targets::everything()));
            join_all(told).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        Ok(())
    }
}

/// What is asked of each node, of each read.
struct Parts(Vec<Vec<Part>>);

struct Part {
    /// Which of the reads it is a part of.
    number: usize,
    read: Read,
    /// Of each register, what it is in that read.
    ats: Vec<At>,
}

#[derive(Clone, Copy)]
enum At {
    Register(usize),
    Witness(usize),
}

impl Parts {
    fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|_| Vec::new()).collect())
    }

    fn part(&mut self, place: usize, number: usize) -> &mut Part {
        let parts = &mut self.0[place];
        if parts.last().is_none_or(|part| part.number != number) {
            let read = Read { entry: None, registers: Vec::new() };
            parts.push(Part { number, read, ats: Vec::new() });
        }
        let last = parts.len() - 1;
        &mut parts[last]
    }

    fn add(&mut self, place: usize, number: usize, register: Register, at: At) {
        let part = self.part(place, number);
        part.read.registers.push(register);
        part.ats.push(at);
    }
}

/// A read as its parts come in.
struct Merging {
    entry: Option<(LeaseId, crate::store::Blob)>,
    /// Of each register what its home says, once that has answered.
    states: Vec<Option<Result<State, StoreError>>>,
    /// What each witness says.
    seen: Vec<Option<State>>,
    /// Why the entry is not known.
    failed: Option<StoreError>,
}

impl Merging {
    fn of(read: &Read, witnesses: usize) -> Self {
        Self { entry: None, states: vec![None; read.registers.len()], seen: vec![None; witnesses], failed: None }
    }

    fn take(&mut self, part: &Part, reading: Reading) {
        self.entry = reading.entry.or(self.entry.take());
        for (at, state) in part.ats.iter().zip(reading.states) {
            match at {
                At::Register(at) => self.states[*at] = Some(Ok(state)),
                At::Witness(witness) => self.seen[*witness] = Some(state),
            }
        }
    }

    fn lack(&mut self, part: &Part, error: &StoreError) {
        if part.read.entry.is_some() {
            self.failed = Some(error.clone());
        }
        for at in &part.ats {
            if let At::Register(at) = at {
                self.states[*at] = Some(Err(error.clone()));
            }
        }
    }
}

/// How many servers vouch for the epoch.
const MOST_WITNESSES: usize = 3;

fn odd() -> StoreError {
    StoreError::Refused("a reply of another length".into())
}

#[deny(clippy::missing_trait_methods)]
impl Store for Fleet {
    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async { drop(join_all(self.nodes.iter().map(|node| node.ready())).await) })
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        Box::pin(self.read_split(reads))
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        Box::pin(self.begin_split(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        self.node(&key).renew(key, lease, generation, life)
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.node(&key).release(key, lease)
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        Box::pin(self.fill_split(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        self.node(&key).touch(key, life)
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        let mut parts: Vec<Vec<Register>> = vec![Vec::new(); self.nodes.len()];
        for register in registers {
            parts[self.ring.place_of(&register)].push(register);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        let touched = join_all(parts.map(|(place, part)| self.nodes[place].live_on(part, life)));
        Box::pin(async { touched.await.into_iter().collect() })
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |node, part| node.mark(part, mark)))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |node, part| node.revoke(part, ended)))
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.nodes).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(servers: &[&str]) -> Ring {
        Ring::new(&servers.iter().map(|&server| server.to_owned()).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn the_order_of_the_list_does_not_matter(name in "[a-z:0-9]{1,40}") {
            let (one, other) = (["a:1", "b:1", "c:1"], ["c:1", "a:1", "b:1"]);
            let name = Name::new(name.as_bytes());
            prop_assert_eq!(one[ring(&one).place(&name)], other[ring(&other).place(&name)]);
        }

        #[test]
        fn a_server_more_takes_names_and_moves_none_between_the_others(name in "[a-z:0-9]{1,40}") {
            let (few, many) = (["a:1", "b:1"], ["a:1", "b:1", "c:1"]);
            let name = Name::new(name.as_bytes());
            let (before, after) = (few[ring(&few).place(&name)], many[ring(&many).place(&name)]);
            prop_assert!(after == before || after == "c:1");
        }
    }

    #[test]
    fn names_are_spread_evenly() {
        let ring = ring(&["a:1", "b:1", "c:1"]);
        let mut counts = [0; 3];
        for number in 0..3000 {
            counts[ring.place(&Name::new(format!("user:{number}").as_bytes()))] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
