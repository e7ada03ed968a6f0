//! The read path, for values of any type: a hit, another's load, or the right to load.
//!
//! ```text
//! look: entry and tokens, one round trip ── valid ──▶ hit
//!   │ miss
//! fly: is somebody in this process at it, and fresh enough? ── yes ──▶ wait
//!   │ no
//! begin: missing tokens and the lease, one round trip ── held by another ──▶ look again, a little later
//!   │ won
//! load
//! ```
//!
//! What holds: nothing that is learnt after a load began can make its result valid. And nothing here can fail: a store that does not
//! answer, a wait that reaches its deadline, a mutation that is running all end in a load.

mod fly;
mod look;
mod replace;
mod scout;
mod settle;
mod stale;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::bulkhead::Places;
use crate::clock::Moment;
use crate::coder::Coder;
use crate::context::Context;
use crate::context::Frame;
use crate::core::Core;
use crate::core::Loaded;
use crate::epoch;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Miss;
use crate::explain::Refusal;
use crate::flight::Leader;
use crate::flight::Tick;
use crate::key::Name;
use crate::lease::Right;
use crate::metrics::Happened;
use crate::metrics::Timer;
use crate::policy::Stale;
use crate::read::look::Away;
use crate::read::look::Look;
use crate::read::look::MOST_LOOKS;
use crate::site::Site;
use crate::token::Dependency;
use crate::token::Register;
use crate::watch::Watch;

pub(crate) use crate::read::replace::put;
pub(crate) use crate::read::replace::refresh;
pub(crate) use crate::read::settle::Landing;
pub(crate) use crate::read::stale::Fallback;
use crate::read::stale::Past;

/// One call of a cached function, without its type.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) site: &'static Site,
    pub(crate) key: Name,
    /// Its own tags.
    pub(crate) tags: Arc<[Register]>,
    pub(crate) version: u32,
    /// Whether the function can say that there is nothing.
    pub(crate) may_be_empty: bool,
    pub(crate) codec: Coder,
    /// The same for the errors that are stored, if any are.
    pub(crate) failures: Option<Coder>,
    /// How long tokens live that are created for it.
    pub(crate) token_life: Duration,
    /// What may be served past its time.
    pub(crate) stale: Stale,
    /// How many loads of the function may run at once, if it says.
    pub(crate) max_loads: Option<usize>,
    /// Whether a call fails that finds no place among the loads.
    pub(crate) rejects: bool,
}

/// How a call goes on.
pub(crate) enum Access {
    /// With a value, or with the news that there is none, and how it came by that.
    Have(Loaded, Ending),
    /// By loading.
    Load(Box<Load>),
    /// Not at all: there was no place for the load.
    Rejected,
}

/// Everything a load needs to be accounted for.
pub(crate) struct Load {
    /// The others who wait for it, and the right to store it.
    pub(crate) leader: Option<Leader<Right, Loaded>>,
    /// The tokens of its own tags, as of before the load, if they are known.
    pub(crate) captured: Option<Vec<Dependency>>,
    /// The token of its own key, likewise, when it runs inside of another load.
    pub(crate) key_token: Option<Dependency>,
    /// Whether the same key is being loaded further out, by this very task.
    pub(crate) recursive: bool,
    /// Why there is no right to store it, if there is none.
    pub(crate) bypass: Option<Bypass>,
    /// Its places among the loads that run at once, once it was given them.
    places: Option<Arc<Places>>,
    /// What its caller returns if it fails.
    pub(crate) fallback: Option<Fallback>,
    /// Whether it is there to refresh what its caller could be given at once.
    pub(crate) refreshes: bool,
    /// When its caller is given the fallback without waiting for it any longer, which is not said of one that was invalidated.
    pub(crate) soft_deadline: Option<Moment>,
    pub(crate) began: Moment,
    pub(crate) created: u64,
    pub(crate) timer: Timer,
}

type Lead = Leader<Right, Loaded>;

impl Load {
    /// One that begins now, for nobody else.
    fn begin(core: &Core, bypass: Option<Bypass>) -> Self {
        let (began, created, timer) = (core.clock.now(), core.clock.wall(), Timer::start());
        Self {
            leader: None,
            captured: None,
            key_token: None,
            recursive: false,
            bypass,
            places: None,
            fallback: None,
            refreshes: false,
            soft_deadline: None,
            began,
            created,
            timer,
        }
    }
}

