//! The protocol on one Memcached server.
//!
//! There are no scripts, so what has to change in one step lies in one item. The item of a key holds its entry, or the lease of a load, beside which an old entry may still be read, or the marks of
//! mutations; the key's token and the tokens of tags are items of their own. A fill is a write over the very item in which its lease was read, and so is everything else that depends on what was there: the
//! server compares the number that it gave to the item (its CAS). Whatever is written is written so, or where there was nothing; a command that comes late or twice changes nothing,
//! or brings something that was never there before, because what must not come back counts together with that number. [`items`] says how.
//!
//! Numbers begin again when the server does. None of them leaves the operation that read it, nor the connection: there is no going on over another one, and a server that is started again has ended
//! them all. What a lease is known by afterwards is its id, of which one half is random.
//!
//! A read takes no lease in passing, though Memcached has a flag for it (`N`): whoever only looks, or joins another load, would leave a lease that everybody else waits for. A miss is two round trips, and so it is on
//! every store.
//!
//! Time: the server counts whole seconds and may keep something for up to two seconds more than it was told. Leases and marks end to the millisecond, by the time of day of who looks at them; clocks of
//! processes that differ by a second make a lease or a mark a second longer or shorter for one of them. An entry's time-to-live is in its envelope, and no matter of this store.
//!
//! All I/O runs on the runtime that the store was given, so that it is called from any executor and outlives every one of them: a caller waits for an answer that always comes, by the deadline.

mod changes;
mod dial;
mod items;
mod keys;
mod link;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio::time::timeout_at;

use self::changes::Change;
use self::changes::Next;
use self::changes::Seen;
use self::changes::odd;
use self::dial::Dial;
use self::items::Item;
use self::items::Lease;
use self::items::Millis;
use self::items::kind;
use self::keys::Keys;
use self::link::Link;
use self::session::Session;
pub(crate) use self::settings::Settings;
pub(crate) use self::settings::settings;
use self::wire::Answer;
use self::wire::Expiry;
use self::wire::Outcome;
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
use crate::token::Register;
use crate::token::State;

/// A store in a Memcached server.
pub(crate) struct Memcached {
    server: String,
    keys: Keys,
    link: Arc<Link>,
    op_timeout: Duration,
    runtime: Handle,
    /// Whether the number of an item is all there is to a token and a lease, as a negative control.
    #[cfg(any(test, feature = "sim"))]
    numbers_alone: bool,
}

impl Memcached {
    /// A store in each server of `settings`. They do their I/O on `runtime`, which must drive I/O and time. Begins to connect, and does not wait for it.
    ///
    /// # Errors
    ///
    /// A sentence about certificates that cannot be used.
    pub(crate) fn all(settings: &Settings, runtime: &Handle) -> Result<Vec<Self>, String> {
        let (keys, dial) = (Keys::new(&settings.namespace, &settings.servers), Dial::new(settings)?);
        let _runtime = runtime.enter();
        let one = |server: &String| {
            let link = Link::connect(server, dial.clone(), settings.connect_timeout);
            let (keys, runtime) = (keys.clone(), runtime.clone());
            Self {
                server: server.clone(),
                keys,
                link,
                op_timeout: settings.op_timeout,
                runtime,
                #[cfg(any(test, feature = "sim"))]
                numbers_alone: false,
            }
        };
        Ok(settings.servers.iter().map(one).collect())
    }

