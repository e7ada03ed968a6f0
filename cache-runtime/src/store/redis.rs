//! The protocol on Redis.
//!
//! A read is one `MGET`; everything that decides is a script, and one operation is one write. All I/O runs on the runtime that the store was given, so that it is
//! called from any executor and outlives every one of them: a caller waits for an answer that always comes, by the deadline.
//!
//! Tokens carry randomness of the client and the time of the server, so no token returns, also when a command is delivered twice. A lease is the id that was asked
//! for: asked for again after a revocation it would be held again, so every [`begin`](Store::begin) asks with an id of its own. Nothing is sent twice here, but for a
//! script that the server has said it did not run. A command whose caller gave up may still run later; alone it does no harm.
//!
//! A server that was restarted from an old snapshot, or that took over from another without having heard of its last deletions, is found out: what is read counts only together with the
//! [incarnation](incarnation) of the server it is read from.

mod calls;
mod cluster;
mod complaints;
mod dial;
mod finder;
mod incarnation;
mod keys;
mod link;
mod listing;
mod nodes;
mod reads;
mod scripts;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod server;
mod settings;
mod slots;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use self::calls::Call;
use self::calls::Change;
pub(crate) use self::cluster::MakeBreaker;
use self::keys::Keys;
use self::link::Answer;
use self::link::Answered;
use self::nodes::Nodes;
use self::reads::Reads;
pub(crate) use self::settings::Settings;
pub(crate) use self::settings::settings;
use self::slots::Slot;
use crate::debt::Debts;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Blob;
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
use crate::token::State;

/// A store in a Redis server.
pub(crate) struct Redis {
    settings: Settings,
    keys: Keys,
    nodes: Arc<Nodes>,
    reads: Reads,
    runtime: Handle,
}

impl Redis {
    /// A store that does its I/O on `runtime`, which must drive I/O and time. Begins to connect, and does not wait for it.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such server.
    pub(crate) fn new(settings: Settings, runtime: Handle, breaker: MakeBreaker) -> Result<Self, String> {
        let keys = Keys::new(&settings.namespace);
        let keys = if settings.is_cluster() { keys.in_slots() } else { keys };
        let (nodes, reads) = {
            let _runtime = runtime.enter();
            let nodes = Nodes::connect(&settings, breaker)?;
            let reads = Reads::start(Arc::clone(&nodes), keys.clone());
            (nodes, reads)
        };
        Ok(Self { settings, keys, nodes, reads, runtime })
    }

    /// What is owed to each of several servers, which have breakers of their own. One server has neither.
    pub(crate) fn debts(&self) -> Option<Debts> {
        self.nodes.debts()
    }

    /// Names for witnesses of the epoch in a Cluster, each in another quarter of the slots.
    pub(crate) fn witnesses(&self) -> Vec<Name> {
        witnesses::names(QUARTERS, |name| usize::from(slots::slot_of(name.as_str())) * QUARTERS / slots::SLOTS)
    }

    fn deadline(&self) -> Instant {
        // The caller's runtime may have a clock of its own.
        Instant::from_std(std::time::Instant::now() + self.settings.op_timeout)
    }

    /// Does `work` on the store's own runtime, to its end even if the caller leaves.
    async fn on_runtime<T, W>(&self, work: impl FnOnce(Arc<Nodes>, Instant) -> W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if let Some(away) = self.nodes.away() {
            return Err(away);
        }
        let work = work(Arc::clone(&self.nodes), self.deadline());
        // A task that is dropped with its runtime says so.
        self.runtime.spawn(work).await.unwrap_or_else(|_| Err(StoreError::Gone("its I/O has ended".into())))
    }

    /// Makes `calls` in one write.
    async fn ask(&self, calls: Vec<Call>) -> Result<std::vec::IntoIter<Answered>, StoreError> {
        let answers = self.on_runtime(async move |nodes, deadline| Ok(nodes.ask(deadline, &calls).await)).await?;
        Ok(answers.into_iter())
    }

    async fn ask_one(&self, call: Call) -> Result<Answer, StoreError> {
        Ok(self.ask(vec![call]).await?.next().ok_or_else(calls::odd)??)
    }

    async fn begin_load(&self, begin: Begin) -> Result<Begun, StoreError> {
        let (mut made, places): (Vec<Call>, Vec<_>) =
            calls::tokens(&self.keys, &begin.registers, begin.token_life).into_iter().unzip();
        made.extend(begin.lease.as_ref().map(|request| calls::lease(&self.keys, request)));
        if made.is_empty() {
            return Ok(Begun { states: Vec::new(), lease: None });
        }
        let mut answers = self.ask(made).await?;
        let mut next = || Ok::<_, StoreError>(answers.next().ok_or_else(calls::odd)??);
        let mut states = vec![State::Absent; begin.registers.len()];
        for places in places {
            for (&place, state) in places.iter().zip(calls::states(next()?, places.len())?) {
                states[place] = state;
            }
        }
        let lease = if begin.lease.is_some() { Some(calls::lease_state(&next()?)?) } else { None };
        Ok(Begun { states, lease })
    }

