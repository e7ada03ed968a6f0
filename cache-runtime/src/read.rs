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

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::clock::Moment;
use crate::codec::Coder;
use crate::context::Context;
use crate::context::Frame;
use crate::core::Core;
use crate::core::Loaded;
use crate::flight::Leader;
use crate::flight::Tick;
use crate::key::Name;
use crate::lease::Right;
use crate::metrics::Counters;
use crate::read::look::Look;
use crate::site::Site;
use crate::token::Dependency;
use crate::token::Register;

pub(crate) use crate::read::replace::put;
pub(crate) use crate::read::replace::refresh;
pub(crate) use crate::read::settle::Landing;

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
    /// How long tokens live that are created for it.
    pub(crate) token_life: Duration,
}

/// How a call goes on.
pub(crate) enum Access {
    /// With a value, or with the news that there is none.
    Have(Loaded),
    /// By loading.
    Load(Box<Load>),
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
    pub(crate) began: Moment,
    pub(crate) created: u64,
}

type Lead = Leader<Right, Loaded>;

/// Finds out how a call goes on.
///
/// Cancel safety: dropping the future gives up whatever it held, and a waiter takes over.
pub(crate) async fn access(core: &Arc<Core>, request: &Request, context: &Context) -> Access {
    let caller = Caller::new(core, request, context);
    let mut access = caller.access().await;
    if matches!(&access, Access::Have(loaded) if caller.is_deferred(loaded.dependencies.as_deref())) {
        access = caller.load(None, None, None);
    }
    match &access {
        Access::Have(loaded) => caller.inherit(loaded.dependencies.as_deref()),
        Access::Load(load) if load.leader.as_ref().is_none_or(|leader| leader.right.is_none()) => {
            caller.counters.bypassed.add()
        }
        Access::Load(_) => {}
    }
    access
}

/// What is stored for a request right now, if it may be served.
pub(crate) async fn stored(core: &Arc<Core>, request: &Request, context: &Context) -> Option<(Loaded, Duration)> {
    let caller = Caller::new(core, request, context);
    let look = if caller.is_deferred(None) { Look::Away } else { caller.look_or_pass_by().await };
    match look {
        Look::Hit { loaded, remaining } if !caller.is_deferred(loaded.dependencies.as_deref()) => {
            caller.counters.hits.add();
            caller.inherit(loaded.dependencies.as_deref());
            Some((loaded, remaining))
        }
        // A load that read that there is nothing rests on something that no token stands for.
        Look::Hit { .. } | Look::Miss(_) | Look::Away => {
            caller.inherit(None);
            None
        }
    }
}

/// One caller on its way.
struct Caller<'a> {
    core: &'a Arc<Core>,
    request: &'a Request,
    context: &'a Context,
    counters: &'a Counters,
    /// Its own registers: its tags, and inside of another load its key.
    registers: Vec<Register>,
    came: Tick,
    deadline: Moment,
    /// Whether others are given what it finds.
    leads: AtomicBool,
}

impl<'a> Caller<'a> {
    fn new(core: &'a Arc<Core>, request: &'a Request, context: &'a Context) -> Self {
        let mut registers = request.tags.to_vec();
        if context.frame.is_some() {
            registers.push(Register::Key(request.key.clone()));
        }
        let came = core.flights.tick();
        let deadline = core.clock.now().after(core.settings.max_wait);
        Self {
            core,
            request,
            context,
            counters: core.metrics.of(request.site),
            registers,
            came,
            deadline,
            leads: AtomicBool::new(false),
        }
    }

    async fn access(&self) -> Access {
        if self.context.frame.as_ref().is_some_and(|frame| frame.recurs(self.core.id(), &self.request.key)) {
            return self.recur();
        }
        if self.is_deferred(None) {
            return self.load(None, None, None);
        }
        let mut missed = false;
        loop {
            let look = match self.look_or_pass_by().await {
                Look::Hit { loaded, .. } => {
                    self.counters.hits.add();
                    return Access::Have(loaded);
                }
                Look::Miss(miss) => Some(miss),
                Look::Away => None,
            };
            if !std::mem::replace(&mut missed, true) {
                self.counters.misses.add();
            }
            if self.context.no_fill || self.is_late() {
                return self.load(None, None, None);
            }
            if let Some(access) = self.fly(look).await {
                return access;
            }
        }
    }

    /// Looks, unless this process knows better: what it has invalidated and not delivered yet it does not read, nor what was read before that was delivered.
    async fn look_or_pass_by(&self) -> Look {
        if self.is_undelivered(None) {
            return Look::Away;
        }
        let deliveries = self.core.journal.deliveries();
        let look = self.look().await;
        let Look::Hit { loaded, .. } = &look else { return look };
        let undelivered = self.is_undelivered(loaded.dependencies.as_deref());
        if undelivered || self.core.journal.deliveries() != deliveries { Look::Away } else { look }
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

    fn is_late(&self) -> bool {
        self.core.clock.now() >= self.deadline
    }

    fn load(&self, leader: Option<Lead>, captured: Option<Vec<Dependency>>, key_token: Option<Dependency>) -> Access {
        let (began, created) = (self.core.clock.now(), self.core.clock.wall());
        Access::Load(Box::new(Load { leader, captured, key_token, recursive: false, began, created }))
    }

    /// Loads inside of a load of the same key, on behalf of that.
    fn recur(&self) -> Access {
        let (began, created) = (self.core.clock.now(), self.core.clock.wall());
        Access::Load(Box::new(Load { leader: None, captured: None, key_token: None, recursive: true, began, created }))
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
        None => frame.spoil(),
    }
}

#[cfg(test)]
mod tests;
