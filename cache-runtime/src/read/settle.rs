//! Settling: what a load brought, to those who wait for it and into the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument as _;

use crate::coder::Coder;
use crate::coder::Value;
use crate::context::Collected;
use crate::context::Context;
use crate::context::Frame;
use crate::core::Core;
use crate::core::Loaded;
use crate::core::Rule;
use crate::envelope::Header;
#[cfg(feature = "sim")]
use crate::envelope::Payload;
#[cfg(feature = "sim")]
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::explain::Ending;
use crate::explain::Fill as Filled;
use crate::explain::Refusal;
use crate::flight::Leader;
use crate::key::Name;
use crate::lease::Right;
use crate::local::Arriving;
use crate::local::Origin;
use crate::metrics::Happened;
use crate::policy::Stale;
use crate::read::Load;
use crate::read::Request;
use crate::read::inherit;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
#[cfg(feature = "sim")]
use crate::store::Read;
use crate::token::Dependency;
use crate::watch::Storing;
use crate::watch::Watch;

/// What a load brought.
pub(crate) enum Landing {
    /// What is to be stored: a value, or the news that there is none.
    Stored {
        value: Option<Value>,
        ttl: Duration,
        origin: Origin,
        /// Whether the value is an error.
        failed: bool,
    },
    /// The news that there is no value, which nobody stores.
    Empty,
    Failed,
}

impl Load {
    /// What the load's future carries: a frame that collects what it depends on. Recursion collects for the load it is inside of.
    pub(crate) fn context(&self, core: &Arc<Core>, request: &Request, outer: &Context, watch: &Watch) -> Context {
        watch.loads(self.bypass);
        let mut context = outer.clone();
        context.trace = watch.inside();
        if !self.recursive {
            let parent = outer.frame.clone().filter(|_| !core.breaks(Rule::InnerDependencies));
            context.frame =
                Some(Frame::new(parent, core, request.key.clone(), request.token_life, self.places.as_ref()));
        }
        context
    }

    /// Gives what was loaded to everybody who waits for it, to the load around this one, and to the store.
    pub(crate) fn settle(
        mut self,
        core: &Arc<Core>,
        request: &Request,
        contexts: (&Context, &Context),
        watch: &Watch,
        landing: Landing,
    ) {
        // The load is over. Whoever lent it a place has it back before they hear of what was loaded.
        drop(self.places.take());
        let (dependencies, inherits) = self.account(core, contexts, watch, &landing);
        let Some(mut leader) = self.leader.take() else { return };
        let shared = dependencies.as_deref().ok().map(Arc::from);
        match landing {
            Landing::Failed => leader.fail(),
            Landing::Empty => leader.land(Loaded { value: None, dependencies: shared }, inherits),
            Landing::Stored { value, ttl, origin, failed } => {
                leader.land(Loaded { value: value.clone(), dependencies: shared }, inherits);
                let Some(right) = leader.right.take() else { return };
                let filling = Filling { value, ttl, origin, failed, began: self.began, created: self.created };
                fill(core, request, Storing::new(watch), filling, dependencies, right, leader);
            }
        }
    }

    /// Gives what was loaded to the load around this one; says what it depends on, if that is known, and whether some of that is another's.
    fn account(
        &mut self,
        core: &Arc<Core>,
        (outer, inner): (&Context, &Context),
        watch: &Watch,
        landing: &Landing,
    ) -> (Known, bool) {
        self.tell(watch, landing);
        if self.recursive {
            return (Err(Refusal::Undependable), true);
        }
        let collected = inner.frame.as_ref().map(|frame| frame.take()).unwrap_or_default();
        let inherits = (collected.unfillable.is_some() || !collected.dependencies.is_empty())
            && !core.breaks(Rule::InheritedLoads);
        let dependencies = self.dependencies(core, collected);
        if let Some(frame) = &outer.frame {
            let known = dependencies.as_ref().ok().zip(self.key_token.take());
            let all = known.map(|(own, key)| own.iter().cloned().chain([key]).collect::<Vec<_>>());
            inherit(frame, core.id(), all.as_deref());
        }
        (dependencies, inherits)
    }

    /// Gives what was loaded to the load around this one and to the store, which has it when this ends.
    pub(super) async fn settle_now(
        mut self,
        core: &Arc<Core>,
        request: &Request,
        contexts: (&Context, &Context),
        watch: &Watch,
        landing: Landing,
        right: Option<Right>,
    ) {
        let (dependencies, _) = self.account(core, contexts, watch, &landing);
        if let (Landing::Stored { value, ttl, origin, failed }, Some(right)) = (landing, right) {
            let filling = Filling { value, ttl, origin, failed, began: self.began, created: self.created };
            fill_now(core, request, Storing::new(watch), filling, dependencies, right).await;
        }
    }

