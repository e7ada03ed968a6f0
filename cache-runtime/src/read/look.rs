//! Looking: what the store holds for a call, and whether it may be served.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Moment;
use crate::coder::Coder;
use crate::coder::Value;
use crate::core::Loaded;
use crate::core::Rule;
use crate::envelope::Header;
use crate::envelope::Packed;
use crate::envelope::Payload;
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::epoch;
use crate::epoch::Ask;
use crate::epoch::Epoch;
use crate::explain::Bypass;
use crate::explain::Miss;
use crate::metrics::Happened;
use crate::metrics::Operation;
use crate::policy;
use crate::read::Caller;
use crate::read::stale::Past;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Held;
use crate::store::Keeps;
use crate::store::Read;
use crate::store::Reading;
use crate::store::StoreError;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;
use crate::token::State;

/// What was found in the store.
pub(super) enum Look {
    Hit {
        loaded: Loaded,
        remaining: Duration,
        /// What a refresh before its time has to know, if it is time for one.
        early: Option<Box<Missed>>,
    },
    Miss(Missed),
    Away(Away),
}

impl Look {
    /// What there is to return, perhaps past its time.
    pub(super) fn loaded(&self) -> Option<&Loaded> {
        match self {
            Self::Hit { loaded, .. } => Some(loaded),
            Self::Miss(missed) => missed.past.as_ref().map(|past| &past.loaded),
            Self::Away(_) => None,
        }
    }
}

/// Why there is nothing to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// The store did not answer.
    Store,
    /// The store was not asked, because it does not answer these days.
    Shed,
    /// The store does not know yet of an invalidation.
    Undelivered,
    /// The transaction that this very task is inside of changes it.
    InTransaction,
    /// The cache is closed.
    Closed,
}

impl Away {
    pub(super) fn miss(self) -> Miss {
        match self {
            Self::Store => Miss::StoreAway,
            Self::Shed => Miss::Shed,
            Self::Undelivered => Miss::Undelivered,
            Self::InTransaction => Miss::InTransaction,
            Self::Closed => Miss::Closed,
        }
    }

    pub(super) fn bypass(self) -> Bypass {
        match self {
            Self::Store => Bypass::StoreAway,
            Self::Shed => Bypass::Shed,
            Self::Undelivered => Bypass::Undelivered,
            Self::InTransaction => Bypass::InTransaction,
            Self::Closed => Bypass::Closed,
        }
    }
}

/// Nothing that may be served.
pub(super) struct Missed {
    /// The entry that was there and of no use.
    pub(super) seen: Option<LeaseId>,
    /// The states of the caller's own registers.
    pub(super) states: Vec<State>,
    /// Why it may not be served.
    pub(super) why: Miss,
    /// The entry that was there, if it may be of use all the same.
    pub(super) past: Option<Past>,
}

impl Missed {
    /// What the entry depends on that may be of use, if that was asked.
    pub(super) fn dependencies(&self) -> Option<&[Dependency]> {
        self.past.as_ref()?.loaded.dependencies.as_deref()
    }
}

/// What becomes of an entry that was found.
enum Judged {
    Hit { loaded: Loaded, remaining: Duration, early: bool },
    No(Miss, Option<Past>),
}

/// An entry whose header can be read.
enum Opened {
    Packed(Stored),
    Held(Arc<dyn Held>),
}

impl Opened {
    fn header(&self) -> Cow<'_, Header> {
        match self {
            Self::Packed(stored) => Cow::Borrowed(&stored.header),
            Self::Held(held) => held.header(),
        }
    }

    /// Until when it may be served, if it is of this process.
    fn expires(&self) -> Option<Moment> {
        match self {
            Self::Packed(_) => None,
            Self::Held(held) => held.expires(),
        }
    }
}

/// Where an entry is in its time.
enum Age {
    Fresh(Duration),
    /// How long its time has been up.
    Past(Duration),
}

/// Registers, with the state that each was read in.
type Known = Vec<(Register, State)>;

/// How often a call looks again because something changed while it looked.
pub(super) const MOST_LOOKS: u32 = 4;