/// Finds out how a call goes on.
///
/// Cancel safety: dropping the future gives up whatever it held, and a waiter takes over.
pub(crate) async fn access(core: &Arc<Core>, request: &Request, context: &Context, watch: &Watch) -> Access {
    let caller = Caller::new(core, request, context, watch);
    let access = match caller.access().await {
        Access::Have(loaded, _) if caller.is_deferred(loaded.dependencies.as_deref()) => {
            caller.bypass(Away::InTransaction.bypass())
        }
        // A refresh of what this very transaction has changed.
        Access::Load(load)
            if load.fallback.as_ref().is_some_and(|old| caller.is_deferred(old.loaded.dependencies.as_deref())) =>
        {
            caller.bypass(Away::InTransaction.bypass())
        }
        access => access,
    };
    let access = match access {
        Access::Load(load) => Box::pin(caller.admit(load)).await,
        access => access,
    };
    match &access {
        // What is past its time has to be looked at again sooner than the tokens say.
        Access::Have(_, Ending::Stale(_)) => caller.inherit(None),
        Access::Have(loaded, _) => caller.inherit(loaded.dependencies.as_deref()),
        Access::Load(_) | Access::Rejected => {}
    }
    access
}

/// What is stored for a request right now, if it may be served.
pub(crate) async fn stored(core: &Arc<Core>, request: &Request, context: &Context) -> Option<(Loaded, Duration)> {
    let watch = Watch::call(core, request.site, context);
    let caller = Caller::new(core, request, context, &watch);
    let deferred = caller.is_deferred(None);
    let look = if deferred { Look::Away(Away::InTransaction) } else { caller.look_or_pass_by().await };
    let missed = match look {
        Look::Hit { loaded, remaining, .. } if !caller.is_deferred(loaded.dependencies.as_deref()) => {
            watch.end(Ending::Hit);
            caller.touch(remaining);
            caller.inherit(loaded.dependencies.as_deref());
            return Some((loaded, remaining));
        }
        Look::Hit { .. } => Miss::InTransaction,
        Look::Miss(missed) => missed.why,
        Look::Away(away) => away.miss(),
    };
    // A load that read that there is nothing rests on something that no token stands for.
    caller.inherit(None);
    watch.missed(missed);
    watch.end(Ending::Missed);
    None
}

/// One caller on its way.
struct Caller<'a> {
    core: &'a Arc<Core>,
    request: &'a Request,
    context: &'a Context,
    watch: &'a Watch,
    /// Its own registers: its tags, the namespace's epoch, and inside of another load its key.
    registers: Vec<Register>,
    came: Tick,
    began: Moment,
    deadline: Moment,
    /// An entry past its time that the last look has found.
    past: Mutex<Option<Past>>,
    /// Whether others are given what it finds.
    leads: AtomicBool,
}

impl<'a> Caller<'a> {
    fn new(core: &'a Arc<Core>, request: &'a Request, context: &'a Context, watch: &'a Watch) -> Self {
        let mut registers = Vec::with_capacity(request.tags.len() + 2);
        registers.extend_from_slice(&request.tags);
        registers.extend(core.epoch.as_ref().map(|_| epoch::register()));
        if context.frame.is_some() {
            registers.push(Register::Key(request.key.clone()));
        }
        let (came, began) = (core.flights.tick(), core.clock.now());
        let deadline = began.after(core.settings.max_wait);
        let (past, leads) = (Mutex::default(), AtomicBool::new(false));
        Self { core, request, context, watch, registers, came, began, deadline, past, leads }
    }

    /// What mostly does not happen stands in boxes: every call that is no hit in process moves this future to where it stays, and theirs would make it five times as large.
    async fn access(&self) -> Access {
        if self.context.frame.as_ref().is_some_and(|frame| frame.recurs(self.core.id(), &self.request.key)) {
            return self.recur();
        }
        if self.is_deferred(None) {
            return self.bypass(Away::InTransaction.bypass());
        }
        let mut missed = false;
        loop {
            let look = match self.look_or_pass_by().await {
                Look::Hit { loaded, remaining, early } => {
                    self.touch(remaining);
                    return match early {
                        Some(missed) => Box::pin(self.revalidate(&missed, loaded)).await,
                        None => Access::Have(loaded, Ending::Hit),
                    };
                }
                Look::Miss(mut missed) if self.may_revalidate(&missed) => match missed.past.take() {
                    Some(past) => return Box::pin(self.revalidate(&missed, past.loaded)).await,
                    None => Ok(missed),
                },
                Look::Miss(missed) => Ok(missed),
                Look::Away(away) => Err(away),
            };
            if !std::mem::replace(&mut missed, true) {
                self.missed(look.as_ref().map_or_else(|away| away.miss(), |missed| missed.why));
            }
            if let Some(why) = self.context.no_fill.or_else(|| self.is_late().then_some(Bypass::Late)) {
                return self.bypass(why);
            }
            if let Some(access) = Box::pin(self.fly(look)).await {
                return access;
            }
        }
    }

