//! The removal of entries that were invalidated, beside the caller and some time after.
//!
//! Only memory is at stake: what is not removed is never served either, and expires. So what cannot be done now, because too much is waiting or the store does not answer, is not done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use crate::core::Core;
use crate::core::lock;
use crate::key::Name;
use crate::store::StoreError;
use crate::store::listing::Gone;
use crate::store::listing::Listed;
use crate::tag_sets::standing::Standing;
use crate::tag_sets::standing::page;

/// Tags whose entries are to be removed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    tags: BTreeSet<Name>,
    /// Whether somebody is at it.
    is_worked_on: bool,
}

/// How long after an invalidation its entries are removed. What is invalidated meanwhile is dealt with at once.
const PAUSE: Duration = Duration::from_millis(100);
/// The most tags that wait.
const MOST: usize = 1000;

/// Has the entries of `tags`, which were invalidated, removed some time later.
pub(crate) fn invalidated(core: &Arc<Core>, tags: &[Name]) {
    if !core.tag_sets.are_on() || tags.is_empty() {
        return;
    }
    let mut waiting = lock(&core.tag_sets.waiting);
    let room = MOST.saturating_sub(waiting.tags.len());
    waiting.tags.extend(tags.iter().filter(|tag| **tag != Name::epoch()).take(room).cloned());
    if waiting.tags.is_empty() || std::mem::replace(&mut waiting.is_worked_on, true) {
        return;
    }
    drop(waiting);
    let (working, host) = (Working(Arc::downgrade(core)), core.host.clone());
    core.host.spawn(Box::pin(async move {
        loop {
            host.sleep(PAUSE).await;
            let Some(core) = working.0.upgrade() else { return };
            let Some(tags) = taken(&core) else { return };
            remove(&core, tags).await;
        }
    }));
}

/// One who is at it, until it is dropped, be it by a value that panics when it is.
struct Working(Weak<Core>);

impl Drop for Working {
    fn drop(&mut self) {
        if let (Some(core), true) = (self.0.upgrade(), std::thread::panicking()) {
            lock(&core.tag_sets.waiting).is_worked_on = false;
        }
    }
}

/// What waits; `None` if nothing does, and nobody is at it from now on.
fn taken(core: &Core) -> Option<BTreeSet<Name>> {
    let mut waiting = lock(&core.tag_sets.waiting);
    let tags = std::mem::take(&mut waiting.tags);
    waiting.is_worked_on = !tags.is_empty() && !core.closing.is_over();
    waiting.is_worked_on.then_some(tags)
}

async fn remove(core: &Core, tags: BTreeSet<Name>) {
    if let Some(local) = &core.local {
        local.purge().await;
        return core.metrics.local_entries(|| Some(local.len()));
    }
    for tag in tags {
        if core.closing.is_over() {
            return;
        }
        match purge(core, &tag).await {
            Ok(removed) => tracing::debug!(removed, "entries of a tag that was invalidated were removed"),
            Err(error) => tracing::debug!(%error, "entries of a tag that was invalidated are left to expire"),
        }
    }
}

/// Removes what was invalidated of the entries that are listed under `tag`, and takes off the list what is not there.
pub(super) async fn purge(core: &Core, tag: &Name) -> Result<u64, StoreError> {
    let (mut removed, mut from) = (0, None);
    loop {
        let (looked_at, next) = page(core, tag, from).await?;
        let gone: Vec<Gone> = looked_at.into_iter().filter_map(|(listed, standing)| gone(listed, standing)).collect();
        if !gone.is_empty() {
            removed += core.store.discard(tag.clone(), gone).await?;
        }
        let Some(next) = next else { return Ok(removed) };
        from = Some(next);
    }
}

fn gone(listed: Listed, standing: Standing) -> Option<Gone> {
    let Listed { key, noted, entry } = listed;
    match standing {
        Standing::Dead => Some(Gone { key, noted, lease: entry.map(|entry| entry.lease) }),
        Standing::Gone | Standing::Spared => Some(Gone { key, noted, lease: None }),
        Standing::Stands { .. } | Standing::Held => None,
    }
}
