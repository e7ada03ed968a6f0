//! Tokens of tags and keys: one for all who ask, and never again once it is gone.

use super::*;

pub(super) const LAWS: &[Law] = &[
    ("an absent register gets one token for all askers", |bench| Box::pin(one_for_all(bench))),
    ("reading creates nothing", |bench| Box::pin(reading_creates_nothing(bench))),
    ("a revoked token never returns", |bench| Box::pin(never_returns(bench))),
    ("an expired token never returns", |bench| Box::pin(expired_never_returns(bench))),
    ("a token in use lives on", |bench| Box::pin(in_use_lives_on(bench))),
    ("tags and keys of one name are two registers", |bench| Box::pin(tags_and_keys(bench))),
    ("many reads in one call keep their places", |bench| Box::pin(many_reads(bench))),
    ("nothing asked is nothing answered", |bench| Box::pin(nothing_asked(bench))),
];

async fn one_for_all(bench: &Bench<'_>) -> Result<(), Seen> {
    let (one, other) = (bench.tag("one"), bench.tag("other"));
    let first = token("a new token", bench.create(&one).await?)?;
    same("the next asker's", token("the next asker's", bench.create(&one).await?)?, first)?;
    same("read", bench.state(&one).await?, State::Token(first))?;
    differ("two tags", first, token("another tag's", bench.create(&other).await?)?)?;
    let twice = bench.begin(None, &[bench.tag("two"), bench.tag("two")], LONG).await?;
    same("asked for twice in one call", twice.states[0], twice.states[1])
}

async fn reading_creates_nothing(bench: &Bench<'_>) -> Result<(), Seen> {
    let registers = [bench.tag("tag"), Register::Key(bench.name("key"))];
    for _ in 0..2 {
        let reading = bench.read(Some(&bench.name("key")), &registers).await?;
        same("states", reading.states, vec![State::Absent, State::Absent])?;
        same("an entry", reading.entry.is_some(), false)?;
    }
    Ok(())
}

async fn never_returns(bench: &Bench<'_>) -> Result<(), Seen> {
    let tag = bench.tag("tag");
    let mut seen = Vec::new();
    for _ in 0..8 {
        let new = token("a token", bench.create(&tag).await?)?;
        same("whether it was there before", seen.contains(&new), false)?;
        seen.push(new);
        bench.revoke(&tags(&[&tag]), None).await?;
        same("revoked", bench.state(&tag).await?, State::Absent)?;
        bench.revoke(&tags(&[&tag]), None).await?;
    }
    Ok(())
}

async fn expired_never_returns(bench: &Bench<'_>) -> Result<(), Seen> {
    let tag = bench.tag("tag");
    let begun = bench.begin(None, std::slice::from_ref(&tag), SHORT).await?;
    let first = token("a token", begun.states[0])?;
    bench.later().await;
    if bench.store.keeps() == Keeps::Values {
        // In process a token takes no more room for being old, and lives until it is revoked.
        return same("kept", bench.state(&tag).await?, State::Token(first));
    }
    same("expired", bench.state(&tag).await?, State::Absent)?;
    differ("before and after it expired", token("the next", bench.create(&tag).await?)?, first)
}

async fn in_use_lives_on(bench: &Bench<'_>) -> Result<(), Seen> {
    let (asked, touched, key) = (bench.tag("asked"), bench.tag("touched"), bench.name("key"));
    let both = [asked.clone(), touched.clone()];
    let before = bench.begin(None, &both, SHORT).await?.states;
    bench.create(&asked).await?;
    let lease = bench.won(&key).await?;
    let blob = blob(bench.store.keeps(), 1);
    let touch = vec![touched.clone(), bench.tag("absent")];
    bench
        .store
        .fill(Fill { key, lease, blob, fresh: LONG, life: LONG, touch, token_life: LONG, listing: None })
        .await?;
    bench.later().await;
    same("the tokens", bench.read(None, &both).await?.states, before)?;
    same("a touched register without a token", bench.state(&bench.tag("absent")).await?, State::Absent)
}

async fn tags_and_keys(bench: &Bench<'_>) -> Result<(), Seen> {
    let name = bench.name("same");
    let (tag, key) = (Register::Tag(name.clone()), Register::Key(name.clone()));
    let of_tag = token("the tag's", bench.create(&tag).await?)?;
    differ("the two", of_tag, token("the key's", bench.create(&key).await?)?)?;
    bench.revoke(&keys(&[&name]), None).await?;
    same("the key's, revoked", bench.state(&key).await?, State::Absent)?;
    same("the tag's", bench.state(&tag).await?, State::Token(of_tag))
}

async fn many_reads(bench: &Bench<'_>) -> Result<(), Seen> {
    let mut reads = Vec::new();
    let mut expected = Vec::new();
    for number in 0..150 {
        let (key, tag) = (bench.name(&format!("key{number}")), bench.tag(&format!("tag{number}")));
        let filled = number % 3 == 0;
        if filled {
            bench.filled(&key, number).await?;
        }
        let state = if number % 2 == 0 { bench.create(&tag).await? } else { State::Absent };
        let entry = (number % 5 != 0).then_some(key);
        expected.push((entry.as_ref().and(filled.then_some(number)), vec![State::Absent, state]));
        reads.push(Read { entry, registers: vec![bench.tag("nobody's"), tag] });
    }
    let readings = bench.store.read(reads).await?;
    let seen: Vec<_> = readings
        .into_iter()
        .map(|reading| (reading.entry.as_ref().map(|(_, blob)| number(blob)), reading.states))
        .collect();
    same("readings", seen, expected)
}

async fn nothing_asked(bench: &Bench<'_>) -> Result<(), Seen> {
    same("no reads", bench.store.read(Vec::new()).await?.len(), 0)?;
    let reading = bench.read(None, &[]).await?;
    same("a read of nothing", (reading.entry.is_none(), reading.states.len()), (true, 0))?;
    let begun = bench.begin(None, &[], LONG).await?;
    same("a begin of nothing", (begun.lease, begun.states.len()), (None, 0))?;
    bench.mark(&Targets::default(), new_mark(LONG)).await?;
    bench.revoke(&Targets::default(), None).await
}
