//! Reads share round trips.
//!
//! A read is queued; a task takes all that is queued and sends it as one `MGET`, without waiting for the round trips before it. So a read joins only a round trip
//! that is sent after the read began: what it sees is not older than its own call. One read is one command, whatever the number of its registers.

use std::sync::Arc;

use bytes::Bytes;
use redis::Cmd;
use redis::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::keys::Keys;
use super::link::Link;
use super::link::refusal;
use super::text;
use crate::store::Read;
use crate::store::Reading;
use crate::store::StoreError;
use crate::token::State;

/// The way into the queue.
#[derive(Debug)]
pub(super) struct Reads {
    queue: mpsc::Sender<Asked>,
}

/// A read that waits for its round trip.
struct Asked {
    reads: Vec<Read>,
    deadline: Instant,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Vec<Reading>, StoreError>;

impl Reads {
    /// Starts the task that sends. It ends when this is dropped. Must be called on the runtime that does the I/O.
    pub(super) fn start(link: Arc<Link>, keys: Keys) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tokio::spawn(send_all(asked, link, keys));
        Self { queue }
    }

    /// Queues a read, and waits for it.
    pub(super) async fn read(&self, reads: Vec<Read>, deadline: Instant) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Asked { reads, deadline, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Away("too many reads are waiting".into()),
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn send_all(mut queue: mpsc::Receiver<Asked>, link: Arc<Link>, keys: Keys) {
    let under_way = Arc::new(Semaphore::new(ROUND_TRIPS));
    loop {
        // A round trip ends by the deadline of its first read, which is before that of any read in the queue.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
        let mut asked = Vec::new();
        if queue.recv_many(&mut asked, MOST_READS).await == 0 {
            return;
        }
        let permit = Arc::new(permit);
        for together in split(asked) {
            tokio::spawn(round_trip(together, Arc::clone(&link), keys.clone(), Arc::clone(&permit)));
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

async fn round_trip(asked: Vec<Asked>, link: Arc<Link>, keys: Keys, _permit: Arc<OwnedSemaphorePermit>) {
    let mut command = redis::cmd("MGET");
    let mut count = 0;
    for read in asked.iter().flat_map(|one| &one.reads) {
        count += push(&mut command, &keys, read);
    }
    match fetch(&asked, &link, &command, count).await {
        Ok(values) => {
            let mut values = values.into_iter();
            for one in asked {
                let readings = one.reads.iter().map(|read| reading(read, &mut values)).collect();
                // Whoever asked may have gone.
                let _ = one.reply.send(Ok(readings));
            }
        }
        Err(error) => {
            for one in asked {
                let _ = one.reply.send(Err(error.clone()));
            }
        }
    }
}

async fn fetch(asked: &[Asked], link: &Arc<Link>, command: &Cmd, count: usize) -> Result<Vec<Value>, StoreError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let deadline = asked.iter().map(|one| one.deadline).min().unwrap_or_else(Instant::now);
    let reply = link.send(deadline, command).await?;
    match reply.extract_error().map_err(|error| refusal(&error))? {
        Value::Array(values) if values.len() == count => Ok(values),
        _ => {
            link.give_up_any("a reply does not match its command");
            Err(StoreError::Away("a reply does not match its command".into()))
        }
    }
}

fn push(command: &mut Cmd, keys: &Keys, read: &Read) -> usize {
    if let Some(entry) = &read.entry {
        keys.push_entry(command, entry);
    }
    for register in &read.registers {
        keys.push_register(command, register);
    }
    count_of(read)
}

/// Takes as many values as `read` asked for.
fn reading(read: &Read, values: &mut impl Iterator<Item = Value>) -> Reading {
    let entry = read.entry.as_ref().and_then(|_| match values.next() {
        Some(Value::BulkString(bytes)) => Some(text::entry(Bytes::from(bytes))),
        _ => None,
    });
    let state = |value| match value {
        Value::BulkString(bytes) => text::state(&bytes),
        _ => State::Absent,
    };
    let states = values.by_ref().take(read.registers.len()).map(state).collect();
    Reading { entry, states }
}

fn ended() -> StoreError {
    StoreError::Away("its I/O has ended".into())
}

/// How many reads may wait.
const QUEUE: usize = 16 * 1024;
/// How many reads one command may serve.
const MOST_READS: usize = 64;
/// How many keys one command may have. Redis serves nobody else meanwhile.
const MOST_KEYS: usize = 256;
/// How many commands may be under way. While they are, reads gather for the next.
const ROUND_TRIPS: usize = 4;
