//! Reads share round trips.
//!
//! A read is queued; a task takes all that is queued and sends it as one `MGET`, without waiting for the round trips before it. So a read joins only a round trip
//! that is sent after the read began: what it sees is not older than its own call. One read is one command, whatever the number of its registers.
//!
//! A caller that is already where the I/O is done, and finds nobody waiting, sends its read itself.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::DefaultHashBuilder;
use redis::Cmd;
use redis::Value;
use tokio::runtime;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls;
use super::calls::Call;
use super::incarnation::Incarnation;
use super::keys::Keys;
use super::link::Answer;
use super::link::Answered;
use super::nodes::Nodes;
use super::slots::Slot;
use super::text;
use crate::store::Blob;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::StoreError;
use crate::token::LeaseId;
use crate::token::State;

/// Where reads are asked for.
pub(super) struct Reads {
    queue: mpsc::Sender<Asked>,
    nodes: Arc<Nodes>,
    keys: Keys,
    under_way: Arc<Semaphore>,
    /// The runtime that does the I/O.
    home: runtime::Id,
}

/// A read that waits for its round trip.
struct Asked {
    reads: Vec<Read>,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<Reading>, StoreError>>,
}

impl Reads {
    /// Starts the task that sends. It ends when this is dropped. Must be called on the runtime that does the I/O.
    pub(super) fn start(nodes: Arc<Nodes>, keys: Keys) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        let under_way = Arc::new(Semaphore::new(ROUND_TRIPS));
        tokio::spawn(send_all(asked, Arc::clone(&under_way), Arc::clone(&nodes), keys.clone()));
        Self { queue, nodes, keys, under_way, home: Handle::current().id() }
    }

    /// Each of the two ways is a future of its own: that of an own round trip is twenty times as large.
    pub(super) fn read(&self, reads: Vec<Read>, deadline: Instant) -> Reply<'_, Vec<Reading>> {
        match self.free_way() {
            Some(way) => Box::pin(async move {
                let _way = way;
                read_all(&reads, deadline, &self.nodes, &self.keys).await.into_iter().collect()
            }),
            None => Box::pin(self.queue(reads, deadline)),
        }
    }

    /// A round trip of the caller's own, if nobody waits for one.
    fn free_way(&self) -> Option<SemaphorePermit<'_>> {
        let at_home = Handle::try_current().is_ok_and(|here| here.id() == self.home);
        let waits = self.queue.capacity() < QUEUE;
        if at_home && !waits { self.under_way.try_acquire().ok() } else { None }
    }

    async fn queue(&self, reads: Vec<Read>, deadline: Instant) -> Result<Vec<Reading>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Asked { reads, deadline, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Away("too many reads are waiting".into()),
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn send_all(mut queue: mpsc::Receiver<Asked>, under_way: Arc<Semaphore>, nodes: Arc<Nodes>, keys: Keys) {
    loop {
        // A round trip ends by the deadline of its first read, which is before that of any read in the queue.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
        let mut asked = Vec::new();
        if queue.recv_many(&mut asked, MOST_READS).await == 0 {
            return;
        }
        let permit = Arc::new(permit);
        for together in split(asked) {
            tokio::spawn(round_trip(together, Arc::clone(&nodes), keys.clone(), Arc::clone(&permit)));
        }
    }
}

/// Cuts what was queued into commands of at most [`MOST_KEYS`] keys, but for a single read that has more.
fn split(asked: Vec<Asked>) -> Vec<Vec<Asked>> {
    let mut batches = vec![Vec::new()];
    let mut count = 0;
    for one in asked {
        let keys = one.reads.iter().map(count_of).sum::<usize>();
        if count > 0 && count + keys > MOST_KEYS {
            batches.push(Vec::new());
            count = 0;
        }
        count += keys;
        if let Some(last) = batches.last_mut() {
            last.push(one);
        }
    }
    batches
}

fn count_of(read: &Read) -> usize {
    usize::from(read.entry.is_some()) + read.registers.len()
}

async fn round_trip(asked: Vec<Asked>, nodes: Arc<Nodes>, keys: Keys, _permit: Arc<OwnedSemaphorePermit>) {
    let deadline = asked.iter().map(|one| one.deadline).min().unwrap_or_else(Instant::now);
    let (reads, replies): (Vec<_>, Vec<_>) = asked.into_iter().map(|one| (one.reads, one.reply)).unzip();
    let mut readings = read_all(reads.iter().flatten(), deadline, &nodes, &keys).await.into_iter();
    for (reads, reply) in reads.iter().zip(replies) {
        // Each has what it asked for, or the first reason why not, whatever became of the others. Whoever asked may have gone.
        let own: Vec<Result<Reading, StoreError>> = readings.by_ref().take(reads.len()).collect();
        let _ = reply.send(own.into_iter().collect());
    }
}

/// Reads everything with one command, or one for each slot where that matters.
async fn read_all<'a>(
    reads: impl IntoIterator<Item = &'a Read> + Clone,
    deadline: Instant,
    nodes: &Nodes,
    keys: &Keys,
) -> Vec<Result<Reading, StoreError>> {
    let plan = Plan::of(reads.clone(), keys);
    let (calls, of_entries): (Vec<Call>, Vec<Vec<bool>>) = plan.parts.into_iter().map(Part::call).unzip();
    let answers = if calls.is_empty() { Vec::new() } else { nodes.read(deadline, &calls).await };
    let parts = answers.into_iter().zip(&calls).zip(of_entries);
    let parsed: Vec<Result<Vec<Parsed>, StoreError>> =
        parts.map(|((answer, call), of_entries)| parsed(answer, &of_entries, nodes, call.slot)).collect();
    let mut places = plan.places.into_iter();
    reads.into_iter().map(|read| reading(read, &parsed, &mut places)).collect()
}