    /// Says how the call has ended, but for what the store makes of it.
    fn tell(&self, watch: &Watch, landing: &Landing) {
        watch.loaded(&self.timer);
        if matches!(landing, Landing::Failed) {
            watch.count(Happened::LoadFailed);
        }
        let empty = match landing {
            Landing::Failed => Some(Filled::Failed),
            Landing::Empty => Some(Filled::Nothing),
            Landing::Stored { .. } => None,
        };
        if let (Some(fill), None) = (empty, self.bypass) {
            watch.brought(fill);
        }
        watch.end(self.bypass.map_or(Ending::Loaded, Ending::Bypassed));
    }

    /// Its own tokens and everything it inherited, if all of it is known.
    fn dependencies(&self, core: &Core, collected: Collected) -> Result<Vec<Dependency>, Refusal> {
        let mut dependencies = self.captured.clone().ok_or(Refusal::Undependable)?;
        if core.breaks(Rule::InnerDependencies) {
            return Ok(dependencies);
        }
        for dependency in collected.dependencies {
            match dependencies.iter().find(|own| own.register == dependency.register) {
                None => dependencies.push(dependency),
                Some(own) if own.token == dependency.token => {}
                Some(_) => return Err(Refusal::InnerChanged),
            }
        }
        collected.unfillable.map_or(Ok(dependencies), Err)
    }
}

/// A value, or the news that there is none, on its way to the store.
pub(crate) struct Filling {
    pub(crate) value: Option<Value>,
    pub(crate) ttl: Duration,
    pub(crate) origin: Origin,
    /// Whether the value is an error.
    pub(crate) failed: bool,
    pub(crate) began: crate::clock::Moment,
    pub(crate) created: u64,
}

/// What an entry depends on, or why it cannot be stored.
type Known = Result<Vec<Dependency>, Refusal>;

/// Stores a value off the caller's path. The flight stays until that is done, so that nobody loads in between.
fn fill(
    core: &Arc<Core>,
    request: &Request,
    storing: Storing,
    filling: Filling,
    dependencies: Known,
    right: Right,
    leader: Leader<Right, Loaded>,
) {
    let fill = match prepare(core, request, filling, dependencies, &right) {
        Ok(fill) => fill,
        Err(why) => return storing.end(Err(why)),
    };
    let (core_too, request, filling) = (core.clone(), request.clone(), core.filling());
    core.finish(Box::pin(async move {
        store(&core_too, &request, storing, fill, right).await;
        drop(filling);
        drop(leader);
    }));
}

/// Stores a value and says whether it was stored.
pub(super) async fn fill_now(
    core: &Arc<Core>,
    request: &Request,
    storing: Storing,
    filling: Filling,
    dependencies: Known,
    right: Right,
) -> bool {
    match prepare(core, request, filling, dependencies, &right) {
        Ok(fill) => {
            let _filling = core.filling();
            store(core, request, storing, fill, right).await
        }
        Err(why) => {
            storing.end(Err(why));
            false
        }
    }
}

async fn store(core: &Arc<Core>, request: &Request, storing: Storing, fill: Fill, right: Right) -> bool {
    #[cfg(feature = "sim")]
    let mut fill = fill;
    #[cfg(feature = "sim")]
    if core.breaks(Rule::CaptureBeforeLoad) {
        recapture(core, request, &mut fill).await;
    }
    right.is_filling();
    let stored = match core.store.fill(fill).instrument(storing.span.clone()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::LeaseLost),
        Err(error) => {
            tracing::debug!(function = request.site.label(), %error, "an entry was not stored");
            Err(Refusal::StoreAway)
        }
    };
    if stored.is_ok() {
        right.spend();
        core.metrics.local_entries(|| core.local.as_ref().map(|local| local.len()));
    }
    // Otherwise whether a lease is still there is not known, and dropping the right gives it up.
    storing.end(stored);
    stored.is_ok()
}

/// The fill, if the value may and can be stored.
fn prepare(
    core: &Core,
    request: &Request,
    filling: Filling,
    dependencies: Known,
    right: &Right,
) -> Result<Fill, Refusal> {
    if filling.ttl.is_zero() {
        return Err(Refusal::Unwanted);
    }
    if core.closing.is_closed() {
        return Err(Refusal::Closed);
    }
    let fresh = filling.ttl.saturating_sub(core.clock.now().since(filling.began));
    let dependencies = dependencies?;
    // The epoch is everybody's.
    if dependencies.len() > core.settings.max_dependencies + usize::from(core.epoch.is_some()) {
        return Err(Refusal::TooManyDependencies);
    }
    if fresh.as_millis() == 0 {
        return Err(Refusal::NoTimeToLive);
    }
    let coder = if filling.failed { request.failures.ok_or(Refusal::NotEncoded)? } else { request.codec };
    let stale = if filling.value.is_some() && !filling.failed {
        request.stale
    } else {
        Stale { idle: request.stale.idle, ..Stale::NONE }
    };
    let life = stale.life(fresh);
    let touch = dependencies.iter().map(|dependency| dependency.register.clone()).collect();
    let header = Header {
        schema: coder.schema,
        version: request.version,
        created: filling.created,
        ttl: filling.ttl,
        load: core.clock.now().since(filling.began),
        even_invalidated: stale.even_invalidated && !stale.if_error.is_zero(),
        dependencies,
    };
    let listing = core.tag_sets.listing(&header.dependencies);
    let blob = blob(core, &request.key, coder, header, filling.value, filling.origin, listing.is_some()).inspect_err(
        |why| {
            tracing::warn!(function = request.site.label(), %why, "a value cannot be stored");
        },
    )?;
    let token_life = request.token_life.max((filling.ttl + stale.window()) * 2);
    Ok(Fill { key: request.key.clone(), lease: right.lease, blob, fresh, life, touch, token_life, listing })
}