    async fn fill_entry(&self, fill: Fill) -> Result<bool, StoreError> {
        let Blob::Bytes(bytes) = &fill.blob else {
            return Err(StoreError::Refused("a value that is not encoded".into()));
        };
        let mut made = vec![calls::fill(&self.keys, &fill, bytes)];
        made.extend(calls::touch(&self.keys, &fill.touch, fill.token_life));
        made.extend(fill.listing.iter().flat_map(|listing| listing::list(&self.keys, &fill, listing)));
        // Whether the tokens live on is a matter of hits to come, not of this fill; and whether it is listed, a matter of looking at it.
        calls::is_yes(&self.ask(made).await?.next().ok_or_else(calls::odd)??)
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Changed, StoreError> {
        if changes.is_empty() {
            return Ok(Changed::AsAsked);
        }
        self.on_runtime(async move |nodes, deadline| change(&nodes, deadline, changes).await).await
    }
}

/// How much of a change was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Changed {
    AsAsked,
    /// Where something could not be written, what was there is gone, and nothing else was done.
    OnlyRemoved,
}

/// Changes everything in one write. Where a server is too full for that, or has only some of the keys while their slot moves, what is there is removed, which takes no memory and goes key by key.
async fn change(nodes: &Nodes, deadline: Instant, changes: Vec<Change>) -> Result<Changed, StoreError> {
    let (calls, names): (Vec<Call>, Vec<Vec<String>>) = changes.into_iter().map(|one| (one.call, one.names)).unzip();
    let mut failed = None;
    let mut left = Vec::new();
    for ((answer, call), names) in nodes.ask(deadline, &calls).await.into_iter().zip(&calls).zip(names) {
        match answer {
            Ok(_) => {}
            Err(failure) if failure.is_of_parts => left.push((call.slot, names)),
            Err(failure) => failed = Some(failure),
        }
    }
    let changed = if left.is_empty() { Changed::AsAsked } else { Changed::OnlyRemoved };
    let removed = remove(nodes, deadline, &left).await;
    match failed.map(|failure| failure.error).or(removed.err()) {
        Some(error) => Err(error),
        None => Ok(changed),
    }
}

/// Removes names one after the other of each, so that a lease has gone before its entry does.
async fn remove(nodes: &Nodes, deadline: Instant, left: &[(Slot, Vec<String>)]) -> Result<(), StoreError> {
    let most = left.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
    for place in 0..most {
        let named = left.iter().filter_map(|(slot, names)| Some(calls::unlink(*slot, names.get(place)?)));
        let calls: Vec<Call> = named.collect();
        for answer in nodes.ask(deadline, &calls).await {
            answer?;
        }
    }
    Ok(())
}

/// Masters have runs of slots, so what is in other quarters is with others, wherever those runs end.
const QUARTERS: usize = 4;

impl Store for Redis {
    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let nodes = Arc::clone(&self.nodes);
        // A task that is dropped with its runtime has nothing more to wait for.
        let tried = self.runtime.spawn(async move { nodes.tried().await });
        Box::pin(async { drop(tried.await) })
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        match self.nodes.away() {
            Some(away) => Box::pin(std::future::ready(Err(away))),
            None => self.reads.read(reads, self.deadline()),
        }
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        Box::pin(self.begin_load(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        let call = calls::renew(&self.keys, &key, lease, generation, life);
        Box::pin(async move { calls::is_yes(&self.ask_one(call).await?) })
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        let call = calls::release(&self.keys, &key, lease);
        Box::pin(async move { self.ask_one(call).await.map(drop) })
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        Box::pin(self.fill_entry(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        let call = calls::live_on(&self.keys, &key, life);
        Box::pin(async move { self.ask_one(call).await.map(drop) })
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        let changes = calls::mark(&self.keys, &targets, &mark);
        Box::pin(async move {
            match self.change(changes).await? {
                Changed::AsAsked => Ok(()),
                Changed::OnlyRemoved => Err(StoreError::Refused("it holds no further mark now".into())),
            }
        })
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        let changes = calls::revoke(&self.keys, &targets, ended);
        // What is only removed is invalidated all the same.
        Box::pin(async move { self.change(changes).await.map(drop) })
    }

    fn lists(&self) -> bool {
        true
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        Box::pin(self.page(tag, from))
    }

    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        Box::pin(self.discard_all(tag, gone))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("settings", &self.settings).finish_non_exhaustive()
    }
}