    /// Looks, unless this process knows better: what it has invalidated and not delivered yet it does not read, nor what was read before that was delivered.
    async fn look_or_pass_by(&self) -> Look {
        for _ in 0..MOST_LOOKS {
            if self.core.closing.is_closed() {
                return Look::Away(Away::Closed);
            }
            if self.is_undelivered(None) {
                break;
            }
            let deliveries = self.core.journal.deliveries();
            let mut look = self.look().await;
            let Some(loaded) = look.loaded() else { return look };
            let undelivered = self.is_undelivered(loaded.dependencies.as_deref());
            // What was delivered meanwhile may be none of this, and may be what the entry rested on when it was read.
            let delivered = self.core.journal.deliveries() != deliveries;
            match &mut look {
                Look::Miss(missed) => {
                    if undelivered || delivered || self.is_deferred(missed.dependencies()) {
                        missed.past = None;
                    }
                    self.note_past(missed.past.as_ref());
                    return look;
                }
                _ if undelivered => break,
                _ if !delivered => return look,
                _ => {}
            }
        }
        Look::Away(Away::Undelivered)
    }

    /// Whether something that the call, or a value for it, depends on is being mutated by the transaction that this very task is inside of.
    fn is_deferred(&self, dependencies: Option<&[Dependency]>) -> bool {
        let Some(deferral) = &self.context.deferral else { return false };
        deferral.covers(self.core, &self.all_registers(dependencies))
    }

    /// Whether something that the call, or a value for it, depends on was invalidated and the store does not know yet.
    fn is_undelivered(&self, dependencies: Option<&[Dependency]>) -> bool {
        self.core.journal.is_busy() && self.core.journal.holds(&self.all_registers(dependencies))
    }

    fn all_registers(&self, dependencies: Option<&[Dependency]>) -> Vec<Register> {
        let own = [Register::Key(self.request.key.clone())];
        let inherited = dependencies.unwrap_or_default().iter().map(|dependency| dependency.register.clone());
        self.request.tags.iter().cloned().chain(own).chain(inherited).collect()
    }

    /// Lets a load begin, if there is a place for it or it has one.
    async fn admit(&self, mut load: Box<Load>) -> Access {
        if load.places.is_none() {
            load.places = Some(match self.place().await {
                Ok(places) => places,
                Err(access) => return access,
            });
        }
        load.soft_deadline = self.soft_deadline();
        load.fallback = load.fallback.or_else(|| self.fallback());
        Access::Load(load)
    }

    fn is_late(&self) -> bool {
        self.core.clock.now() >= self.deadline
    }

    /// Told before anything else comes of the call.
    fn missed(&self, why: Miss) {
        self.watch.count(Happened::Missed(why));
        self.watch.missed(why);
    }

    fn load(&self, bypass: Option<Bypass>) -> Load {
        Load::begin(self.core, bypass)
    }

    /// Loads for nobody else, and without the right to store it.
    fn bypass(&self, why: Bypass) -> Access {
        Access::Load(Box::new(self.load(Some(why))))
    }

    /// Loads inside of a load of the same key, on behalf of that.
    fn recur(&self) -> Access {
        Access::Load(Box::new(Load { recursive: true, ..self.load(Some(Bypass::Recursion)) }))
    }

    /// Makes the load around this call depend on what this call depends on.
    fn inherit(&self, dependencies: Option<&[Dependency]>) {
        if let Some(frame) = &self.context.frame {
            inherit(frame, self.core.id(), dependencies);
        }
    }
}

/// Makes the load of `frame` depend on `dependencies`, or on nothing ever again if they are not known.
pub(crate) fn inherit(frame: &Frame, core: usize, dependencies: Option<&[Dependency]>) {
    match dependencies {
        Some(dependencies) => frame.depend(core, dependencies),
        None => frame.spoil(Refusal::Undependable),
    }
}

#[cfg(test)]
mod tests;
