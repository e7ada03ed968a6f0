//! The protocol on Redis.
//!
//! A read is one `MGET`; everything that decides is a script, and one operation is one write. All I/O runs on the runtime that the store was given, so that it is
//! called from any executor and outlives every one of them: a caller waits for an answer that always comes, by the deadline.
//!
//! Tokens carry randomness of the client and the time of the server, so no token returns, also when a command is delivered twice. What holds here does not hold across
//! a failover, nor across a restart from an old snapshot: an invalidation that the server forgot is one that never was.

mod keys;
mod link;
mod reads;
mod scripts;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod server;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use redis::RedisResult;
use redis::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use self::keys::Keys;
use self::link::Link;
use self::link::is_full;
use self::link::refusal;
use self::reads::Reads;
use self::scripts::Script;
pub(crate) use self::settings::Settings;
pub(crate) use self::settings::settings;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Steal;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::State;

/// A store in a Redis server.
pub(crate) struct Redis {
    settings: Settings,
    keys: Keys,
    link: Arc<Link>,
    reads: Reads,
    runtime: Handle,
}

impl Redis {
    /// A store that does its I/O on `runtime`, which must drive I/O and time. Begins to connect, and does not wait for it.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such server.
    pub(crate) fn new(settings: Settings, runtime: Handle) -> Result<Self, String> {
        let keys = Keys::new(&settings.namespace);
        let (link, reads) = {
            let _runtime = runtime.enter();
            let link = Link::connect(&settings).map_err(|error| error.to_string())?;
            let reads = Reads::start(Arc::clone(&link), keys.clone());
            (link, reads)
        };
        Ok(Self { settings, keys, link, reads, runtime })
    }

    fn deadline(&self) -> Instant {
        // The caller's runtime may have a clock of its own.
        Instant::from_std(std::time::Instant::now() + self.settings.op_timeout)
    }

    /// Sends `commands` in one write, on the store's own runtime.
    async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let (link, deadline) = (Arc::clone(&self.link), self.deadline());
        self.on_runtime(async move { link.send_all(deadline, commands).await }).await
    }

    async fn send_one(&self, command: Cmd) -> Result<Value, StoreError> {
        let reply = self.send(vec![command]).await?.pop().ok_or_else(odd)?;
        reply.map_err(|error| refusal(&error))
    }

    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(away) = self.link.away() {
            return Err(away);
        }
        // A task that is dropped with its runtime says so.
        self.runtime.spawn(work).await.unwrap_or_else(|_| Err(StoreError::Away("its I/O has ended".into())))
    }

    async fn begin_load(&self, begin: Begin) -> Result<Begun, StoreError> {
        let count = begin.registers.len();
        let lease = begin.lease.as_ref().map(|request| self.take(request));
        let tokens = (count > 0).then(|| self.create(&begin));
        let commands: Vec<Cmd> = tokens.into_iter().chain(lease).collect();
        if commands.is_empty() {
            return Ok(Begun { states: Vec::new(), lease: None });
        }
        let mut replies = self.send(commands).await?.into_iter().map(|reply| reply.map_err(|error| refusal(&error)));
        let mut states = Vec::new();
        if count > 0 {
            states = created(replies.next().ok_or_else(odd)??, count)?;
        }
        let lease = match begin.lease {
            Some(_) => Some(taken(&replies.next().ok_or_else(odd)??)?),
            None => None,
        };
        Ok(Begun { states, lease })
    }

    fn create(&self, begin: &Begin) -> Cmd {
        let slots: Vec<String> = begin.registers.iter().map(|register| self.keys.register(register)).collect();
        let mut call = Script::Tokens.call(&slots);
        call.arg(millis(begin.token_life));
        for _ in &slots {
            call.arg(chance());
        }
        call
    }

    fn take(&self, request: &LeaseRequest) -> Cmd {
        let steal = match request.steal {
            Steal::Nobodys => String::new(),
            Steal::From(id) => digits(id.0),
            Steal::Anybodys => "*".into(),
        };
        let generation = request.generation.map_or_else(String::new, generation_digits);
        let seen = request.seen.map_or_else(String::new, |id| digits(id.0));
        let mut call = Script::Lease.call(&[self.keys.lease(&request.key), self.keys.entry(&request.key)]);
        call.arg(digits(request.id.0)).arg(generation).arg(millis(request.life)).arg(steal).arg(seen);
        call
    }

    async fn fill_entry(&self, fill: Fill) -> Result<bool, StoreError> {
        let Blob::Bytes(bytes) = &fill.blob else {
            return Err(StoreError::Refused("a value that is not encoded".into()));
        };
        let mut store = Script::Fill.call(&[self.keys.entry(&fill.key), self.keys.lease(&fill.key)]);
        let lease = digits(fill.lease.0);
        store.arg(&lease).arg([lease.as_bytes(), bytes].concat()).arg(millis(fill.life));
        let mut commands = vec![store];
        if !fill.touch.is_empty() {
            let slots: Vec<String> = fill.touch.iter().map(|register| self.keys.register(register)).collect();
            let mut touch = Script::Touch.call(&slots);
            touch.arg(millis(fill.token_life));
            commands.push(touch);
        }
        let mut replies = self.send(commands).await?.into_iter();
        // Whether the tokens live on is a matter of hits to come, not of this fill.
        said_yes(replies.next().ok_or_else(odd)?)
    }

    async fn mark_all(&self, targets: Targets, mark: Mark) -> Result<(), StoreError> {
        let call = |script: Script, slots: &[String]| {
            let mut call = script.call(slots);
            call.arg(digits(mark.id.0)).arg(if mark.strict { "s" } else { "o" });
            call.arg(millis(mark.life)).arg(u8::from(mark.renew)).arg(chance());
            call
        };
        let kept_out = self.each(&targets, Script::MarkTag, Script::MarkKey, call).await?;
        if kept_out { Err(StoreError::Refused("it is full, so nothing was marked".into())) } else { Ok(()) }
    }

    async fn revoke_all(&self, targets: Targets, ended: Option<MarkId>) -> Result<(), StoreError> {
        let ended = ended.map_or_else(String::new, |id| digits(id.0));
        let call = |script: Script, slots: &[String]| {
            let mut call = script.call(slots);
            call.arg(&ended).arg(chance());
            call
        };
        self.each(&targets, Script::RevokeTag, Script::RevokeKey, call).await.map(drop)
    }

    /// Calls a script for each target. Where the server is too full for it, what is there is removed, which needs no memory; says whether that happened.
    async fn each(
        &self,
        targets: &Targets,
        of_tag: Script,
        of_key: Script,
        call: impl Fn(Script, &[String]) -> Cmd,
    ) -> Result<bool, StoreError> {
        let tags = targets.tags.iter().map(|tag| (of_tag, vec![self.keys.tag(tag)]));
        let keys = targets.keys.iter().map(|key| (of_key, self.keys.whole(key).to_vec()));
        let all: Vec<(Script, Vec<String>)> = tags.chain(keys).collect();
        let commands = all.iter().map(|(script, slots)| {
            let mut command = call(*script, slots);
            if slots.len() > 1 {
                command.arg(chance());
            }
            command
        });
        let commands: Vec<Cmd> = commands.collect();
        if commands.is_empty() {
            return Ok(false);
        }
        let replies = self.send(commands).await?;
        let full: Vec<Cmd> = all
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| reply.as_ref().is_err_and(is_full))
            .map(|((_, slots), _)| redis::cmd("UNLINK").arg(slots).clone())
            .collect();
        let removed = if full.is_empty() { Vec::new() } else { self.send(full).await? };
        let failed = |reply: RedisResult<Value>| reply.err().filter(|error| !is_full(error));
        match replies
            .into_iter()
            .find_map(failed)
            .or_else(|| removed.iter().find_map(|reply| reply.as_ref().err().cloned()))
        {
            Some(error) => Err(refusal(&error)),
            None => Ok(!removed.is_empty()),
        }
    }
}

