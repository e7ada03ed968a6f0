//! What every store keeps to, as cases that every store runs.
//!
//! A case is one law, on names of its own, so that a store may be shared by all of them and by several runs. It says what it saw instead of panicking: the
//! controls, where a store is broken on purpose, must find that a certain law no longer holds.

mod fills;
mod leases;
mod lists;
mod marks;
mod registers;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Header;
use crate::key::Name;
use crate::local::Arriving;
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
use crate::store::Steal;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// A store under test, and its time.
pub(crate) trait Subject: Send + Sync {
    fn store(&self) -> Arc<dyn Store>;

    /// Lets time go by: a held clock is moved, a real one waited for.
    fn advance(&self, by: Duration) -> Waiting<'_>;

    /// After which what lived for [`SHORT`] is gone.
    fn later(&self) -> Duration {
        LATER
    }
}

pub(crate) type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A law that did not hold, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Breach {
    pub(crate) law: &'static str,
    pub(crate) seen: String,
}

/// Runs every case.
///
/// # Panics
///
/// If a law does not hold; the message names all that do not.
pub(crate) async fn all(subject: &dyn Subject) {
    let breaches = breaches(subject).await;
    assert!(breaches.is_empty(), "the store does not conform: {breaches:#?}");
}

/// Runs every case, all at the same time: for a store whose time is the real one, and long.
///
/// # Panics
///
/// As [`all`] does.
#[cfg(feature = "memcached")]
pub(crate) async fn all_together(subject: &dyn Subject) {
    let mut cases: Vec<_> = laws().map(|law| Box::pin(breach(subject, law))).collect();
    let mut breaches = Vec::new();
    std::future::poll_fn(|context| {
        cases.retain_mut(|case| match case.as_mut().poll(context) {
            std::task::Poll::Ready(breach) => {
                breaches.extend(breach);
                false
            }
            std::task::Poll::Pending => true,
        });
        if cases.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert!(breaches.is_empty(), "the store does not conform: {breaches:#?}");
}

/// Runs every case, and says which laws do not hold.
pub(crate) async fn breaches(subject: &dyn Subject) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for law in laws() {
        breaches.extend(breach(subject, law).await);
    }
    breaches
}

fn laws() -> impl Iterator<Item = Law> {
    [registers::LAWS, leases::LAWS, fills::LAWS, marks::LAWS, lists::LAWS].into_iter().flatten().copied()
}

async fn breach(subject: &dyn Subject, (law, case): Law) -> Option<Breach> {
    let bench = Bench { subject, store: subject.store(), law, run: rand::random() };
    case(&bench).await.err().map(|Seen(seen)| Breach { law, seen })
}

type Law = (&'static str, for<'a> fn(&'a Bench<'a>) -> Verdict<'a>);
type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), Seen>> + Send + 'a>>;

/// What broke a law.
struct Seen(String);

/// Long enough that nothing expires while a case runs.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);
/// After which what lived for [`SHORT`] is gone.
const LATER: Duration = Duration::from_millis(360);

/// A store in the hands of one case.
struct Bench<'a> {
    subject: &'a dyn Subject,
    store: Arc<dyn Store>,
    law: &'static str,
    run: u64,
}

