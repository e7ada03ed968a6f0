//! Replacing: a value in place of whatever is stored or being loaded.

use std::sync::Arc;

use tracing::Instrument as _;

use crate::bulkhead::Places;
use crate::context::Context;
use crate::core::Core;
use crate::explain::Bypass;
use crate::explain::Ending;
use crate::explain::Fill as Filled;
use crate::explain::Miss;
use crate::explain::Refusal;
use crate::lease::Right;
use crate::metrics::Happened;
use crate::read::Caller;
use crate::read::Landing;
use crate::read::Load;
use crate::read::Request;
use crate::read::look::Missed;
use crate::read::scout::Scouted;
use crate::read::scout::Step;
use crate::read::settle::Filling;
use crate::read::settle::fill_now;
use crate::read::stale::enter;
use crate::store::Steal;
use crate::token::Dependency;
use crate::token::State;
use crate::watch::Storing;
use crate::watch::Watch;

/// Stores a value that is at hand; says whether it was stored.
pub(crate) async fn put(core: &Arc<Core>, request: &Request, context: &Context, landing: Landing) -> bool {
    let watch = Watch::call(core, request.site, context);
    let span = watch.span.clone();
    let stored = try_put(core, request, context, &watch, landing).instrument(span).await;
    watch.end(stored.map_or_else(Ending::Bypassed, |_| Ending::Put));
    stored.unwrap_or(false)
}

async fn try_put(
    core: &Arc<Core>,
    request: &Request,
    context: &Context,
    watch: &Watch,
    landing: Landing,
) -> Result<bool, Bypass> {
    let Landing::Stored { value, ttl, origin, failed } = landing else {
        watch.brought(if matches!(landing, Landing::Failed) { Filled::Failed } else { Filled::Nothing });
        return Ok(false);
    };
    if ttl.is_zero() {
        Storing::new(watch).end(Err(Refusal::Unwanted));
        return Ok(false);
    }
    let (began, created) = (core.clock.now(), core.clock.wall());
    // Its tokens are those of now, which is when the value counts as loaded.
    let (right, captured) = take_over(core, request, context, watch).await?;
    let filling = Filling { value, ttl, origin, failed, began, created };
    let captured = captured.ok_or(Refusal::Undependable);
    Ok(fill_now(core, request, Storing::new(watch), filling, captured, right).await)
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
    let watch = Watch::call(core, request.site, context);
    // Before the lease, for which others may wait who have a place.
    let places = take_place(core, request, context, &watch).await;
    let taken = take_over(core, request, context, &watch).instrument(watch.span.clone()).await;
    let bypass = taken.as_ref().err().copied();
    let (right, captured) = taken.map_or((None, None), |(right, captured)| (Some(right), captured));
    let running = Load { captured, places, ..Load::begin(core, bypass) };
    let inner = running.context(core, request, context, &watch);
    let output = inner.clone().carry(load).instrument(watch.load_span()).await;
    let landing = landed(&output);
    running.settle_now(core, request, (context, &inner), &watch, landing, right).await;
    output
}

/// A place among the loads that run at once. Who finds none in time loads all the same, as whoever asks for a refresh wants it.
async fn take_place(core: &Core, request: &Request, context: &Context, watch: &Watch) -> Option<Arc<Places>> {
    let entered = enter(core, request, context).await;
    entered.inspect_err(|_| watch.count(Happened::Overloaded)).ok()
}

/// The right to fill the key from now on, taken from whoever has it, and the tokens of its tags; or why nothing may be stored.
async fn take_over(
    core: &Arc<Core>,
    request: &Request,
    context: &Context,
    watch: &Watch,
) -> Result<(Right, Option<Vec<Dependency>>), Bypass> {
    let bare = Context { frame: None, ..context.clone() };
    let caller = Caller::new(core, request, &bare, watch);
    let undelivered = || caller.is_undelivered(None).then_some(Bypass::Undelivered);
    let closed = || core.closing.is_closed().then_some(Bypass::Closed);
    if let Some(why) = context.no_fill.or_else(undelivered).or_else(closed) {
        return Err(why);
    }
    let nothing =
        Missed { seen: None, states: vec![State::Absent; caller.captures().len()], why: Miss::Absent, past: None };
    let Scouted { step, captured, .. } = caller.scout(&nothing, Steal::Anybodys).await;
    match step {
        Step::Load(right) => Ok((right?, captured)),
        // No load keeps the lease from who takes it, so a mutation does.
        Step::Poll | Step::Again => Err(Bypass::Mutating),
    }
}
