//! The lists of a tag's entries, where a store keeps any: no promise rests on them, and what is removed by them was the very entry that was seen.

use super::*;
use crate::envelope::Form;
use crate::envelope::Packing;
use crate::envelope::Unreadable;
use crate::local::Arriving;
use crate::store::listing::Gone;
use crate::store::listing::Listed;
use crate::store::listing::Listing;
use crate::token::Dependency;

pub(super) const LAWS: &[Law] = &[
    ("an entry is listed under each of its tags, and under no other", |bench| Box::pin(under_each_tag(bench))),
    ("many entries are on several pages, and each is on one at least", |bench| Box::pin(many(bench))),
    ("an entry that has ended or was invalidated is not seen", |bench| Box::pin(ended(bench))),
    ("an entry that was seen is removed", |bench| Box::pin(removed(bench))),
    ("an entry that was stored since stays, and stays listed", |bench| Box::pin(stored_since(bench))),
    ("a store that lists nothing says so", |bench| Box::pin(nothing(bench))),
];

async fn under_each_tag(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, one, two, other) = (bench.name("key"), bench.tag("one"), bench.tag("two"), bench.tag("other"));
    if !bench.store.lists() {
        return Ok(());
    }
    store(bench, &key, &[&one, &two], LONG).await?;
    for tag in [&one, &two] {
        let seen = all(bench, tag).await?;
        same("the keys", keys_of(&seen), vec![&key])?;
        let entry = seen[0].entry.as_ref().ok_or_else(|| Seen("listed, and not there".into()))?;
        let read = bench.read(Some(&key), &[]).await?.entry.map(|(lease, _)| lease);
        same("its lease", Some(entry.lease), read)?;
        same("whether it has a size", entry.size > 0, true)?;
    }
    same("under another tag", all(bench, &other).await?.len(), 0)
}

async fn many(bench: &Bench<'_>) -> Result<(), Seen> {
    if !bench.store.lists() {
        return Ok(());
    }
    let tag = bench.tag("tag");
    let mut expected: Vec<Name> = (0..300).map(|number| bench.name(&format!("k{number}"))).collect();
    for key in &expected {
        store(bench, key, &[&tag], LONG).await?;
    }
    let seen = all(bench, &tag).await?;
    let mut found: Vec<Name> = keys_of(&seen).into_iter().cloned().collect();
    expected.sort();
    found.sort();
    found.dedup();
    same("the keys", found, expected)
}

async fn ended(bench: &Bench<'_>) -> Result<(), Seen> {
    if !bench.store.lists() {
        return Ok(());
    }
    let (short, revoked, tag) = (bench.name("short"), bench.name("revoked"), bench.tag("tag"));
    store(bench, &short, &[&tag], SHORT).await?;
    store(bench, &revoked, &[&tag], LONG).await?;
    bench.revoke(&keys(&[&revoked]), None).await?;
    bench.later().await;
    let seen = all(bench, &tag).await?;
    same("how many are there", seen.iter().filter(|listed| listed.entry.is_some()).count(), 0)?;
    let gone = seen.into_iter().map(|listed| Gone { key: listed.key, noted: listed.noted, lease: None });
    same("removed", bench.store.discard(name_of(&tag), gone.collect()).await?, 0)?;
    same("afterwards", all(bench, &tag).await?.len(), 0)
}

async fn removed(bench: &Bench<'_>) -> Result<(), Seen> {
    if !bench.store.lists() {
        return Ok(());
    }
    let (key, other, tag) = (bench.name("key"), bench.name("other"), bench.tag("tag"));
    store(bench, &key, &[&tag], LONG).await?;
    store(bench, &other, &[&tag], LONG).await?;
    let seen = all(bench, &tag).await?;
    let gone = seen.into_iter().filter(|listed| listed.key == key).map(to_be_removed);
    same("removed", bench.store.discard(name_of(&tag), gone.collect()).await?, 1)?;
    same("the entry", bench.read(Some(&key), &[]).await?.entry.is_some(), false)?;
    same("another entry", bench.read(Some(&other), &[]).await?.entry.is_some(), true)?;
    same("the keys", keys_of(&all(bench, &tag).await?), vec![&other])
}

async fn stored_since(bench: &Bench<'_>) -> Result<(), Seen> {
    if !bench.store.lists() {
        return Ok(());
    }
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    store(bench, &key, &[&tag], SHORT).await?;
    let gone: Vec<Gone> = all(bench, &tag).await?.into_iter().map(to_be_removed).collect();
    bench.revoke(&keys(&[&key]), None).await?;
    store(bench, &key, &[&tag], LONG).await?;
    same("removed", bench.store.discard(name_of(&tag), gone).await?, 0)?;
    same("the entry", bench.read(Some(&key), &[]).await?.entry.is_some(), true)?;
    same("the keys", keys_of(&all(bench, &tag).await?), vec![&key])
}

async fn nothing(bench: &Bench<'_>) -> Result<(), Seen> {
    let tag = name_of(&bench.tag("tag"));
    let said =
        (bench.store.listed(tag.clone(), None).await.is_ok(), bench.store.discard(tag, Vec::new()).await.is_ok());
    same("whether it lists", said, (bench.store.lists(), bench.store.lists()))
}

/// Stores an entry that has these tags, as a load does.
async fn store(bench: &Bench<'_>, key: &Name, tags: &[&Register], life: Duration) -> Result<(), Seen> {
    let mut dependencies = Vec::new();
    for &tag in tags {
        dependencies.push(Dependency { register: tag.clone(), token: token("a token", bench.create(tag).await?)? });
    }
    let even_invalidated = false;
    let header =
        Header { schema: 0, version: 0, created: 0, ttl: life, load: Duration::ZERO, even_invalidated, dependencies };
    let blob = match bench.store.keeps() {
        Keeps::Values => Arriving { encoded: Some(1), ..Arriving::of(header, 7_u64) }.blob(),
        Keeps::Bytes => Blob::Bytes(Bytes::from(header.encode(key, seven).map_err(|error| Seen(error.to_string()))?)),
    };
    let listing = Some(Listing { tags: tags.iter().map(|tag| name_of(tag)).collect(), most: 1000 });
    let (key, lease, touch) = (key.clone(), bench.won(key).await?, Vec::new());
    let fill = Fill { key, lease, blob, fresh: life, life, touch, token_life: LONG, listing };
    same("a fill with the lease", bench.store.fill(fill).await?, true)
}

fn seven(out: &mut Vec<u8>) -> Result<Form, Unreadable> {
    let start = out.len();
    out.push(b'7');
    Ok(Packing::default().pack(out, start))
}

/// Everything that is listed under a tag.
async fn all(bench: &Bench<'_>, tag: &Register) -> Result<Vec<Listed>, Seen> {
    let (mut listed, mut from) = (Vec::new(), None);
    for _ in 0..100 {
        let page = bench.store.listed(name_of(tag), from).await?;
        listed.extend(page.listed);
        from = page.next;
        if from.is_none() {
            return Ok(listed);
        }
    }
    Err(Seen("no end of pages".into()))
}

fn keys_of(listed: &[Listed]) -> Vec<&Name> {
    listed.iter().map(|listed| &listed.key).collect()
}

fn to_be_removed(listed: Listed) -> Gone {
    Gone { key: listed.key, noted: listed.noted, lease: listed.entry.map(|entry| entry.lease) }
}

fn name_of(tag: &Register) -> Name {
    match tag {
        Register::Tag(name) | Register::Key(name) => name.clone(),
    }
}