    /// One whose tokens are numbers, and whose leases fill by theirs: bound to nothing, they come back when the server begins to count anew.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn by_numbers_alone(self) -> Self {
        Self { numbers_alone: true, ..self }
    }

    /// What is new about a token, beside the number of its item.
    fn random(&self) -> fn() -> u128 {
        #[cfg(any(test, feature = "sim"))]
        if self.numbers_alone {
            return || 0;
        }
        rand::random
    }

    /// Whether a lease that is held is this one.
    fn is_same(&self) -> fn(LeaseId, LeaseId) -> bool {
        #[cfg(any(test, feature = "sim"))]
        if self.numbers_alone {
            return |held, lease| held.0 as u64 == lease.0 as u64;
        }
        |held, lease| held == lease
    }

    /// Whether there is no connection.
    #[cfg(feature = "sim")]
    pub(crate) fn is_away(&self) -> bool {
        self.link.session().is_err()
    }

    fn deadline(&self) -> Instant {
        // The caller's runtime may have a clock of its own.
        Instant::from_std(std::time::Instant::now() + self.op_timeout)
    }

    /// Does `work` on the store's own runtime, to its end even if the caller leaves.
    async fn on_runtime<T, W>(
        &self,
        work: impl FnOnce(Arc<Session>, Instant) -> W + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (session, deadline, link) = (self.link.session()?, self.deadline(), Arc::clone(&self.link));
        let working = self.runtime.spawn(async move {
            let session = match session {
                Some(session) => session,
                None => link.first_session(deadline).await?,
            };
            timeout_at(deadline, work(session, deadline)).await.unwrap_or(Err(StoreError::Late))
        });
        // A task that is dropped with its runtime says so.
        working.await.unwrap_or_else(|_| Err(StoreError::Gone("its I/O has ended".into())))
    }

    async fn read_all(&self, reads: Vec<Read>) -> Result<Vec<Reading>, StoreError> {
        match self.link.session()? {
            Some(session) => read_all(&session, &self.keys, &reads, self.deadline()).await,
            None => {
                let keys = self.keys.clone();
                self.on_runtime(async move |session, deadline| read_all(&session, &keys, &reads, deadline).await).await
            }
        }
    }

    async fn begin_load(&self, begin: Begin) -> Result<Begun, StoreError> {
        if begin.registers.is_empty() && begin.lease.is_none() {
            return Ok(Begun { states: Vec::new(), lease: None });
        }
        let random = self.random();
        match self.link.session()? {
            // In the hands of who asks: if they leave, no further step is taken, and the release that they send comes after all that were.
            Some(session) => begin_load(&session, &self.keys, &begin, random, self.deadline()).await,
            None => {
                let keys = self.keys.clone();
                self.on_runtime(async move |session, deadline| {
                    begin_load(&session, &keys, &begin, random, deadline).await
                })
                .await
            }
        }
    }

    /// Changes the item of one key.
    async fn change<T: Send + 'static>(
        &self,
        key: &Name,
        judge: impl FnMut(&Seen) -> Next<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let slot = self.keys.entry(key);
        let work = async move |session: Arc<Session>, deadline| {
            let changes = vec![Change::read(slot, judge)];
            changes::make(&session, deadline, changes).await?.pop().ok_or_else(odd)?
        };
        self.on_runtime(work).await
    }

    async fn fill_entry(&self, fill: Fill) -> Result<bool, StoreError> {
        let Blob::Bytes(bytes) = fill.blob.clone() else {
            return Err(StoreError::Refused("a value that is not encoded".into()));
        };
        let (keys, is_same) = (self.keys.clone(), self.is_same());
        self.on_runtime(async move |session, deadline| {
            let touched = live_on(&session, &keys, &fill.touch, fill.token_life, deadline);
            let filled = fill_entry(&session, &keys, &fill, &bytes, is_same, deadline);
            // Whether the tokens live on is a matter of hits to come, not of this fill.
            tokio::join!(filled, touched).0
        })
        .await
    }

    async fn touch_entry(&self, key: &Name, life: Duration) -> Result<(), StoreError> {
        let slot = self.keys.entry(key);
        self.on_runtime(async move |session, deadline| prolong(&session, &[slot], life, deadline).await).await
    }

    async fn mark_all(&self, targets: Targets, mark: Mark) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        let marking =
            async move |session: Arc<Session>, deadline| mark_all(&session, &keys, &targets, mark, deadline).await;
        match self.on_runtime(marking).await? {
            Changed::AsAsked => Ok(()),
            Changed::OnlyRemoved => Err(StoreError::Refused("it is full, and holds no further mark".into())),
        }
    }

    async fn revoke_all(&self, targets: Targets, ended: Option<MarkId>) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        // What is only removed is invalidated all the same.
        self.on_runtime(async move |session, deadline| {
            revoke_all(&session, &keys, &targets, ended, deadline).await.map(drop)
        })
        .await
    }
}

