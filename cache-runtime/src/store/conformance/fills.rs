//! Fills: accepted with the lease and only then, and gone with a revocation.

use super::*;

pub(super) const LAWS: &[Law] = &[
    ("a fill ends its lease", |bench| Box::pin(ends_lease(bench))),
    ("a fill without the lease is refused", |bench| Box::pin(without_lease(bench))),
    ("a fill after a revocation is refused", |bench| Box::pin(after_revocation(bench))),
    ("a fill after its lease expired is refused", |bench| Box::pin(after_expiry(bench))),
    ("a fill under a mark is refused", |bench| Box::pin(under_mark(bench))),
    ("an entry expires", |bench| Box::pin(entry_expires(bench))),
    ("a touched entry lives as long as it was told", |bench| Box::pin(touched(bench))),
    ("a fill replaces the entry and its life", |bench| Box::pin(replaces(bench))),
    ("a revocation takes entry, lease and key token", |bench| Box::pin(revoked_whole(bench))),
    ("a revocation of one key leaves the others", |bench| Box::pin(leaves_others(bench))),
];

async fn ends_lease(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let lease = bench.won(&key).await?;
    same("the fill", bench.fill(&key, lease, 1).await?, true)?;
    same("stored", bench.entry(&key).await?, Some(1))?;
    same("the same fill again", bench.fill(&key, lease, 2).await?, false)?;
    same("still stored", bench.entry(&key).await?, Some(1))?;
    bench.won(&key).await.map(drop)
}

async fn without_lease(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, free) = (bench.name("key"), bench.name("free"));
    let lease = bench.won(&key).await?;
    same("with a stranger's", bench.fill(&key, new_asker(), 1).await?, false)?;
    same("of a free key", bench.fill(&free, lease, 1).await?, false)?;
    same("stored", (bench.entry(&key).await?, bench.entry(&free).await?), (None, None))?;
    same("with its own after all", bench.fill(&key, lease, 2).await?, true)
}

async fn after_revocation(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let lease = bench.won(&key).await?;
    bench.revoke(&keys(&[&key]), None).await?;
    same("the fill", bench.fill(&key, lease, 1).await?, false)?;
    same("the renewal", bench.store.renew(key.clone(), lease, generation(), LONG).await?, false)?;
    let next = bench.won(&key).await?;
    same("the fill, late", bench.fill(&key, lease, 1).await?, false)?;
    same("the next one's", bench.fill(&key, next, 2).await?, true)?;
    same("stored", bench.entry(&key).await?, Some(2))
}

async fn after_expiry(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let lease = bench.won_for(&key, SHORT).await?;
    bench.later().await;
    same("the fill", bench.fill(&key, lease, 1).await?, false)?;
    same("stored", bench.entry(&key).await?, None)
}

async fn under_mark(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let lease = bench.won(&key).await?;
    let mark = new_mark(LONG);
    bench.mark(&keys(&[&key]), mark).await?;
    same("the fill", bench.fill(&key, lease, 1).await?, false)?;
    bench.revoke(&keys(&[&key]), Some(mark.id)).await?;
    same("the fill after it", bench.fill(&key, lease, 1).await?, false)?;
    same("stored", bench.entry(&key).await?, None)
}

async fn entry_expires(bench: &Bench<'_>) -> Result<(), Seen> {
    let (short, long) = (bench.name("short"), bench.name("long"));
    let lease = bench.won(&short).await?;
    same("the fill", bench.fill_for(&short, lease, 1, SHORT).await?, true)?;
    bench.filled(&long, 2).await?;
    bench.later().await;
    same("stored", (bench.entry(&short).await?, bench.entry(&long).await?), (None, Some(2)))
}

async fn touched(bench: &Bench<'_>) -> Result<(), Seen> {
    let (longer, shorter, absent) = (bench.name("longer"), bench.name("shorter"), bench.name("absent"));
    let lease = bench.won(&longer).await?;
    same("the fill", bench.fill_for(&longer, lease, 1, SHORT).await?, true)?;
    bench.filled(&shorter, 2).await?;
    bench.store.touch(longer.clone(), LONG).await?;
    bench.store.touch(shorter.clone(), SHORT).await?;
    bench.store.touch(absent.clone(), LONG).await?;
    bench.later().await;
    same("for longer", bench.entry(&longer).await?, Some(1))?;
    same("for shorter", bench.entry(&shorter).await?, None)?;
    same("nothing", bench.entry(&absent).await?, None)
}

async fn replaces(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let lease = bench.won(&key).await?;
    same("the first fill", bench.fill_for(&key, lease, 1, SHORT).await?, true)?;
    bench.filled(&key, 2).await?;
    bench.later().await;
    same("stored", bench.entry(&key).await?, Some(2))
}

async fn revoked_whole(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let register = Register::Key(key.clone());
    bench.filled(&key, 1).await?;
    let before = token("the key's token", bench.create(&register).await?)?;
    let lease = bench.won(&key).await?;
    bench.revoke(&keys(&[&key]), None).await?;
    let reading = bench.read(Some(&key), std::slice::from_ref(&register)).await?;
    same("the entry", reading.entry.is_some(), false)?;
    same("the key's token", reading.states, vec![State::Absent])?;
    same("a fill with the lease", bench.fill(&key, lease, 2).await?, false)?;
    differ("the key's tokens", token("the next", bench.create(&register).await?)?, before)
}

async fn leaves_others(bench: &Bench<'_>) -> Result<(), Seen> {
    let (one, other, tag) = (bench.name("one"), bench.name("other"), bench.tag("tag"));
    bench.filled(&one, 1).await?;
    bench.filled(&other, 2).await?;
    let before = bench.create(&tag).await?;
    bench.revoke(&keys(&[&one]), None).await?;
    same("the two", (bench.entry(&one).await?, bench.entry(&other).await?), (None, Some(2)))?;
    bench.revoke(&tags(&[&bench.tag("another")]), None).await?;
    same("the tag", bench.state(&tag).await?, before)?;
    let both = Targets { keys: vec![one, other.clone()], tags: tags(&[&tag]).tags };
    bench.revoke(&both, None).await?;
    same("both", (bench.entry(&other).await?, bench.state(&tag).await?), (None, State::Absent))
}
