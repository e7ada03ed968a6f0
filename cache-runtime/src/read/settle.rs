//! Settling: what a load brought, to those who wait for it and into the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::Value;
use crate::context::Collected;
use crate::context::Context;
use crate::context::Frame;
use crate::core::Core;
use crate::core::Loaded;
use crate::core::Rule;
use crate::envelope::Header;
use crate::envelope::Origin;
use crate::envelope::Payload;
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::flight::Leader;
use crate::lease::Right;
use crate::read::Load;
use crate::read::Request;
use crate::read::inherit;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
#[cfg(feature = "sim")]
use crate::store::Read;
use crate::token::Dependency;

/// What a load brought.
pub(crate) enum Landing {
    /// What is to be stored: a value, or the news that there is none.
    Stored {
        value: Option<Value>,
        ttl: Duration,
        tags: Box<[u8]>,
    },
    /// The news that there is no value, which nobody stores.
    Empty,
    Failed,
}

impl Load {
    /// What the load's future carries: a frame that collects what it depends on. Recursion collects for the load it is inside of.
    pub(crate) fn context(&self, core: &Arc<Core>, request: &Request, outer: &Context) -> Context {
        core.metrics.of(request.site).loads.add();
        let mut context = outer.clone();
        if !self.recursive {
            let parent = outer.frame.clone().filter(|_| !core.breaks(Rule::InnerDependencies));
            context.frame = Some(Frame::new(parent, core, request.key.clone(), request.token_life));
        }
        context
    }

    /// Gives what was loaded to everybody who waits for it, to the load around this one, and to the store.
    pub(crate) fn settle(
        mut self,
        core: &Arc<Core>,
        request: &Request,
        outer: &Context,
        inner: &Context,
        landing: Landing,
    ) {
        let (dependencies, inherits) = self.account(core, request, outer, inner, &landing);
        let Some(mut leader) = self.leader.take() else { return };
        let shared = dependencies.as_deref().map(Arc::from);
        match landing {
            Landing::Failed => leader.fail(),
            Landing::Empty => leader.land(Loaded { value: None, dependencies: shared }, inherits),
            Landing::Stored { value, ttl, tags } => {
                leader.land(Loaded { value: value.clone(), dependencies: shared }, inherits);
                let Some(right) = leader.right.take() else { return };
                let origin = Origin { site: request.site, tags };
                let filling = Filling { value, ttl, origin, began: self.began, created: self.created };
                fill(core, request, filling, dependencies, right, leader);
            }
        }
    }

