//! Leases: one holder at a time, and only what it holds can it give up or extend.

use super::*;

pub(super) const LAWS: &[Law] = &[
    ("a lease is won once", |bench| Box::pin(won_once(bench))),
    ("a lease asked for twice is given twice, and only the second fills", |bench| Box::pin(given_twice(bench))),
    ("a request delivered again after a revocation does not revive the first lease", |bench| {
        Box::pin(not_revived(bench))
    }),
    ("a lease says what its load captured", |bench| Box::pin(says_generation(bench))),
    ("a lease is not given to who saw another entry", |bench| Box::pin(saw_another(bench))),
    ("an expired lease is free", |bench| Box::pin(expired_is_free(bench))),
    ("a lease is stolen from whom it was meant", |bench| Box::pin(stolen_from(bench))),
    ("a renewed lease lives on", |bench| Box::pin(renewed_lives_on(bench))),
    ("only its own lease is renewed", |bench| Box::pin(renews_own(bench))),
    ("only its own lease is released", |bench| Box::pin(releases_own(bench))),
    ("an asker releases what it may have been given", |bench| Box::pin(releases_unheard(bench))),
    ("a lease and tokens come in one call", |bench| Box::pin(with_tokens(bench))),
];

async fn won_once(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, other) = (bench.name("key"), bench.name("other"));
    let id = bench.won(&key).await?;
    let second = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    same("the second asker", second, LeaseState::Held { id, generation: None })?;
    bench.won(&other).await.map(drop)
}

async fn given_twice(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, asker, other) = (bench.name("key"), new_asker(), new_asker());
    let first = given("the first", bench.lease(&key, asker, Steal::Nobodys).await?, asker)?;
    let second = given("the second", bench.lease(&key, asker, Steal::Nobodys).await?, asker)?;
    differ("the two", first, second)?;
    let held = LeaseState::Held { id: second, generation: None };
    same("to another", bench.lease(&key, other, Steal::Nobodys).await?, held)?;
    same("to who would steal the first", bench.lease(&key, other, Steal::From(first)).await?, held)?;
    same("the first renewed", bench.store.renew(key.clone(), first, generation(), LONG).await?, false)?;
    same("the first's fill", bench.fill(&key, first, 1).await?, false)?;
    same("the second's fill", bench.fill(&key, second, 2).await?, true)?;
    same("stored", bench.entry(&key).await?, Some(2))
}

async fn not_revived(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, asker) = (bench.name("key"), new_asker());
    let first = given("the lease", bench.lease(&key, asker, Steal::Nobodys).await?, asker)?;
    bench.revoke(&keys(&[&key]), None).await?;
    let again = given("the lease again", bench.lease(&key, asker, Steal::Nobodys).await?, asker)?;
    differ("the two", first, again)?;
    same("the first renewed", bench.store.renew(key.clone(), first, generation(), LONG).await?, false)?;
    same("the first's fill", bench.fill(&key, first, 1).await?, false)?;
    same("stored", bench.entry(&key).await?, None)?;
    same("the fill of what was given again", bench.fill(&key, again, 2).await?, true)
}

async fn says_generation(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, asker, first, next) = (bench.name("key"), new_asker(), generation(), generation());
    let request = LeaseRequest {
        key: key.clone(),
        id: asker,
        generation: Some(first),
        life: LONG,
        seen: None,
        steal: Steal::Nobodys,
    };
    let begun = bench.begin(Some(request), &[], LONG).await?;
    let id = given("the lease", spoken_of(begun.lease)?, asker)?;
    let held = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    same("at first", held, LeaseState::Held { id, generation: Some(first) })?;
    same("renewed", bench.store.renew(key.clone(), id, next, LONG).await?, true)?;
    let held = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    same("after that", held, LeaseState::Held { id, generation: Some(next) })
}

