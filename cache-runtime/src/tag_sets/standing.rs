//! Looking at what a store has listed under a tag: which of it stands, and which was invalidated.
//!
//! Tokens never come back. So an entry that rests on another token than its register holds now is dead for good, whatever happens between reading the one and the other.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use crate::core::Core;
use crate::envelope::Header;
use crate::envelope::Stored;
use crate::envelope::Unreadable;
use crate::key::Name;
use crate::store::Blob;
use crate::store::Read;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::listing::Glimpse;
use crate::store::listing::HEAD;
use crate::store::listing::Listed;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::Register;
use crate::token::State;

/// What is to be thought of an entry that is listed under a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It may be served, until this time since the Unix epoch and where that is asked for past it.
    Stands { size: u64, until: Duration },
    /// It was invalidated, and will never be served again.
    Dead,
    /// It was invalidated, and may be served again only where its function fails.
    Spared,
    /// It is not served now, or not by this process, and is left alone.
    Held,
    /// There is no entry that has the tag.
    Gone,
}

/// Some of the entries that are listed under a tag, what is to be thought of each, and where to go on.
pub(super) async fn page(
    core: &Core,
    tag: &Name,
    from: Option<u64>,
) -> Result<(Vec<(Listed, Standing)>, Option<u64>), StoreError> {
    let mut attempts = 0;
    loop {
        let deliveries = core.journal.deliveries();
        let page = core.store.listed(tag.clone(), from).await?;
        let mut judged = judged(core, tag, page.listed).await?;
        if core.journal.deliveries() == deliveries {
            return Ok((judged, page.next));
        }
        // What was read before an invalidation was delivered may be judged after the journal has struck it off.
        attempts += 1;
        if attempts == MOST_LOOKS {
            let standings = judged.iter_mut().map(|(_, standing)| standing);
            standings
                .filter(|standing| matches!(standing, Standing::Stands { .. }))
                .for_each(|it| *it = Standing::Held);
            return Ok((judged, page.next));
        }
    }
}

/// How often a page is looked at while deferred invalidations are delivered.
const MOST_LOOKS: usize = 3;

/// What is to be thought of each entry of `listed`.
async fn judged(core: &Core, tag: &Name, listed: Vec<Listed>) -> Result<Vec<(Listed, Standing)>, StoreError> {
    let heads = heads(core, &listed).await?;
    let states = states(core, &heads).await?;
    let standing = |(listed, head): (Listed, Head)| {
        let standing = standing(core, tag, &listed, head, &states);
        (listed, standing)
    };
    Ok(listed.into_iter().zip(heads).map(standing).collect())
}

/// What is known of an entry that is listed.
enum Head {
    Known(Header),
    /// Nothing vouches for it any more.
    Bygone,
    /// It is longer than what was looked at.
    Longer,
    /// It is of another format, or none of ours.
    Unknown,
    Missing,
}

async fn heads(core: &Core, listed: &[Listed]) -> Result<Vec<Head>, StoreError> {
    let mut heads: Vec<Head> = listed.iter().map(|listed| head(&listed.key, listed.entry.as_ref())).collect();
    let mut longer: Vec<(&mut Head, &Name)> = heads.iter_mut().zip(listed.iter().map(|listed| &listed.key)).collect();
    longer.retain(|(head, _)| matches!(head, Head::Longer));
    for some in longer.chunks_mut(MOST_WHOLE) {
        let read = |(_, key): &(&mut Head, &Name)| Read { entry: Some((*key).clone()), registers: Vec::new() };
        let readings = core.store.read(some.iter().map(read).collect()).await?;
        for ((head, key), reading) in some.iter_mut().zip(readings) {
            **head = whole(key, reading.entry);
        }
    }
    Ok(heads)
}

/// How many entries are read as a whole at a time, for headers that are longer than what was looked at.
const MOST_WHOLE: usize = 8;

fn head(key: &Name, entry: Option<&Glimpse>) -> Head {
    match entry.map(|entry| &entry.head) {
        None => Head::Missing,
        Some(Blob::Bygone) => Head::Bygone,
        Some(Blob::Value(held)) => Head::Known(held.header().into_owned()),
        Some(Blob::Bytes(bytes)) => match Header::glimpse(key, bytes) {
            Ok(header) => Head::Known(header),
            Err(Unreadable::Length) if bytes.len() >= HEAD => Head::Longer,
            Err(_) => Head::Unknown,
        },
    }
}

fn whole(key: &Name, entry: Option<(LeaseId, Blob)>) -> Head {
    match entry.map(|(_, blob)| blob) {
        Some(Blob::Bytes(bytes)) => {
            Stored::decode(key, &bytes, &[]).map_or(Head::Unknown, |stored| Head::Known(stored.header))
        }
        Some(Blob::Value(held)) => Head::Known(held.header().into_owned()),
        Some(Blob::Bygone) => Head::Bygone,
        None => Head::Missing,
    }
}

/// The states of everything that these depend on.
async fn states(core: &Core, heads: &[Head]) -> Result<HashMap<Register, State>, StoreError> {
    let headers = heads.iter().filter_map(|head| if let Head::Known(header) = head { Some(header) } else { None });
    let registers = headers.flat_map(|header| &header.dependencies).map(|dependency| dependency.register.clone());
    let registers: Vec<Register> = registers.collect::<HashSet<_>>().into_iter().collect();
    let mut states = HashMap::new();
    for registers in registers.chunks(Targets::BATCH) {
        let readings = core.store.read(vec![Read { entry: None, registers: registers.to_vec() }]).await?;
        let read = readings.into_iter().flat_map(|reading| reading.states);
        states.extend(registers.iter().cloned().zip(read));
    }
    Ok(states)
}

fn standing(core: &Core, tag: &Name, listed: &Listed, head: Head, states: &HashMap<Register, State>) -> Standing {
    let header = match head {
        Head::Missing => return Standing::Gone,
        Head::Bygone => return Standing::Dead,
        Head::Longer | Head::Unknown => return Standing::Held,
        Head::Known(header) => header,
    };
    let registers = || header.dependencies.iter().map(|dependency| &dependency.register);
    if !registers().any(|register| matches!(register, Register::Tag(name) if name == tag)) {
        return Standing::Gone;
    }
    let stands = |dependency: &Dependency| {
        states.get(&dependency.register).and_then(|state| state.usable()) == Some(dependency.token)
    };
    let mut fallen = header.dependencies.iter().filter(|dependency| !stands(dependency)).peekable();
    if fallen.peek().is_some() {
        // What is of another epoch is served in no case.
        let is_of_this_epoch = !fallen.any(|dependency| dependency.register.is_epoch());
        return if header.even_invalidated && is_of_this_epoch { Standing::Spared } else { Standing::Dead };
    }
    if core.journal.holds(registers().chain([&Register::Key(listed.key.clone())])) {
        return Standing::Held;
    }
    let size = listed.entry.as_ref().map_or(0, |entry| entry.size);
    Standing::Stands { size, until: Duration::from_millis(header.created).saturating_add(header.ttl) }
}
