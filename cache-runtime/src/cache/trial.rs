//! Whether a store does what the protocol needs, found out by doing all of it once.
//!
//! Under a key and a tag that nobody else has, which are gone afterwards; on every node of the store, if it has several.

use std::time::Duration;

use bytes::Bytes;

use crate::core::Core;
use crate::key::Name;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Steal;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::listing::Gone;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;

/// Reads, stores and invalidates once. A store that only did not answer in time is asked again, for as long as connecting may take.
pub(super) async fn stand(core: &Core) -> Result<(), StoreError> {
    if core.store.keeps() == Keeps::Values {
        return Ok(());
    }
    let last = core.clock.now().after(core.settings.connect_timeout);
    let mut names = names(core);
    while let Some(name) = names.last() {
        match all_of_it(core, name.clone()).await {
            Err(StoreError::Late | StoreError::Shed) if core.clock.now() < last => {
                core.host.sleep(PAUSE).await;
            }
            Ok(()) => drop(names.pop()),
            error => return error,
        }
    }
    Ok(())
}

/// A name on each node.
fn names(core: &Core) -> Vec<Name> {
    let debts = core.journal.debts();
    let on = |node| {
        let names = std::iter::repeat_with(|| format!("connecting:{:032x}", core.host.random()));
        // There is one after about as many as there are nodes.
        let mut names = names.take(100_000);
        names.find_map(|name| Some(Name::new(name.as_bytes())).filter(|name| debts.node(name) == Some(node)))
    };
    debts.nodes().into_iter().filter_map(on).collect()
}

async fn all_of_it(core: &Core, name: Name) -> Result<(), StoreError> {
    let registers = vec![Register::Tag(name.clone()), Register::Key(name.clone())];
    let targets = Targets { keys: vec![name.clone()], tags: vec![name.clone()] };
    let lease = LeaseRequest {
        key: name.clone(),
        id: LeaseId::asked(core.host.random()),
        generation: None,
        life: LIFE,
        seen: None,
        steal: Steal::Nobodys,
    };
    let (store, tag) = (&core.store, name.clone());
    store.read(vec![Read { entry: Some(name.clone()), registers: registers.clone() }]).await?;
    let begun = store.begin(Begin { lease: Some(lease), registers: registers.clone(), token_life: LIFE }).await?;
    if let Some(LeaseState::Won(lease)) = begun.lease {
        let blob = Blob::Bytes(Bytes::new());
        let (fresh, life, token_life) = (LIFE, LIFE, LIFE);
        let (key, listing) = (name, core.tag_sets.listing_under(&tag));
        store.fill(Fill { key, lease, blob, fresh, life, touch: registers, token_life, listing }).await?;
    }
    let id = MarkId(core.host.random());
    store.mark(targets.clone(), Mark { id, life: LIFE, strict: false, renew: false, late: false }).await?;
    store.revoke(targets, Some(id)).await?;
    if core.tag_sets.are_on() {
        let listed = store.listed(tag.clone(), None).await?.listed;
        if listed.is_empty() {
            return Err(StoreError::Refused("it does not list what it stores for a tag".to_owned()));
        }
        let gone = listed.into_iter().map(|listed| Gone { key: listed.key, noted: listed.noted, lease: None });
        store.discard(tag, gone.collect()).await?;
    }
    Ok(())
}

/// How long what is left lives, if this ends half-way.
const LIFE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