/// The commands for many reads. What several of them ask for is asked for once.
struct Plan {
    parts: Vec<Part>,
    /// Of each thing that the reads ask for, in their order, in which part it is and which key of it.
    places: Vec<(usize, usize)>,
}

/// One command, for one slot.
struct Part {
    slot: Slot,
    command: Cmd,
    /// Of each key of the command, whether it is that of an entry.
    of_entries: Vec<bool>,
}

impl Plan {
    fn of<'a>(reads: impl IntoIterator<Item = &'a Read>, keys: &Keys) -> Self {
        let mut plan = Self { parts: Vec::new(), places: Vec::new() };
        let mut entries = HashMap::with_hasher(DefaultHashBuilder::default());
        let mut registers = HashMap::with_hasher(DefaultHashBuilder::default());
        for read in reads {
            if let Some(key) = &read.entry {
                let place = *entries
                    .entry(key)
                    .or_insert_with(|| plan.push(keys.place(key), true, |command| keys.push_entry(command, key)));
                plan.places.push(place);
            }
            for register in &read.registers {
                let place = *registers.entry(register).or_insert_with(|| {
                    plan.push(keys.place(register.name()), false, |command| keys.push_register(command, register))
                });
                plan.places.push(place);
            }
        }
        plan
    }

    /// Asks for one thing more, and says where it is.
    fn push(&mut self, slot: Slot, of_entry: bool, key: impl FnOnce(&mut Cmd)) -> (usize, usize) {
        let known = self.parts.iter().position(|part| part.slot == slot);
        let at = known.unwrap_or_else(|| {
            self.parts.push(Part { slot, command: redis::cmd("MGET"), of_entries: Vec::new() });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        key(&mut part.command);
        part.of_entries.push(of_entry);
        (at, part.of_entries.len() - 1)
    }
}

impl Part {
    fn call(self) -> (Call, Vec<bool>) {
        (Call::always(self.slot, self.command), self.of_entries)
    }
}

/// What a key of a command held.
enum Parsed {
    Entry(Option<(LeaseId, Blob)>),
    State(State),
}

fn parsed(answer: Answered, of_entries: &[bool], nodes: &Nodes, slot: Slot) -> Result<Vec<Parsed>, StoreError> {
    let Answer { value, at } = answer?;
    match value {
        Value::Array(values) if values.len() == of_entries.len() => {
            let parse = |(value, &of_entry): (Value, &bool)| match of_entry {
                true => entry(value, at),
                false => Parsed::State(calls::state(&value, at)),
            };
            Ok(values.into_iter().zip(of_entries).map(parse).collect())
        }
        _ => {
            nodes.give_up(slot, "a reply does not match its command");
            Err(StoreError::Away("a reply does not match its command".into()))
        }
    }
}

fn entry(value: Value, at: Incarnation) -> Parsed {
    match value {
        Value::BulkString(bytes) => Parsed::Entry(Some(text::entry(Bytes::from(bytes), at))),
        _ => Parsed::Entry(None),
    }
}

/// Takes as many places as `read` asked for things, also where one of them is not there.
fn reading(
    read: &Read,
    parsed: &[Result<Vec<Parsed>, StoreError>],
    places: &mut impl Iterator<Item = (usize, usize)>,
) -> Result<Reading, StoreError> {
    let mut own = places.take(count_of(read));
    let reading = gathered(read, parsed, &mut own);
    own.for_each(drop);
    reading
}

fn gathered(
    read: &Read,
    parsed: &[Result<Vec<Parsed>, StoreError>],
    places: &mut impl Iterator<Item = (usize, usize)>,
) -> Result<Reading, StoreError> {
    let mut next = || {
        let (part, key) = places.next().ok_or_else(calls::odd)?;
        let part = parsed.get(part).ok_or_else(calls::odd)?.as_ref().map_err(StoreError::clone)?;
        part.get(key).ok_or_else(calls::odd)
    };
    let entry = match read.entry.as_ref().map(|_| next()).transpose()? {
        Some(Parsed::Entry(entry)) => entry.clone(),
        Some(Parsed::State(_)) | None => None,
    };
    let mut states = Vec::with_capacity(read.registers.len());
    for _ in &read.registers {
        states.push(match next()? {
            Parsed::State(state) => *state,
            Parsed::Entry(_) => State::Absent,
        });
    }
    Ok(Reading { entry, states })
}

fn ended() -> StoreError {
    StoreError::Gone("its I/O has ended".into())
}

/// How many reads may wait.
const QUEUE: usize = 16 * 1024;
/// How many reads are taken from the queue at once.
const MOST_READS: usize = 256;
/// How many keys one command may have. Redis serves nobody else meanwhile.
const MOST_KEYS: usize = 256;
/// How many round trips may be under way. While they are, reads gather for the next: fewer would wait longer on a slow network, more would share less.
const ROUND_TRIPS: usize = 4;