    /// Gives what was loaded to the load around this one; says what it depends on, if that is known, and whether some of that is another's.
    fn account(
        &mut self,
        core: &Arc<Core>,
        request: &Request,
        outer: &Context,
        inner: &Context,
        landing: &Landing,
    ) -> (Option<Vec<Dependency>>, bool) {
        if matches!(landing, Landing::Failed) {
            core.metrics.of(request.site).failures.add();
        }
        if self.recursive {
            return (None, true);
        }
        let collected = inner.frame.as_ref().map(|frame| frame.take()).unwrap_or_default();
        let inherits =
            (collected.unfillable || !collected.dependencies.is_empty()) && !core.breaks(Rule::InheritedLoads);
        let dependencies = self.dependencies(core, collected);
        if let Some(frame) = &outer.frame {
            let known = dependencies.as_ref().zip(self.key_token.take());
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
        (outer, inner): (&Context, &Context),
        landing: Landing,
        right: Option<Right>,
    ) {
        let (dependencies, _) = self.account(core, request, outer, inner, &landing);
        if let (Landing::Stored { value, ttl, tags }, Some(right)) = (landing, right) {
            let origin = Origin { site: request.site, tags };
            let filling = Filling { value, ttl, origin, began: self.began, created: self.created };
            fill_now(core, request, filling, dependencies, right).await;
        }
    }

    /// Its own tokens and everything it inherited, if all of it is known.
    fn dependencies(&self, core: &Core, collected: Collected) -> Option<Vec<Dependency>> {
        let mut dependencies = self.captured.clone()?;
        if core.breaks(Rule::InnerDependencies) {
            return Some(dependencies);
        }
        for dependency in collected.dependencies {
            match dependencies.iter().find(|own| own.register == dependency.register) {
                None => dependencies.push(dependency),
                Some(own) if own.token == dependency.token => {}
                Some(_) => return None,
            }
        }
        (!collected.unfillable).then_some(dependencies)
    }
}

/// A value, or the news that there is none, on its way to the store.
pub(crate) struct Filling {
    pub(crate) value: Option<Value>,
    pub(crate) ttl: Duration,
    pub(crate) origin: Origin,
    pub(crate) began: crate::clock::Moment,
    pub(crate) created: u64,
}

/// Stores a value off the caller's path. The flight stays until that is done, so that nobody loads in between.
fn fill(
    core: &Arc<Core>,
    request: &Request,
    filling: Filling,
    dependencies: Option<Vec<Dependency>>,
    right: Right,
    leader: Leader<Right, Loaded>,
) {
    let Some(fill) = prepare(core, request, filling, dependencies, &right) else { return };
    let (core_too, request) = (core.clone(), request.clone());
    core.finish(Box::pin(async move {
        store(&core_too, &request, fill, right).await;
        drop(leader);
    }));
}

/// Stores a value and says whether it was stored.
pub(super) async fn fill_now(
    core: &Arc<Core>,
    request: &Request,
    filling: Filling,
    dependencies: Option<Vec<Dependency>>,
    right: Right,
) -> bool {
    match prepare(core, request, filling, dependencies, &right) {
        Some(fill) => store(core, request, fill, right).await,
        None => false,
    }
}

async fn store(core: &Arc<Core>, request: &Request, fill: Fill, right: Right) -> bool {
    #[cfg(feature = "sim")]
    let mut fill = fill;
    #[cfg(feature = "sim")]
    if core.breaks(Rule::CaptureBeforeLoad) {
        recapture(core, request, &mut fill).await;
    }
    let counters = core.metrics.of(request.site);
    let filled = core.store.fill(fill).await;
    match &filled {
        Ok(true) => counters.fills.add(),
        Ok(false) => counters.refused.add(),
        Err(error) => {
            counters.refused.add();
            tracing::debug!(function = request.site.function(), %error, "an entry was not stored");
        }
    }
    let stored = filled == Ok(true);
    if stored {
        right.spend();
    }
    // Otherwise whether a lease is still there is not known, and dropping the right gives it up.
    stored
}

/// The fill, if the value may and can be stored.
fn prepare(
    core: &Core,
    request: &Request,
    filling: Filling,
    dependencies: Option<Vec<Dependency>>,
    right: &Right,
) -> Option<Fill> {
    let counters = core.metrics.of(request.site);
    if filling.ttl.is_zero() {
        counters.unwanted.add();
        return None;
    }
    let life = filling.ttl.saturating_sub(core.clock.now().since(filling.began));
    let dependencies = dependencies.filter(|all| all.len() <= core.settings.max_dependencies && life.as_millis() > 0);
    let Some(dependencies) = dependencies else {
        counters.refused.add();
        return None;
    };
    let touch = dependencies.iter().map(|dependency| dependency.register.clone()).collect();
    let header = Header {
        schema: request.codec.schema,
        version: request.version,
        created: filling.created,
        ttl: filling.ttl,
        load: core.clock.now().since(filling.began),
        dependencies,
    };
    let Some(blob) = blob(core, request, header, filling.value, filling.origin) else {
        counters.unstorable.add();
        tracing::warn!(function = request.site.function(), "a value is too large to be stored, or cannot be encoded");
        return None;
    };
    let token_life = request.token_life.max(filling.ttl * 2);
    Some(Fill { key: request.key.clone(), lease: right.lease, blob, life, touch, token_life })
}

fn blob(core: &Core, request: &Request, header: Header, value: Option<Value>, origin: Origin) -> Option<Blob> {
    match (core.store.keeps(), value) {
        (Keeps::Values, value) => {
            let weight = match core.settings.heaviest {
                Some(heaviest) => Some(weigh(core, request, value.as_ref()).filter(|weight| *weight <= heaviest)?),
                None => None,
            };
            let payload = value.map_or(Payload::Empty, Payload::Value);
            Some(Blob::Value(Arc::new(Stored { header, payload, weight, origin: Some(origin) })))
        }
        (Keeps::Bytes, None) => header.encode_empty(&request.key).ok().map(|bytes| Blob::Bytes(Bytes::from(bytes))),
        (Keeps::Bytes, Some(value)) => {
            let encode = |out: &mut Vec<u8>| {
                let (start, packing) = (out.len(), &core.settings.packing);
                let encoded = (request.codec.encode)(&value, packing.codec, out);
                let fits = encoded && out.len() - start <= core.settings.max_entry;
                if fits { Ok(packing.pack(out, start)) } else { Err(Unreadable::Length) }
            };
            header.encode(&request.key, encode).ok().map(|bytes| Blob::Bytes(Bytes::from(bytes)))
        }
    }
}

fn weigh(core: &Core, request: &Request, value: Option<&Value>) -> Option<u64> {
    let Some(value) = value else { return Some(0) };
    let mut encoded = Vec::new();
    let fits = (request.codec.encode)(value, core.settings.packing.codec, &mut encoded)
        && encoded.len() <= core.settings.max_entry;
    fits.then_some(encoded.len() as u64)
}

#[cfg(feature = "sim")]
/// Puts today's tokens in the place of those captured before the load: the mistake that a negative control makes.
async fn recapture(core: &Core, request: &Request, fill: &mut Fill) {
    let Blob::Bytes(bytes) = &fill.blob else { return };
    let Ok(stored) = Stored::decode(&request.key, bytes, &[]) else { return };
    let payload = match stored.payload {
        Payload::Bytes(payload) => Some(payload),
        Payload::Empty => None,
        Payload::Value(_) => return,
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