/// Reads everything in one round trip: first the registers, so that the state of an entry's own key is no younger than the entry.
async fn read_all(
    session: &Session,
    keys: &Keys,
    reads: &[Read],
    deadline: Instant,
) -> Result<Vec<Reading>, StoreError> {
    let count = |read: &Read| read.registers.len() + usize::from(read.entry.is_some());
    let mut commands = session.commands(reads.iter().map(count).sum());
    for read in reads {
        for register in &read.registers {
            commands.get_value(&keys.register(register));
        }
        if let Some(key) = &read.entry {
            commands.get_value(&keys.entry(key));
        }
    }
    let mut answers = session.ask(commands, deadline).await?.into_iter();
    let now = Millis::now();
    let mut next = || answers.next().ok_or_else(odd).and_then(|answer| item(answer, now));
    let mut readings = Vec::with_capacity(reads.len());
    for read in reads {
        let states = read.registers.iter().map(|_| Ok(next()?.state())).collect::<Result<_, StoreError>>()?;
        let entry = read.entry.as_ref().map(|_| next()).transpose()?;
        let entry = entry.and_then(|item| match item {
            Item::Key { entry, .. } => entry.map(|entry| (entry.filled_under, Blob::Bytes(entry.bytes))),
            _ => None,
        });
        readings.push(Reading { entry, states });
    }
    Ok(readings)
}

fn item(answer: Answer, now: Millis) -> Result<Item, StoreError> {
    match answer.outcome {
        Outcome::Well => Ok(Item::read(answer.value, answer.cas, now)),
        Outcome::Absent | Outcome::Other => Ok(Item::Nothing),
        Outcome::Refused(reason) => Err(StoreError::Refused(reason)),
    }
}

/// What one change of [`begin_load`] came to.
enum Made {
    /// The state, and whether the token would end soon.
    Register(State, bool),
    Lease(LeaseState),
}

async fn begin_load(
    session: &Session,
    keys: &Keys,
    begin: &Begin,
    random: fn() -> u128,
    deadline: Instant,
) -> Result<Begun, StoreError> {
    let life = begin.token_life;
    let registers = begin.registers.iter().map(|register| create(keys.register(register), random, life));
    let lease = begin.lease.as_ref().map(|request| take(keys.entry(&request.key), request));
    let changes = registers.chain(lease).collect();
    let mut begun = Begun { states: Vec::new(), lease: None };
    let mut ending = Vec::new();
    for (at, made) in changes::make(session, deadline, changes).await?.into_iter().enumerate() {
        match made? {
            Made::Register(state, ends_soon) => {
                begun.states.push(state);
                if ends_soon {
                    ending.push(keys.register(&begin.registers[at]));
                }
            }
            Made::Lease(state) => begun.lease = Some(state),
        }
    }
    prolong(session, &ending, life, deadline).await?;
    Ok(begun)
}

/// A register that has a token then, or a mark.
fn create<'a>(slot: String, random: fn() -> u128, life: Duration) -> Change<'a, Made> {
    let new = move || items::token(random(), Millis::now().after(life));
    Change::add(slot, new(), None, move |seen| match seen.item.state() {
        State::Absent => Next::Write(new(), None),
        state @ State::Token(_) => Next::Done(Made::Register(state, seen.left.is_some_and(|left| left < life / 2))),
        state => Next::Done(Made::Register(state, false)),
    })
}

/// The lease of a key, if it may be taken. Its id is known when it is read again.
fn take<'a>(slot: String, request: &'a LeaseRequest) -> Change<'a, Made> {
    let until = || Millis::now().after(request.life);
    let first = items::new_lease(request.id, request.generation, until(), None);
    Change::add(slot, first, None, move |seen| {
        if let Item::Marks(marks) = &seen.item {
            return Next::Done(Made::Lease(marks.as_lease()));
        }
        match seen.item.lease() {
            Some(held) if seen.is_written && held.id.is_asked_by(request.id) => {
                return Next::Done(Made::Lease(LeaseState::Won(held.id)));
            }
            Some(held) if !held.id.is_asked_by(request.id) && !request.steal.takes(held.id) => {
                return Next::Done(Made::Lease(LeaseState::Held { id: held.id, generation: held.generation }));
            }
            None if request.steal == Steal::Nobodys
                && seen.item.entry().is_some_and(|entry| Some(entry.filled_under) != request.seen) =>
            {
                return Next::Done(Made::Lease(LeaseState::Changed));
            }
            _ => {}
        }
        Next::Write(items::new_lease(request.id, request.generation, until(), old(seen)), None)
    })
}