impl Store for Redis {
    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let link = Arc::clone(&self.link);
        // A task that is dropped with its runtime has nothing more to wait for.
        let tried = self.runtime.spawn(async move { link.tried().await });
        Box::pin(async { drop(tried.await) })
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        Box::pin(async move {
            match self.link.away() {
                Some(away) => Err(away),
                None => self.reads.read(reads, self.deadline()).await,
            }
        })
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        Box::pin(self.begin_load(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        let mut call = Script::Renew.call(&[self.keys.lease(&key)]);
        call.arg(digits(lease.0)).arg(generation_digits(generation)).arg(millis(life));
        Box::pin(async move { said_yes(Ok(self.send_one(call).await?)) })
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        let mut call = Script::Release.call(&[self.keys.lease(&key)]);
        call.arg(digits(lease.0));
        Box::pin(async move { self.send_one(call).await.map(drop) })
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        Box::pin(self.fill_entry(fill))
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        Box::pin(self.mark_all(targets, mark))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        Box::pin(self.revoke_all(targets, ended))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn created(reply: Value, count: usize) -> Result<Vec<State>, StoreError> {
    let Value::Array(values) = reply else { return Err(odd()) };
    let state = |value| match value {
        Value::BulkString(text) => text::state(&text),
        _ => State::Absent,
    };
    if values.len() == count { Ok(values.into_iter().map(state).collect()) } else { Err(odd()) }
}

fn taken(reply: &Value) -> Result<LeaseState, StoreError> {
    match reply {
        Value::Int(1) => Ok(LeaseState::Won),
        Value::Int(2) => Ok(LeaseState::Changed),
        Value::BulkString(held) => match text::lease(held).ok_or_else(odd)? {
            text::Lease::Held { id, generation } => Ok(LeaseState::Held { id, generation }),
            text::Lease::Marked { token, strict } => Ok(LeaseState::Marked { token, strict }),
        },
        _ => Err(odd()),
    }
}

fn said_yes(reply: RedisResult<Value>) -> Result<bool, StoreError> {
    match reply.map_err(|error| refusal(&error))? {
        Value::Int(said) => Ok(said == 1),
        _ => Err(odd()),
    }
}

fn odd() -> StoreError {
    StoreError::Refused("a reply that no script gives".into())
}

/// Randomness for a token that the server makes.
fn chance() -> String {
    digits(rand::random())
}

fn digits(id: u128) -> String {
    format!("{id:032x}")
}

fn generation_digits(generation: Generation) -> String {
    format!("{:016x}", generation.0)
}

/// A life as Redis takes it: not nothing, and not beyond what its clock can hold.
fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_LIFE)
}

/// A hundred years.
const LONGEST_LIFE: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
