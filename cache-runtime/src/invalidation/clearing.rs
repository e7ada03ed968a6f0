//! Giving up everything that a namespace holds.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::core::Core;
use crate::core::Rule;
use crate::epoch;
use crate::explain::Told;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
use crate::invalidation::guard::deliver;
use crate::metrics::Happened;
use crate::site::Site;
use crate::store::Targets;
use crate::watch::Mutating;

/// Empties the namespace, whatever transaction this task is inside of.
pub(crate) async fn clear(core: &Arc<Core>, site: &'static Site) -> Delivery {
    let watch = Mutating::call(site, &Context::current(), Mode::After, std::iter::empty());
    let told = match &core.local {
        Some(local) => {
            local.clear();
            core.metrics.of(site).count(Happened::Applied);
            core.metrics.local_entries(|| Some(local.len()));
            Told::Applied
        }
        None => empty(core, site).await.into(),
    };
    watch.end(told);
    if told == Told::Applied { Delivery::Applied } else { Delivery::Deferred }
}

async fn empty(core: &Arc<Core>, site: &'static Site) -> Delivery {
    let delivery = deliver(core, site, Targets::everything(), None, Duration::ZERO).await;
    // What is read from here on was read after it was removed, or waits for the journal.
    forget_epoch(core);
    delivery
}

/// What was known of the epoch may be from before it was removed.
pub(crate) fn forget_epoch(core: &Core) {
    if let Some(epoch) = core.epoch.as_ref().filter(|_| !core.breaks(Rule::EpochIsForgotten)) {
        epoch.forget();
    }
}

impl Targets {
    /// All that a namespace holds.
    pub(crate) fn everything() -> Self {
        Self { keys: Vec::new(), tags: vec![epoch::name()] }
    }
}