async fn fill_entry(
    session: &Session,
    keys: &Keys,
    fill: &Fill,
    bytes: &[u8],
    is_same: fn(LeaseId, LeaseId) -> bool,
    deadline: Instant,
) -> Result<bool, StoreError> {
    let filling = Change::read(keys.entry(&fill.key), |seen| match seen.item.lease() {
        Some(held) if is_same(held.id, fill.lease) => {
            Next::Write(items::entry(fill.lease, bytes, Millis::now().after(fill.life)), Some(true))
        }
        _ => Next::Done(false),
    });
    changes::make(session, deadline, vec![filling]).await?.pop().ok_or_else(odd)?
}

/// Lets the tokens of `registers` live at least for `life` from now on.
async fn live_on(
    session: &Session,
    keys: &Keys,
    registers: &[Register],
    life: Duration,
    deadline: Instant,
) -> Result<(), StoreError> {
    let slots: Vec<String> = registers.iter().map(|register| keys.register(register)).collect();
    let mut commands = session.commands(slots.len());
    for slot in &slots {
        commands.look(slot);
    }
    let answers = session.ask(commands, deadline).await?;
    let ends = |answer: &Answer| {
        let left = u64::try_from(answer.left).map_or(Duration::MAX, Duration::from_secs);
        answer.outcome == Outcome::Well && answer.flags == kind::TOKEN && left < life
    };
    let ending: Vec<String> =
        slots.into_iter().zip(&answers).filter(|(_, answer)| ends(answer)).map(|(slot, _)| slot).collect();
    prolong(session, &ending, life, deadline).await
}