impl Bench<'_> {
    /// A name that no other case and no other run uses.
    fn name(&self, name: &str) -> Name {
        Name::new(format!("{:x}:{}:{name}", self.run, self.law.replace(' ', "-")).as_bytes())
    }

    fn tag(&self, name: &str) -> Register {
        Register::Tag(self.name(name))
    }

    async fn later(&self) {
        self.subject.advance(self.subject.later()).await;
    }

    async fn read(&self, entry: Option<&Name>, registers: &[Register]) -> Result<Reading, Seen> {
        let read = Read { entry: entry.cloned(), registers: registers.to_vec() };
        let mut readings = self.store.read(vec![read]).await?;
        readings.pop().ok_or_else(|| Seen("a read without a reading".into()))
    }

    async fn state(&self, register: &Register) -> Result<State, Seen> {
        let reading = self.read(None, std::slice::from_ref(register)).await?;
        reading.states.first().copied().ok_or_else(|| Seen("a register without a state".into()))
    }

    async fn entry(&self, key: &Name) -> Result<Option<u64>, Seen> {
        Ok(self.read(Some(key), &[]).await?.entry.as_ref().map(|(_, blob)| number(blob)))
    }

    /// The state of a register after it was asked to have a token.
    async fn create(&self, register: &Register) -> Result<State, Seen> {
        let begun = self.begin(None, std::slice::from_ref(register), LONG).await?;
        begun.states.first().copied().ok_or_else(|| Seen("a register without a state".into()))
    }

    async fn begin(
        &self,
        lease: Option<LeaseRequest>,
        registers: &[Register],
        token_life: Duration,
    ) -> Result<Begun, Seen> {
        Ok(self.store.begin(Begin { lease, registers: registers.to_vec(), token_life }).await?)
    }

    async fn lease(&self, key: &Name, id: LeaseId, steal: Steal) -> Result<LeaseState, Seen> {
        self.lease_for(key, id, steal, LONG).await
    }

    async fn lease_for(&self, key: &Name, id: LeaseId, steal: Steal, life: Duration) -> Result<LeaseState, Seen> {
        // Whoever asks for a lease has read first.
        let seen = self.read(Some(key), &[]).await?.entry.map(|(lease, _)| lease);
        let request = LeaseRequest { key: key.clone(), id, generation: None, life, seen, steal };
        let begun = self.begin(Some(request), &[], LONG).await?;
        spoken_of(begun.lease)
    }

    /// Takes a lease that nobody holds.
    async fn won(&self, key: &Name) -> Result<LeaseId, Seen> {
        self.won_for(key, LONG).await
    }

    async fn won_for(&self, key: &Name, life: Duration) -> Result<LeaseId, Seen> {
        let asker = new_asker();
        let state = self.lease_for(key, asker, Steal::Nobodys, life).await?;
        given("the lease of a key that nobody holds", state, asker)
    }

    async fn fill(&self, key: &Name, lease: LeaseId, value: u64) -> Result<bool, Seen> {
        self.fill_for(key, lease, value, LONG).await
    }

    async fn fill_for(&self, key: &Name, lease: LeaseId, value: u64, life: Duration) -> Result<bool, Seen> {
        let blob = blob(self.store.keeps(), value);
        let fill = Fill {
            key: key.clone(),
            lease,
            blob,
            fresh: life,
            life,
            touch: Vec::new(),
            token_life: LONG,
            listing: None,
        };
        Ok(self.store.fill(fill).await?)
    }

    /// Fills an entry as a load does.
    async fn filled(&self, key: &Name, value: u64) -> Result<(), Seen> {
        let lease = self.won(key).await?;
        same("a fill with the lease", self.fill(key, lease, value).await?, true)
    }

    async fn mark(&self, targets: &Targets, mark: Mark) -> Result<(), Seen> {
        Ok(self.store.mark(targets.clone(), mark).await?)
    }

    async fn revoke(&self, targets: &Targets, ended: Option<MarkId>) -> Result<(), Seen> {
        Ok(self.store.revoke(targets.clone(), ended).await?)
    }
}

impl From<StoreError> for Seen {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, seen: T, expected: T) -> Result<(), Seen> {
    if seen == expected { Ok(()) } else { Err(Seen(format!("{what}: expected {expected:?}, saw {seen:?}"))) }
}

fn differ<T: PartialEq + fmt::Debug>(what: &str, one: T, other: T) -> Result<(), Seen> {
    if one == other { Err(Seen(format!("{what}: both are {one:?}"))) } else { Ok(()) }
}

fn token(what: &str, state: State) -> Result<Token, Seen> {
    match state {
        State::Token(token) => Ok(token),
        other => Err(Seen(format!("{what}: expected a token, saw {other:?}"))),
    }
}

/// The token of a mark that lets fills go on.
fn pending(what: &str, state: State) -> Result<Token, Seen> {
    match state {
        State::Pending { token, strict: false } => Ok(token),
        other => Err(Seen(format!("{what}: expected a pending token, saw {other:?}"))),
    }
}

fn new_asker() -> LeaseId {
    LeaseId::asked(rand::random())
}

fn spoken_of(lease: Option<LeaseState>) -> Result<LeaseState, Seen> {
    lease.ok_or_else(|| Seen("a lease was asked for, and nothing said of it".into()))
}

/// The lease that an asker was given.
fn given(what: &str, state: LeaseState, asker: LeaseId) -> Result<LeaseId, Seen> {
    match state {
        LeaseState::Won(id) if id.is_asked_by(asker) => Ok(id),
        other => Err(Seen(format!("{what}: expected a lease of {asker:?}, saw {other:?}"))),
    }
}

fn new_mark(life: Duration) -> Mark {
    Mark { id: MarkId(rand::random()), life, strict: false, renew: false, late: false }
}

fn keys(keys: &[&Name]) -> Targets {
    Targets { keys: keys.iter().map(|&key| key.clone()).collect(), tags: Vec::new() }
}

fn tags(tags: &[&Register]) -> Targets {
    let name = |register: &&Register| match register {
        Register::Tag(name) | Register::Key(name) => name.clone(),
    };
    Targets { keys: Vec::new(), tags: tags.iter().map(name).collect() }
}

/// A value as this kind of store keeps it.
fn blob(keeps: Keeps, value: u64) -> Blob {
    match keeps {
        Keeps::Bytes => Blob::Bytes(Bytes::copy_from_slice(&value.to_le_bytes())),
        Keeps::Values => {
            let header = Header {
                schema: 0,
                version: 0,
                created: 0,
                ttl: LONG,
                load: Duration::ZERO,
                even_invalidated: false,
                dependencies: Vec::new(),
            };
            Arriving::of(header, value).blob()
        }
    }
}

/// The value that [`blob`] was made of.
fn number(blob: &Blob) -> u64 {
    match blob {
        Blob::Bytes(bytes) => bytes.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes),
        Blob::Value(held) => held.value().and_then(|value| value.downcast_ref().copied()).unwrap_or(u64::MAX),
        Blob::Bygone => u64::MAX,
    }
}

/// A generation to tell apart from others.
fn generation() -> Generation {
    Generation(rand::random())
}
