//! Replacing: a value in place of whatever is stored or being loaded.

use std::sync::Arc;

use tracing::Instrument as _;

use crate::context::Context;
use crate::core::Core;
use crate::envelope::Origin;
use crate::lease::Right;
use crate::read::Caller;
use crate::read::Landing;
use crate::read::Load;
use crate::read::Request;
use crate::read::look::Missed;
use crate::read::scout::Scouted;
use crate::read::scout::Step;
use crate::read::settle::Filling;
use crate::read::settle::fill_now;
use crate::store::Steal;
use crate::token::Dependency;
use crate::token::State;

/// Stores a value that is at hand; says whether it was stored.
pub(crate) async fn put(core: &Arc<Core>, request: &Request, context: &Context, landing: Landing) -> bool {
    let Landing::Stored { value, ttl, tags } = landing else { return false };
    if ttl.is_zero() {
        core.metrics.of(request.site).unwanted.add();
        return false;
    }
    let (began, created) = (core.clock.now(), core.clock.wall());
    // Its tokens are those of now, which is when the value counts as loaded.
    let (Some(right), captured) = take_over(core, request, context).await else { return false };
    let filling = Filling { value, ttl, origin: Origin { site: request.site, tags }, began, created };
    fill_now(core, request, filling, captured, right).await
}

/// Runs `load`, and stores what `landed` makes of its output. Nobody is given it before, and a load that runs already may not be stored any more.
///
/// A load around this one has nothing to depend on: what was loaded may not have been stored.
///
/// Cancel safety: dropping the future gives up the lease.
pub(crate) async fn refresh<F: Future>(
    core: &Arc<Core>,
    request: &Request,
    context: &Context,
    load: F,
    landed: impl FnOnce(&F::Output) -> Landing,
) -> F::Output {
    let (right, captured) = take_over(core, request, context).await;
    if right.is_none() {
        core.metrics.of(request.site).bypassed.add();
    }
    let (began, created) = (core.clock.now(), core.clock.wall());
    let running = Load { leader: None, captured, key_token: None, recursive: false, began, created };
    let inner = running.context(core, request, context);
    let span = tracing::debug_span!("cache_load", module = request.site.module(), function = request.site.function());
    let output = inner.clone().carry(load).instrument(span).await;
    let landing = landed(&output);
    running.settle_now(core, request, (context, &inner), landing, right).await;
    output
}

/// The right to fill the key from now on, taken from whoever has it, and the tokens of its tags; nothing where nothing may be stored.
async fn take_over(core: &Arc<Core>, request: &Request, context: &Context) -> (Option<Right>, Option<Vec<Dependency>>) {
    let bare = Context { frame: None, ..context.clone() };
    let caller = Caller::new(core, request, &bare);
    if context.no_fill || context.deferral.is_some() || caller.is_undelivered(None) {
        return (None, None);
    }
    let nothing = Missed { seen: None, states: vec![State::Absent; request.tags.len()] };
    let Scouted { step, captured, .. } = caller.scout(&nothing, Steal::Anybodys).await;
    match step {
        Step::Load(right) => (right, captured),
        Step::Poll | Step::Again => (None, None),
    }
}