/// Lets what is in `slots` live for `life` from now on, but for marks: those live as long as they were told. One that was met is told so again, because only then is it known that it is one.
async fn prolong(session: &Session, slots: &[String], life: Duration, deadline: Instant) -> Result<(), StoreError> {
    let mut commands = session.commands(slots.len());
    for slot in slots {
        commands.touch(slot, Expiry::after(life, Millis::now()));
    }
    let answers = session.ask(commands, deadline).await?;
    for (slot, answer) in slots.iter().zip(answers) {
        match answer.outcome {
            Outcome::Refused(reason) => return Err(StoreError::Refused(reason)),
            Outcome::Well if answer.flags == kind::MARKS => stand_on(session, slot, deadline).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Lets marks stand until the last of them ends.
async fn stand_on(session: &Session, slot: &str, deadline: Instant) -> Result<(), StoreError> {
    let mut commands = session.commands(1);
    commands.get(slot);
    let Some(answer) = session.ask(commands, deadline).await?.pop() else { return Ok(()) };
    let now = Millis::now();
    if let Item::Marks(marks) = item(answer, now)? {
        let mut commands = session.commands(1);
        commands.touch(slot, Expiry::after(marks.until().since(now), now));
        session.ask(commands, deadline).await?;
    }
    Ok(())
}

/// How much of a change was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Changed {
    AsAsked,
    /// The server is full: where something had to be written, what was there is gone, and nothing else was done.
    OnlyRemoved,
}

async fn mark_all(
    session: &Session,
    keys: &Keys,
    targets: &Targets,
    mark: Mark,
    deadline: Instant,
) -> Result<Changed, StoreError> {
    let change = |slot: String| {
        let now = Millis::now();
        let judge = move |seen: &Seen| Next::Write(items::marked(&seen.item, &mark, seen.now), Some(()));
        if mark.renew {
            Change::read(slot, judge)
        } else {
            Change::add(slot, items::marked(&Item::Nothing, &mark, now), Some(()), judge)
        }
    };
    change_all(session, keys, targets, change, deadline).await
}

async fn revoke_all(
    session: &Session,
    keys: &Keys,
    targets: &Targets,
    ended: Option<MarkId>,
    deadline: Instant,
) -> Result<Changed, StoreError> {
    let change = |slot: String| {
        let judge = move |seen: &Seen| {
            if !seen.has_value && seen.kind == kind::MARKS {
                return Next::Read;
            }
            match items::revoked(&seen.item, ended) {
                Some(others) => Next::Write(others, Some(())),
                None => Next::Remove(()),
            }
        };
        // Under a mark there are marks to be read, and otherwise most likely an entry, whose value is of no interest.
        if ended.is_some() { Change::read(slot, judge) } else { Change::look(slot, judge) }
    };
    change_all(session, keys, targets, change, deadline).await
}

/// Changes every item of `targets`: those of a key in their order. Where the server is too full for that, what is there is removed.
async fn change_all<'a>(
    session: &Session,
    keys: &Keys,
    targets: &Targets,
    change: impl Fn(String) -> Change<'a, ()>,
    deadline: Instant,
) -> Result<Changed, StoreError> {
    let mut slots: Vec<String> = targets.tags.iter().map(|tag| keys.tag(tag)).collect();
    let mut changes: Vec<Change<'_, ()>> = slots.iter().cloned().map(&change).collect();
    for key in &targets.keys {
        let (entry, token) = (keys.entry(key), keys.key_token(key));
        changes.extend([change(entry.clone()), change(token.clone()).after(slots.len())]);
        slots.extend([entry, token]);
    }
    let mut left = session.commands(slots.len());
    let mut failed = None;
    for (slot, made) in slots.iter().zip(changes::make(session, deadline, changes).await?) {
        match made {
            Ok(()) => {}
            Err(StoreError::Refused(reason)) => {
                left.delete(slot, None);
                failed = Some(reason);
            }
            Err(error) => return Err(error),
        }
    }
    let Some(reason) = failed else { return Ok(Changed::AsAsked) };
    let refused = |answer: &Answer| matches!(answer.outcome, Outcome::Refused(_));
    if session.ask(left, deadline).await?.iter().any(refused) {
        Err(StoreError::Refused(reason))
    } else {
        Ok(Changed::OnlyRemoved)
    }
}

impl Store for Memcached {
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
        Box::pin(self.read_all(reads))
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        Box::pin(self.begin_load(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        Box::pin(async move {
            let judge = move |seen: &Seen| match seen.item.lease() {
                Some(held) if held.id == lease => {
                    let renewed = Lease { id: lease, generation: Some(generation), until: seen.now.after(life) };
                    Next::Write(items::lease(renewed, old(seen)), Some(true))
                }
                _ => Next::Done(false),
            };
            self.change(&key, judge).await
        })
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        Box::pin(async move {
            let judge = move |seen: &Seen| match (seen.item.lease(), old(seen)) {
                (Some(held), Some((old, until))) if held.id.is_asked_by(lease) => {
                    Next::Write(items::entry(old.filled_under, &old.bytes, until), Some(()))
                }
                (Some(held), None) if held.id.is_asked_by(lease) => Next::Remove(()),
                _ => Next::Done(()),
            };
            self.change(&key, judge).await
        })
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        Box::pin(self.fill_entry(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        Box::pin(async move { self.touch_entry(&key, life).await })
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        let keys = self.keys.clone();
        Box::pin(
            self.on_runtime(async move |session, deadline| live_on(&session, &keys, &registers, life, deadline).await),
        )
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        Box::pin(self.mark_all(targets, mark))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        Box::pin(self.revoke_all(targets, ended))
    }
}

/// The entry beside a lease or by itself, and until when it lives.
fn old(seen: &Seen) -> Option<(&items::Entry, Millis)> {
    seen.item.entry().map(|entry| (entry, entry.until.unwrap_or_else(|| seen.until())))
}

impl fmt::Debug for Memcached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memcached").field("server", &self.server).field("keys", &self.keys).finish_non_exhaustive()
    }
}