impl Caller<'_> {
    /// Reads entry and tokens in one round trip.
    pub(super) async fn look(&self) -> Look {
        match self.try_look().await {
            Ok(look) => look,
            Err(StoreError::Shed) => {
                self.watch.count(Happened::Shed);
                Look::Away(Away::Shed)
            }
            Err(error) => {
                self.watch.count(Happened::StoreFailed(Operation::Read));
                tracing::debug!(function = self.request.site.label(), %error, "the store did not answer a read");
                Look::Away(Away::Store)
            }
        }
    }

    async fn try_look(&self) -> Result<Look, StoreError> {
        let mut looks = 1;
        loop {
            let (entry, mut known) = self.read_entry().await?;
            // Inside of another load everything this call depends on has to have a token before anything is read.
            if self.context.frame.is_some() && looks < MOST_LOOKS {
                let absent = absent(self.own(&known));
                if !absent.is_empty() {
                    looks += 1;
                    self.create(absent).await?;
                    continue;
                }
            }
            let Some((seen, blob)) = entry else {
                let states = states(self.own(&known));
                return Ok(Look::Miss(Missed { seen: None, states, why: self.absence(), past: None }));
            };
            let judged = self.judge(blob, &mut known).await?;
            let missed = |why, past| Missed { seen: Some(seen), states: states(self.own(&known)), why, past };
            return Ok(match judged {
                Judged::Hit { loaded, remaining, early } => {
                    Look::Hit { loaded, remaining, early: early.then(|| Box::new(missed(Miss::Early, None))) }
                }
                Judged::No(why, past) => Look::Miss(missed(why, past)),
            });
        }
    }

    /// Reads the entry, and with it the call's own registers, but for the epoch if that is known, and what the entry inherited when it was read last. The own ones come first.
    async fn read_entry(&self) -> Result<(Option<(LeaseId, Blob)>, Known), StoreError> {
        let epoch = self.core.epoch.as_ref().map(|epoch| (epoch, self.ask(epoch)));
        let token = match epoch {
            Some((_, Ask::Known(token))) => Some(token),
            Some((_, Ask::Read(_))) | None => None,
        };
        let inherited = self.inherited_before();
        let all = self.registers.iter().chain(inherited.iter().filter(|register| !self.registers.contains(register)));
        let unknown = all.clone().filter(|register| token.is_none() || !register.is_epoch());
        let read = Read { entry: Some(self.request.key.clone()), registers: unknown.cloned().collect() };
        let Reading { entry, states } = self.read(read).await?;
        let mut known = Vec::with_capacity(self.registers.len() + inherited.len());
        let mut states = states.into_iter();
        for register in all {
            let state = token.filter(|_| register.is_epoch()).map(State::Token).or_else(|| states.next());
            known.push((register.clone(), state.unwrap_or(State::Absent)));
        }
        if let Some((epoch, Ask::Read(ticket))) = epoch {
            let state = known.iter().find(|(register, _)| register.is_epoch()).map(|(_, state)| *state);
            state.into_iter().for_each(|state| epoch.learn(ticket, state));
        }
        Ok((entry, known))
    }

    /// Of what was read, the call's own registers.
    fn own<'k>(&self, known: &'k Known) -> &'k [(Register, State)] {
        &known[..self.registers.len()]
    }

    fn ask(&self, epoch: &Epoch) -> Ask {
        #[cfg(feature = "sim")]
        if let Some(token) = epoch.last_known().filter(|_| self.core.breaks(Rule::EpochIsRead)) {
            return Ask::Known(token);
        }
        epoch.ask(self.core.clock.now())
    }

    async fn read(&self, read: Read) -> Result<Reading, StoreError> {
        let expected = read.registers.len();
        let reading = self.core.store.read(vec![read]).await?.pop();
        reading
            .filter(|reading| reading.states.len() == expected)
            .ok_or_else(|| StoreError::Refused("a reply of another length".to_owned()))
    }

    async fn create(&self, registers: Vec<Register>) -> Result<(), StoreError> {
        let life = self
            .context
            .frame
            .as_ref()
            .map_or(self.request.token_life, |frame| frame.token_life.max(self.request.token_life));
        let token_life = epoch::life(&registers, life);
        self.core.store.begin(Begin { lease: None, registers, token_life }).await.map(drop)
    }

    /// Why the store has nothing under the key.
    fn absence(&self) -> Miss {
        let expired = self.core.local.as_ref().is_some_and(|local| local.has_expired(&self.request.key));
        if expired { Miss::Expired } else { Miss::Absent }
    }

    /// The entry as a hit, or why it is none.
    async fn judge(&self, blob: Blob, known: &mut Known) -> Result<Judged, StoreError> {
        if matches!(blob, Blob::Bygone) {
            return Ok(Judged::No(Miss::OtherIncarnation, None));
        }
        let Some(opened) = self.open(blob) else { return Ok(Judged::No(Miss::Unreadable, None)) };
        let header = &*opened.header();
        let age = self.age(header, opened.expires());
        if matches!(age, Age::Past(by) if by >= self.request.stale.window()) {
            return Ok(Judged::No(Miss::Expired, None));
        }
        if let Some(why) = self.other(header) {
            return Ok(Judged::No(why, None));
        }
        if self.is_of_another_epoch(header, known) {
            return Ok(Judged::No(Miss::OtherEpoch, None));
        }
        self.read_missing(header, known).await?;
        let heeded = !(matches!(age, Age::Past(_)) && self.core.breaks(Rule::StaleStands));
        let fallen = header.dependencies.iter().filter(|_| heeded).find_map(|dependency| fallen(dependency, known));
        if let Some(why) = fallen.filter(|_| !self.request.stale.even_invalidated) {
            return Ok(Judged::No(if let Age::Past(_) = age { Miss::Expired } else { why }, None));
        }
        let Some(value) = self.value(header, &opened) else { return Ok(Judged::No(Miss::Unreadable, None)) };
        if value.is_none() && !self.request.may_be_empty {
            return Ok(Judged::No(Miss::OtherOutcome, None));
        }
        self.remember_inherited(header);
        let loaded = Loaded { value, dependencies: self.dependencies(header, known) };
        Ok(self.timed(header, loaded, age, fallen))
    }

    /// An entry of this call that can be read, by its age and by what it depends on.
    fn timed(&self, header: &Header, loaded: Loaded, age: Age, fallen: Option<Miss>) -> Judged {
        let stale = &self.request.stale;
        match (age, fallen) {
            (Age::Fresh(remaining), None) => {
                let due =
                    |beta| policy::is_due_early(remaining, header.ttl, header.load, beta, self.core.host.random());
                Judged::Hit { loaded, remaining, early: stale.early.is_some_and(due) && self.context.no_fill.is_none() }
            }
            // Neither the news that there is nothing nor an error is worth serving past its time.
            (age, fallen) => {
                let by = if let Age::Past(by) = age { by } else { Duration::ZERO };
                let invalidated = fallen.is_some();
                let is_value = loaded.value.is_some() && !self.is_failure(header);
                let past = is_value.then_some(Past { loaded, by, invalidated });
                let why = if let Age::Past(_) = age { Miss::Expired } else { fallen.unwrap_or(Miss::Expired) };
                Judged::No(why, past)
            }
        }
    }

    /// What a hit depends on, if anybody asks.
    fn dependencies(&self, header: &Header, known: &[(Register, State)]) -> Option<Arc<[Dependency]>> {
        let own_key = known.iter().filter(|(register, _)| self.is_own_key(register)).map(dependency_on);
        // Inside of another load, what has no token for its own key cannot be depended on.
        let all = || header.dependencies.iter().cloned().map(Some).chain(own_key).collect();
        if self.wants_dependencies() { all() } else { None }
    }

    /// Why it is another function's entry, or one of another deploy, if it is.
    fn other(&self, header: &Header) -> Option<Miss> {
        let has = |tag: &Register| header.dependencies.iter().any(|own| own.register == *tag);
        let heeded = !self.core.breaks(Rule::TypeOfEntry);
        if heeded && header.schema != self.request.codec.schema && !self.is_failure(header) {
            Some(Miss::OtherType)
        } else if heeded && header.version != self.request.version {
            Some(Miss::OtherVersion)
        } else {
            (!self.request.tags.iter().all(has)).then_some(Miss::OtherTags)
        }
    }

    /// Whether the namespace was emptied since the entry's load began.
    fn is_of_another_epoch(&self, header: &Header, known: &[(Register, State)]) -> bool {
        let mut own = header.dependencies.iter().filter(|dependency| dependency.register.is_epoch());
        self.core.epoch.is_some() && own.next().is_none_or(|own| fallen(own, known).is_some())
    }

    /// Whether the entry is an error that was stored.
    fn is_failure(&self, header: &Header) -> bool {
        self.request.failures.is_some_and(|failures| failures.schema == header.schema)
    }

    /// Whether anybody asks what a hit depends on.
    fn wants_dependencies(&self) -> bool {
        let bare = self.context.frame.is_none() && self.context.deferral.is_none() && !self.core.journal.is_busy();
        !bare || self.leads.load(Ordering::Relaxed)
    }

    fn open(&self, blob: Blob) -> Option<Opened> {
        match blob {
            Blob::Value(held) => Some(Opened::Held(held)),
            Blob::Bytes(bytes) => match Stored::decode(&self.request.key, &bytes, &self.registers) {
                Ok(stored) => Some(Opened::Packed(stored)),
                Err(error) => {
                    self.watch.count(Happened::Unreadable);
                    tracing::warn!(function = self.request.site.label(), %error, "an entry could not be read");
                    None
                }
            },
            Blob::Bygone => None,
        }
    }

    /// What the entry says: a value, or that there is none. `None` if it cannot be read.
    fn value(&self, header: &Header, opened: &Opened) -> Option<Option<Value>> {
        let coder = self.request.failures.filter(|_| self.is_failure(header)).unwrap_or(self.request.codec);
        let value = match opened {
            Opened::Held(held) => held.value().map(|value| (coder.copy)(value).ok_or(Unreadable::Type)),
            Opened::Packed(Stored { payload: Payload::Empty, .. }) => None,
            Opened::Packed(Stored { payload: Payload::Bytes(packed), .. }) => Some(self.unpack(coder, packed)),
        };
        let told = value.transpose().inspect_err(|error| {
            self.watch.count(Happened::Unreadable);
            tracing::warn!(function = self.request.site.label(), %error, "a stored value could not be read");
        });
        told.ok()
    }

    fn unpack(&self, coder: Coder, packed: &Packed) -> Result<Value, Unreadable> {
        let encoded = packed.unpacked(self.core.settings.max_entry)?;
        (coder.decode)(&encoded, packed.form.codec()).ok_or(Unreadable::Type)
    }

    /// Where the entry is in its time, by this process's own clock.
    fn age(&self, header: &Header, expires: Option<Moment>) -> Age {
        // In process, by a clock that no one sets.
        if let Some(expires) = expires {
            let now = self.core.clock.now();
            return if now < expires { Age::Fresh(expires.since(now)) } else { Age::Past(now.since(expires)) };
        }
        let (done, ttl) = (self.core.clock.wall().saturating_sub(header.created), header.ttl);
        let age = Duration::from_millis(done);
        if age < ttl { Age::Fresh(ttl - age) } else { Age::Past(age - ttl) }
    }

    /// Reads what the entry inherited and nobody foresaw.
    async fn read_missing(&self, header: &Header, known: &mut Known) -> Result<(), StoreError> {
        let is_known = |register: &Register| known.iter().any(|(known, _)| known == register);
        let missing: Vec<_> = header
            .dependencies
            .iter()
            .map(|dependency| dependency.register.clone())
            .filter(|register| !is_known(register))
            .collect();
        if !missing.is_empty() {
            let reading = self.read(Read { entry: None, registers: missing.clone() }).await?;
            known.extend(missing.into_iter().zip(reading.states));
        }
        Ok(())
    }

    fn inherited_before(&self) -> Arc<[Register]> {
        let hint = || self.core.inherited.get(&self.request.key);
        let outside = self.core.store.keeps() == Keeps::Bytes;
        outside.then(hint).flatten().unwrap_or_default()
    }

    fn remember_inherited(&self, header: &Header) {
        if self.core.store.keeps() == Keeps::Bytes && header.dependencies.len() > self.captures().len() {
            let registers = header.dependencies.iter().map(|dependency| dependency.register.clone());
            let inherited: Arc<[Register]> = registers.filter(|register| !self.captures().contains(register)).collect();
            if self.inherited_before() != inherited {
                self.core.inherited.insert(self.request.key.clone(), inherited);
            }
        }
    }

    /// What a load of the call captures: its tags and the epoch.
    pub(super) fn captures(&self) -> &[Register] {
        &self.registers[..self.request.tags.len() + usize::from(self.core.epoch.is_some())]
    }

    fn is_own_key(&self, register: &Register) -> bool {
        self.context.frame.is_some() && matches!(register, Register::Key(key) if *key == self.request.key)
    }

    /// The token of the call's own key, when it is inside of another load.
    pub(super) fn key_token(&self, look: &Missed) -> Option<Dependency> {
        let mut own = self.registers.iter().cloned().zip(look.states.iter().copied());
        own.find(|(register, _)| self.is_own_key(register)).as_ref().and_then(dependency_on)
    }

    /// The tokens of all of the call's registers, if each has one that may be used.
    pub(super) fn captured(&self, states: impl Iterator<Item = State>) -> Option<Vec<Dependency>> {
        let own = self.registers.iter().cloned().zip(states);
        own.map(|pair| dependency_on(&pair)).collect()
    }
}

fn absent(known: &[(Register, State)]) -> Vec<Register> {
    let absent = known.iter().filter(|(_, state)| *state == State::Absent);
    absent.map(|(register, _)| register.clone()).collect()
}

fn states(known: &[(Register, State)]) -> Vec<State> {
    known.iter().map(|(_, state)| *state).collect()
}

fn dependency_on((register, state): &(Register, State)) -> Option<Dependency> {
    state.usable().map(|token| Dependency { register: register.clone(), token })
}

/// Why an entry cannot rest on `dependency` any more, if it cannot.
fn fallen(dependency: &Dependency, known: &[(Register, State)]) -> Option<Miss> {
    let now = known.iter().find(|(register, _)| *register == dependency.register);
    let state = now.map_or(State::Absent, |(_, state)| *state);
    let stands = state.usable() == Some(dependency.token);
    let why = match state {
        State::Absent => Miss::TokenGone,
        State::Token(_) => Miss::Invalidated,
        State::Pending { .. } => Miss::Mutating,
    };
    (!stands).then_some(why)
}