async fn saw_another(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let ask = async |id, seen| {
        let steal = Steal::Nobodys;
        let request = LeaseRequest { key: key.clone(), id, generation: None, life: LONG, seen, steal };
        spoken_of(bench.begin(Some(request), &[], LONG).await?.lease)
    };
    bench.filled(&key, 1).await?;
    for seen in [None, Some(new_asker())] {
        same("of a key that was filled meanwhile", ask(new_asker(), seen).await?, LeaseState::Changed)?;
    }
    let seen = bench.read(Some(&key), &[]).await?.entry.map(|(lease, _)| lease);
    let asker = new_asker();
    given("of the entry that was seen", ask(asker, seen).await?, asker)?;
    bench.revoke(&keys(&[&key]), None).await?;
    given("of a key that holds nothing any more", ask(asker, seen).await?, asker).map(drop)
}

async fn expired_is_free(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let id = bench.won_for(&key, SHORT).await?;
    bench.later().await;
    same("renewed too late", bench.store.renew(key.clone(), id, generation(), LONG).await?, false)?;
    bench.won(&key).await.map(drop)
}

async fn stolen_from(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let first = bench.won(&key).await?;
    let held = LeaseState::Held { id: first, generation: None };
    same("from another", bench.lease(&key, new_asker(), Steal::From(new_asker())).await?, held)?;
    let (second, third) = (new_asker(), new_asker());
    given("from the holder", bench.lease(&key, second, Steal::From(first)).await?, second)?;
    same("what the loser fills", bench.fill(&key, first, 1).await?, false)?;
    let third = given("from anybody", bench.lease(&key, third, Steal::Anybodys).await?, third)?;
    same("what the last one fills", bench.fill(&key, third, 3).await?, true)?;
    same("stored", bench.entry(&key).await?, Some(3))
}

async fn renewed_lives_on(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let id = bench.won_for(&key, SHORT).await?;
    same("renewed", bench.store.renew(key.clone(), id, generation(), LONG).await?, true)?;
    bench.later().await;
    same("a fill after its first life", bench.fill(&key, id, 1).await?, true)
}

async fn renews_own(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, free) = (bench.name("key"), bench.name("free"));
    let id = bench.won(&key).await?;
    same("a stranger's", bench.store.renew(key.clone(), new_asker(), generation(), LONG).await?, false)?;
    let held = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    same("the holder's", held, LeaseState::Held { id, generation: None })?;
    same("nobody's", bench.store.renew(free.clone(), id, generation(), LONG).await?, false)?;
    bench.won(&free).await.map(drop)
}

async fn releases_own(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let id = bench.won(&key).await?;
    bench.store.release(key.clone(), new_asker()).await?;
    let held = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    same("after a stranger's release", held, LeaseState::Held { id, generation: None })?;
    for _ in 0..2 {
        bench.store.release(key.clone(), id).await?;
    }
    same("a fill after its release", bench.fill(&key, id, 1).await?, false)?;
    bench.won(&key).await.map(drop)
}

async fn releases_unheard(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, asker) = (bench.name("key"), new_asker());
    let id = given("the lease", bench.lease(&key, asker, Steal::Nobodys).await?, asker)?;
    bench.store.release(key.clone(), asker).await?;
    same("a fill after its release", bench.fill(&key, id, 1).await?, false)?;
    bench.won(&key).await.map(drop)
}

async fn with_tokens(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, id) = (bench.name("key"), new_asker());
    let registers = [bench.tag("a"), bench.tag("b"), Register::Key(bench.name("inner"))];
    let known = bench.create(&registers[1]).await?;
    let request = LeaseRequest { key, id, generation: None, life: LONG, seen: None, steal: Steal::Nobodys };
    let begun = bench.begin(Some(request), &registers, LONG).await?;
    given("the lease", spoken_of(begun.lease)?, id)?;
    same("how many states", begun.states.len(), 3)?;
    same("the known one", begun.states[1], known)?;
    let tokens = [token("a", begun.states[0])?, token("b", begun.states[1])?, token("inner", begun.states[2])?];
    same("what is read then", bench.read(None, &registers).await?.states, tokens.map(State::Token).to_vec())
}
