//! Leases: one holder at a time, and only what it holds can it give up or extend.

use super::*;

pub(super) const LAWS: &[Law] = &[
    ("a lease is won once", |bench| Box::pin(won_once(bench))),
    ("a lease says what its load captured", |bench| Box::pin(says_generation(bench))),
    ("an expired lease is free", |bench| Box::pin(expired_is_free(bench))),
    ("a lease is stolen from whom it was meant", |bench| Box::pin(stolen_from(bench))),
    ("a renewed lease lives on", |bench| Box::pin(renewed_lives_on(bench))),
    ("only its own lease is renewed", |bench| Box::pin(renews_own(bench))),
    ("only its own lease is released", |bench| Box::pin(releases_own(bench))),
    ("a lease and tokens come in one call", |bench| Box::pin(with_tokens(bench))),
];

async fn won_once(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, other) = (bench.name("key"), bench.name("other"));
    let id = bench.won(&key).await?;
    let second = bench.lease(&key, lease_id(), Steal::Nobodys).await?;
    same("the second asker", second, LeaseState::Held { id, generation: None })?;
    same("the holder again", bench.lease(&key, id, Steal::Nobodys).await?, LeaseState::Won)?;
    bench.won(&other).await.map(drop)
}

async fn says_generation(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, id, first, next) = (bench.name("key"), lease_id(), generation(), generation());
    let request =
        LeaseRequest { key: key.clone(), id, generation: Some(first), life: LONG, seen: None, steal: Steal::Nobodys };
    same("the lease", bench.begin(Some(request), &[], LONG).await?.lease, Some(LeaseState::Won))?;
    let held = bench.lease(&key, lease_id(), Steal::Nobodys).await?;
    same("at first", held, LeaseState::Held { id, generation: Some(first) })?;
    same("renewed", bench.store.renew(key.clone(), id, next, LONG).await?, true)?;
    let held = bench.lease(&key, lease_id(), Steal::Nobodys).await?;
    same("after that", held, LeaseState::Held { id, generation: Some(next) })
}

async fn expired_is_free(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, id) = (bench.name("key"), lease_id());
    same("the lease", bench.lease_for(&key, id, Steal::Nobodys, SHORT).await?, LeaseState::Won)?;
    bench.later().await;
    same("renewed too late", bench.store.renew(key.clone(), id, generation(), LONG).await?, false)?;
    bench.won(&key).await.map(drop)
}

async fn stolen_from(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let first = bench.won(&key).await?;
    let held = LeaseState::Held { id: first, generation: None };
    same("from another", bench.lease(&key, lease_id(), Steal::From(lease_id())).await?, held)?;
    let second = lease_id();
    same("from the holder", bench.lease(&key, second, Steal::From(first)).await?, LeaseState::Won)?;
    same("what the loser fills", bench.fill(&key, first, 1).await?, false)?;
    let third = lease_id();
    same("from anybody", bench.lease(&key, third, Steal::Anybodys).await?, LeaseState::Won)?;
    same("what the last one fills", bench.fill(&key, third, 3).await?, true)?;
    same("stored", bench.entry(&key).await?, Some(3))
}

async fn renewed_lives_on(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, id) = (bench.name("key"), lease_id());
    same("the lease", bench.lease_for(&key, id, Steal::Nobodys, SHORT).await?, LeaseState::Won)?;
    same("renewed", bench.store.renew(key.clone(), id, generation(), LONG).await?, true)?;
    bench.later().await;
    same("a fill after its first life", bench.fill(&key, id, 1).await?, true)
}

async fn renews_own(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, free) = (bench.name("key"), bench.name("free"));
    let id = bench.won(&key).await?;
    same("a stranger's", bench.store.renew(key.clone(), lease_id(), generation(), LONG).await?, false)?;
    let held = bench.lease(&key, lease_id(), Steal::Nobodys).await?;
    same("the holder's", held, LeaseState::Held { id, generation: None })?;
    same("nobody's", bench.store.renew(free.clone(), id, generation(), LONG).await?, false)?;
    bench.won(&free).await.map(drop)
}

async fn releases_own(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let id = bench.won(&key).await?;
    bench.store.release(key.clone(), lease_id()).await?;
    let held = bench.lease(&key, lease_id(), Steal::Nobodys).await?;
    same("after a stranger's release", held, LeaseState::Held { id, generation: None })?;
    for _ in 0..2 {
        bench.store.release(key.clone(), id).await?;
    }
    same("a fill after its release", bench.fill(&key, id, 1).await?, false)?;
    bench.won(&key).await.map(drop)
}

async fn with_tokens(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, id) = (bench.name("key"), lease_id());
    let registers = [bench.tag("a"), bench.tag("b"), Register::Key(bench.name("inner"))];
    let known = bench.create(&registers[1]).await?;
    let request = LeaseRequest { key, id, generation: None, life: LONG, seen: None, steal: Steal::Nobodys };
    let begun = bench.begin(Some(request), &registers, LONG).await?;
    same("the lease", begun.lease, Some(LeaseState::Won))?;
    same("how many states", begun.states.len(), 3)?;
    same("the known one", begun.states[1], known)?;
    let tokens = [token("a", begun.states[0])?, token("b", begun.states[1])?, token("inner", begun.states[2])?];
    same("what is read then", bench.read(None, &registers).await?.states, tokens.map(State::Token).to_vec())
}
