//! Several stores as one: each name has its place on one of them, which never changes.
//!
//! - A name is placed by a hash of it and of the server's address as written (rendezvous hashing), so every process with the same list places it alike, in whatever order the list is.
//! - A server that is away is never replaced by another: its names are unknown until it is back, a call that needs one of them loads and stores nothing, and what is invalidated there waits for it. If another
//!   took its place, what was invalidated on that one would live on here.
//! - What belongs to other servers goes on. Each has a breaker of its own, and invalidations that wait are delivered to each by itself.
//! - What one operation asks of several servers it asks at the same time. It fails if one of them does; what was changed on the others then has been changed, which does no harm.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::debt::Placing;
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
use crate::store::listing::Gone;
use crate::store::listing::Page;
use crate::store::witnesses;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;

/// See the module.
pub(crate) struct Fleet {
    nodes: Vec<Arc<dyn Store>>,
    ring: Arc<Ring>,
}

/// Which node a name is placed on.
pub(crate) struct Ring {
    /// A hash of each node's address.
    seeds: Vec<u64>,
    /// Says of each node whether it is away, so that others take its names: the mistake that a negative control makes.
    #[cfg(feature = "sim")]
    pub(crate) ejects: Vec<Box<dyn Fn() -> bool + Send + Sync>>,
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

    /// Names for witnesses of the epoch, each on a server of its own.
    pub(crate) fn witnesses(&self) -> Vec<Name> {
        witnesses::names(self.seeds.len(), |name| self.home(name))
    }

    /// The place of a name, whoever is away.
    fn home(&self, name: &Name) -> usize {
        (0..self.seeds.len()).max_by_key(|&place| self.weight(place, name)).unwrap_or(0)
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
        self.home(name)
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
        Self { nodes, ring }
    }

    fn node(&self, name: &Name) -> &dyn Store {
        &*self.nodes[self.ring.place(name)]
    }

    async fn read_split(&self, reads: Vec<Read>) -> Result<Vec<Reading>, StoreError> {
        let mut parts = Parts::new(self.nodes.len());
        for (number, read) in reads.iter().enumerate() {
            for (at, register) in read.registers.iter().enumerate() {
                let part = parts.part(self.ring.place_of(register), number);
                part.read.registers.push(register.clone());
                part.ats.push(at);
            }
            if let Some(key) = &read.entry {
                parts.part(self.ring.place(key), number).read.entry = Some(key.clone());
            }
        }
        let asked = parts.0.iter().enumerate().filter(|(_, parts)| !parts.is_empty());
        let asked =
            asked.map(|(place, parts)| self.nodes[place].read(parts.iter().map(|part| part.read.clone()).collect()));
        let mut answers = join_all(asked).await.into_iter();
        let empty = |read: &Read| Reading { entry: None, states: vec![State::Absent; read.registers.len()] };
        let mut merged: Vec<Reading> = reads.iter().map(empty).collect();
        for parts in parts.0.iter().filter(|parts| !parts.is_empty()) {
            let readings = answers.next().ok_or_else(odd)??;
            if readings.len() != parts.len() {
                return Err(odd());
            }
            for (part, reading) in parts.iter().zip(readings) {
                let whole = &mut merged[part.number];
                whole.entry = reading.entry.or(whole.entry.take());
                part.ats.iter().zip(reading.states).for_each(|(&at, state)| whole.states[at] = state);
            }
        }
        Ok(merged)
    }

    async fn begin_split(&self, begin: Begin) -> Result<Begun, StoreError> {
        let mut parts: Vec<(Vec<Register>, Vec<usize>)> = vec![Default::default(); self.nodes.len()];
        for (at, register) in begin.registers.iter().enumerate() {
            let (registers, ats) = &mut parts[self.ring.place_of(register)];
            registers.push(register.clone());
            ats.push(at);
        }
        let lessor = begin.lease.as_ref().map(|request| self.ring.place(&request.key));
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for (place, (registers, ats)) in parts.into_iter().enumerate() {
            let lease = begin.lease.clone().filter(|_| lessor == Some(place));
            if lease.is_some() || !registers.is_empty() {
                asked.push(self.nodes[place].begin(Begin { lease, registers, token_life: begin.token_life }));
                places.push(ats);
            }
        }
        let mut whole = Begun { states: vec![State::Absent; begin.registers.len()], lease: None };
        for (ats, begun) in places.into_iter().zip(join_all(asked).await) {
            let begun = begun?;
            ats.into_iter().zip(begun.states).for_each(|(at, state)| whole.states[at] = state);
            whole.lease = begun.lease.or(whole.lease);
        }
        Ok(whole)
    }

    async fn fill_split(&self, mut fill: Fill) -> Result<bool, StoreError> {
        let place = self.ring.place(&fill.key);
        let mut touched = self.by_node(std::mem::take(&mut fill.touch));
        fill.touch = std::mem::take(&mut touched[place]);
        let life = fill.token_life;
        let filling = self.nodes[place].fill(fill);
        let touching = touched.into_iter().enumerate().filter(|(_, registers)| !registers.is_empty());
        let touching = touching.map(|(place, registers)| self.nodes[place].live_on(registers, life));
        // Whether the tokens live on is a matter of hits to come, not of this fill.
        tokio::join!(filling, join_all(touching)).0
    }

    /// The registers that are on each node.
    fn by_node(&self, registers: Vec<Register>) -> Vec<Vec<Register>> {
        let mut parts = vec![Vec::new(); self.nodes.len()];
        for register in registers {
            parts[self.ring.place_of(&register)].push(register);
        }
        parts
    }

    /// Tells every node its part of `targets`.
    async fn tell<'a>(
        &'a self,
        targets: Targets,
        call: impl Fn(&'a dyn Store, Targets) -> Reply<'a, ()>,
    ) -> Result<(), StoreError> {
        let parts = self.by_node(targets.registers().collect()).into_iter().enumerate();
        let parts = parts.filter(|(_, part)| !part.is_empty());
        let told = parts.map(|(place, part)| call(&*self.nodes[place], part.into_iter().collect()));
        join_all(told).await.into_iter().collect()
    }
}

/// What is asked of each node, of each read.
struct Parts(Vec<Vec<Part>>);

struct Part {
    /// Which of the reads it is a part of.
    number: usize,
    read: Read,
    /// Of each register, which one of that read it is.
    ats: Vec<usize>,
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
}

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
        let parts = self.by_node(registers).into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        let touched = join_all(parts.map(|(place, part)| self.nodes[place].live_on(part, life)));
        Box::pin(async { touched.await.into_iter().collect() })
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |node, part| node.mark(part, mark)))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        Box::pin(self.tell(targets, move |node, part| node.revoke(part, ended)))
    }

    fn lists(&self) -> bool {
        self.nodes.iter().all(|node| node.lists())
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        self.node(&tag).listed(tag, from)
    }

    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        self.node(&tag).discard(tag, gone)
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