fn blob(
    core: &Core,
    key: &Name,
    coder: Coder,
    header: Header,
    value: Option<Value>,
    origin: Origin,
    is_listed: bool,
) -> Result<Blob, Refusal> {
    match (core.store.keeps(), value) {
        (Keeps::Values, value) => {
            let encoded = match core.settings.heaviest {
                Some(heaviest) => Some(weigh(core, coder, value.as_ref(), heaviest)?),
                None if is_listed => Some(size(core, coder, value.as_ref())),
                None => None,
            };
            let arriving = Arriving::new(header, value.map(|value| (value, coder.keep)));
            Ok(Arriving { encoded, origin: Some(origin), ..arriving }.blob())
        }
        (Keeps::Bytes, None) => {
            let encoded = header.encode_empty(key)?;
            Ok(Blob::Bytes(Bytes::from(encoded)))
        }
        (Keeps::Bytes, Some(value)) => {
            let encode = |out: &mut Vec<u8>| {
                let start = out.len();
                if !(coder.is_faithful)(&value, core.settings.packing.codec) {
                    return Err(Refusal::NotEncoded);
                }
                encode(core, coder, &value, out).map(|_| core.settings.packing.pack(out, start))
            };
            header.encode(key, encode).map(|bytes| Blob::Bytes(Bytes::from(bytes)))
        }
    }
}

/// How long the value is when it is encoded, or nothing if it cannot be.
fn size(core: &Core, coder: Coder, value: Option<&Value>) -> u64 {
    let mut out = Vec::new();
    let encoded = value.is_some_and(|value| (coder.encode)(value, core.settings.packing.codec, &mut out));
    if encoded { out.len() as u64 } else { 0 }
}

fn weigh(core: &Core, coder: Coder, value: Option<&Value>, heaviest: u64) -> Result<u64, Refusal> {
    let Some(value) = value else { return Ok(0) };
    let weight = encode(core, coder, value, &mut Vec::new())? as u64;
    if weight <= heaviest { Ok(weight) } else { Err(Refusal::TooLarge) }
}

/// Appends the value's encoding, and says how long it is.
fn encode(core: &Core, coder: Coder, value: &Value, out: &mut Vec<u8>) -> Result<usize, Refusal> {
    let start = out.len();
    if !(coder.encode)(value, core.settings.packing.codec, out) {
        return Err(Refusal::NotEncoded);
    }
    let size = out.len() - start;
    if size <= core.settings.max_entry { Ok(size) } else { Err(Refusal::TooLarge) }
}

impl From<Unreadable> for Refusal {
    /// What does not fit the fields of an entry is too large for them.
    fn from(_: Unreadable) -> Self {
        Self::TooLarge
    }
}

#[cfg(feature = "sim")]
/// Puts today's tokens in the place of those captured before the load: the mistake that a negative control makes.
async fn recapture(core: &Core, request: &Request, fill: &mut Fill) {
    let Blob::Bytes(bytes) = &fill.blob else { return };
    let Ok(stored) = Stored::decode(&request.key, bytes, &[]) else { return };
    let payload = match stored.payload {
        Payload::Bytes(payload) => Some(payload),
        Payload::Empty => None,
    };
    let mut header = stored.header;
    let registers = header.dependencies.iter().map(|dependency| dependency.register.clone()).collect();
    let Ok(mut readings) = core.store.read(vec![Read { entry: None, registers }]).await else { return };
    let states = readings.pop().map(|reading| reading.states).unwrap_or_default();
    for (dependency, state) in header.dependencies.iter_mut().zip(states) {
        dependency.token = state.usable().unwrap_or(dependency.token);
    }
    let encoded = match payload {
        None => header.encode_empty(&request.key),
        Some(payload) => header.encode(&request.key, |out| {
            out.extend_from_slice(&payload.bytes);
            Ok::<_, Unreadable>(payload.form)
        }),
    };
    if let Ok(bytes) = encoded {
        fill.blob = Blob::Bytes(bytes.into());
    }
}
