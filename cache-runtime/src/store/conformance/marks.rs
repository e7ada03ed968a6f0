//! Marks: while one stands nothing older counts, and its token is new whenever who stands changes.

use super::*;

pub(super) const LAWS: &[Law] = &[
    ("a mark takes entry, lease and tokens", |bench| Box::pin(takes_all(bench))),
    ("a mark keeps leases out", |bench| Box::pin(keeps_leases_out(bench))),
    ("a mark leaves nothing when it ends", |bench| Box::pin(leaves_nothing(bench))),
    ("a pending token is new at every mark and revocation", |bench| Box::pin(new_every_time(bench))),
    ("the same marks again have another token", |bench| Box::pin(same_marks_again(bench))),
    ("a renewal keeps the token", |bench| Box::pin(renewal_keeps(bench))),
    ("a renewal of a lost mark places it anew", |bench| Box::pin(renewal_places_anew(bench))),
    ("a strict mark is said to be one while it stands", |bench| Box::pin(strict_while_it_stands(bench))),
    ("a revocation leaves marks of others", |bench| Box::pin(leaves_others(bench))),
    ("a revocation under an ended mark takes a plain token", |bench| Box::pin(takes_plain_token(bench))),
    ("a mark expires by itself", |bench| Box::pin(expires(bench))),
    ("a dead mark does not live on with others", |bench| Box::pin(dead_among_others(bench))),
    ("a mark stands when another died, with no renewal between", |bench| Box::pin(outlives_another(bench))),
    ("a revocation finds out that a mark died", |bench| Box::pin(revocation_finds_dead(bench))),
    ("a renewal that finds a dead mark has a new token", |bench| Box::pin(renewal_finds_dead(bench))),
    ("what was captured of a marked key ends with the mark", |bench| Box::pin(captured_under_mark(bench))),
    ("delivered twice or late does no harm", |bench| Box::pin(twice_or_late(bench))),
    ("very many marks lose their ids, not their effect", |bench| Box::pin(very_many(bench))),
];

async fn takes_all(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    let register = Register::Key(key.clone());
    bench.filled(&key, 1).await?;
    let of_key = token("the key's", bench.create(&register).await?)?;
    let of_tag = token("the tag's", bench.create(&tag).await?)?;
    let lease = bench.won(&key).await?;
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, new_mark(LONG)).await?;
    let reading = bench.read(Some(&key), &[register, tag]).await?;
    same("the entry", reading.entry.is_some(), false)?;
    differ("the key's", reading.states[0].usable(), Some(of_key))?;
    differ("the tag's", pending("the tag's", reading.states[1])?, of_tag)?;
    same("a fill", bench.fill(&key, lease, 2).await?, false)?;
    same("a renewal", bench.store.renew(key, lease, generation(), LONG).await?, false)
}

async fn keeps_leases_out(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let (mark, lease) = (new_mark(LONG), new_asker());
    bench.mark(&keys(&[&key]), mark).await?;
    for steal in [Steal::Nobodys, Steal::From(new_asker()), Steal::From(LeaseId(mark.id.0)), Steal::Anybodys] {
        match bench.lease(&key, lease, steal).await? {
            LeaseState::Marked { strict: false, .. } => {}
            other => return Err(Seen(format!("{steal:?}: expected a mark, saw {other:?}"))),
        }
    }
    bench.store.release(key.clone(), lease).await?;
    bench.store.release(key.clone(), LeaseId(mark.id.0)).await?;
    same("a fill", bench.fill(&key, lease, 1).await?, false)?;
    bench.revoke(&keys(&[&key]), Some(mark.id)).await?;
    bench.won(&key).await.map(drop)
}

async fn leaves_nothing(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag, mark) = (bench.name("key"), bench.tag("tag"), new_mark(LONG));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, mark).await?;
    let under = pending("under the mark", bench.create(&tag).await?)?;
    same("read", bench.state(&tag).await?, State::Pending { token: under, strict: false })?;
    bench.revoke(&targets, Some(mark.id)).await?;
    let states = bench.read(None, &[tag.clone(), Register::Key(key)]).await?.states;
    same("after it", states, vec![State::Absent, State::Absent])?;
    differ("under it and after it", token("after it", bench.create(&tag).await?)?, under)
}

async fn new_every_time(bench: &Bench<'_>) -> Result<(), Seen> {
    let (tag, one, other) = (bench.tag("tag"), new_mark(LONG), new_mark(LONG));
    let targets = tags(&[&tag]);
    let mut seen = Vec::new();
    for (place, mark) in [(true, one), (true, other), (false, one), (true, one), (true, one), (false, other)] {
        if place {
            bench.mark(&targets, mark).await?;
        } else {
            bench.revoke(&targets, Some(mark.id)).await?;
        }
        seen.push(pending("while one stands", bench.state(&tag).await?)?);
    }
    bench.revoke(&targets, Some(one.id)).await?;
    seen.push(token("when none stands", bench.create(&tag).await?)?);
    let mut sorted: Vec<u128> = seen.iter().map(|token| token.0).collect();
    sorted.sort_unstable();
    sorted.dedup();
    same("how many tokens were new", sorted.len(), seen.len())
}

async fn same_marks_again(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, mark) = (bench.name("key"), new_mark(LONG));
    let targets = keys(&[&key]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        bench.mark(&targets, mark).await?;
        match bench.lease(&key, new_asker(), Steal::Nobodys).await? {
            LeaseState::Marked { token, .. } if !seen.contains(&token) => seen.push(token),
            other => return Err(Seen(format!("a new mark's token after {seen:?}: saw {other:?}"))),
        }
        bench.revoke(&targets, Some(mark.id)).await?;
    }
    Ok(())
}

async fn renewal_keeps(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag, mark) = (bench.name("key"), bench.tag("tag"), new_mark(SHORT));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, mark).await?;
    let before = pending("marked", bench.state(&tag).await?)?;
    let lease = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
    bench.mark(&targets, Mark { renew: true, life: LONG, ..mark }).await?;
    bench.later().await;
    same("renewed", pending("renewed", bench.state(&tag).await?)?, before)?;
    same("the key", bench.lease(&key, new_asker(), Steal::Nobodys).await?, lease)?;
    bench.mark(&targets, Mark { renew: true, life: SHORT, ..mark }).await?;
    bench.later().await;
    same("renewed for less", pending("renewed for less", bench.state(&tag).await?)?, before)
}

async fn renewal_places_anew(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag, mark) = (bench.name("key"), bench.tag("tag"), new_mark(LONG));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, mark).await?;
    let before = pending("marked", bench.state(&tag).await?)?;
    bench.revoke(&targets, Some(mark.id)).await?;
    let between = token("lost", bench.create(&tag).await?)?;
    bench.filled(&key, 1).await?;
    bench.mark(&targets, Mark { renew: true, ..mark }).await?;
    let anew = pending("renewed", bench.state(&tag).await?)?;
    differ("the first and the new", before, anew)?;
    differ("the one between and the new", between, anew)?;
    same("the entry", bench.entry(&key).await?, None)
}

async fn strict_while_it_stands(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    let (loose, strict) = (new_mark(LONG), Mark { strict: true, ..new_mark(LONG) });
    for (mark, expected) in [(loose, false), (strict, true), (new_mark(LONG), true)] {
        bench.mark(&targets, mark).await?;
        same("the tag is strict", is_strict(bench.create(&tag).await?), Some(expected))?;
        let lease = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
        same("the key is strict", matches!(lease, LeaseState::Marked { strict: true, .. }), expected)?;
    }
    let register = Register::Key(key.clone());
    same("what an outer load may capture", bench.create(&register).await?.usable(), None)?;
    bench.revoke(&targets, Some(strict.id)).await?;
    same("the tag is strict", is_strict(bench.state(&tag).await?), Some(false))
}

fn is_strict(state: State) -> Option<bool> {
    match state {
        State::Pending { strict, .. } => Some(strict),
        _ => None,
    }
}

async fn leaves_others(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag, mark) = (bench.name("key"), bench.tag("tag"), new_mark(LONG));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, mark).await?;
    let mut before = pending("marked", bench.state(&tag).await?)?;
    for ended in [None, Some(new_mark(LONG).id), None] {
        bench.revoke(&targets, ended).await?;
        let after = pending("revoked", bench.state(&tag).await?)?;
        differ("before and after a revocation", before, after)?;
        let lease = bench.lease(&key, new_asker(), Steal::Nobodys).await?;
        same("the key is marked", matches!(lease, LeaseState::Marked { .. }), true)?;
        before = after;
    }
    bench.revoke(&targets, Some(mark.id)).await?;
    same("the last one ended", bench.state(&tag).await?, State::Absent)?;
    bench.won(&key).await.map(drop)
}

async fn takes_plain_token(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.create(&tag).await?;
    bench.filled(&key, 1).await?;
    bench.revoke(&targets, Some(new_mark(LONG).id)).await?;
    same("the tag", bench.state(&tag).await?, State::Absent)?;
    same("the entry", bench.entry(&key).await?, None)
}

async fn expires(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    bench.mark(&targets, new_mark(SHORT)).await?;
    bench.later().await;
    same("the tag", bench.state(&tag).await?, State::Absent)?;
    bench.won(&key).await.map(drop)
}

async fn dead_among_others(bench: &Bench<'_>) -> Result<(), Seen> {
    let tag = bench.tag("tag");
    let (dead, living) = (Mark { strict: true, ..new_mark(SHORT) }, new_mark(SHORT));
    let targets = tags(&[&tag]);
    bench.mark(&targets, living).await?;
    bench.mark(&targets, dead).await?;
    bench.mark(&targets, Mark { renew: true, life: LONG, ..living }).await?;
    bench.later().await;
    bench.mark(&targets, Mark { renew: true, life: LONG, ..living }).await?;
    pending("a strict mark that died", bench.state(&tag).await?)?;
    bench.revoke(&targets, Some(living.id)).await?;
    same("when the living one ended", bench.state(&tag).await?, State::Absent)
}

async fn outlives_another(bench: &Bench<'_>) -> Result<(), Seen> {
    let (tag, dead, living) = (bench.tag("tag"), new_mark(SHORT), Mark { strict: true, ..new_mark(LONG) });
    let targets = tags(&[&tag]);
    bench.mark(&targets, dead).await?;
    bench.mark(&targets, living).await?;
    bench.later().await;
    same("what a load sees", is_strict(bench.create(&tag).await?), Some(true))?;
    same("what a read sees", is_strict(bench.state(&tag).await?), Some(true))
}

async fn revocation_finds_dead(bench: &Bench<'_>) -> Result<(), Seen> {
    let (tag, dead, living) = (bench.tag("tag"), new_mark(SHORT), new_mark(LONG));
    let targets = tags(&[&tag]);
    bench.mark(&targets, dead).await?;
    bench.mark(&targets, living).await?;
    bench.later().await;
    bench.revoke(&targets, Some(living.id)).await?;
    same("when the living one ended", bench.state(&tag).await?, State::Absent)
}

async fn renewal_finds_dead(bench: &Bench<'_>) -> Result<(), Seen> {
    let (tag, dead, living) = (bench.tag("tag"), new_mark(SHORT), new_mark(LONG));
    let targets = tags(&[&tag]);
    bench.mark(&targets, living).await?;
    bench.mark(&targets, dead).await?;
    let both = pending("both stand", bench.state(&tag).await?)?;
    bench.later().await;
    bench.mark(&targets, Mark { renew: true, ..living }).await?;
    let one = pending("one stands", bench.state(&tag).await?)?;
    differ("with the dead one and without", both, one)?;
    bench.mark(&targets, Mark { renew: true, ..living }).await?;
    same("renewed again", pending("renewed again", bench.state(&tag).await?)?, one)
}

async fn captured_under_mark(bench: &Bench<'_>) -> Result<(), Seen> {
    let key = bench.name("key");
    let register = Register::Key(key.clone());
    bench.mark(&keys(&[&key]), new_mark(SHORT)).await?;
    let captured = bench.create(&register).await?.usable();
    bench.later().await;
    let after = bench.create(&register).await?.usable();
    same("whether there is a token after the mark", after.is_some(), true)?;
    differ("captured under the mark and after it", after, captured)
}

async fn twice_or_late(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag, mark) = (bench.name("key"), bench.tag("tag"), new_mark(SHORT));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    let old = token("old", bench.create(&tag).await?)?;
    for _ in 0..2 {
        bench.mark(&targets, mark).await?;
    }
    let under = pending("marked twice", bench.state(&tag).await?)?;
    for _ in 0..2 {
        bench.revoke(&targets, Some(mark.id)).await?;
    }
    same("revoked twice", bench.state(&tag).await?, State::Absent)?;
    bench.mark(&targets, mark).await?;
    bench.mark(&targets, Mark { renew: true, ..mark }).await?;
    let late = pending("marked late", bench.state(&tag).await?)?;
    bench.later().await;
    let new = token("after that", bench.create(&tag).await?)?;
    let all = [old, under, late, new];
    let repeats = (0..all.len()).any(|at| all[..at].contains(&all[at]));
    same("whether a token came back", repeats, false)?;
    bench.filled(&key, 1).await
}

async fn very_many(bench: &Bench<'_>) -> Result<(), Seen> {
    let (key, tag) = (bench.name("key"), bench.tag("tag"));
    let targets = Targets { keys: vec![key.clone()], tags: tags(&[&tag]).tags };
    let strict = Mark { strict: true, ..new_mark(LONG) };
    bench.mark(&targets, strict).await?;
    let mut marks = vec![strict];
    for _ in 0..100 {
        marks.push(new_mark(LONG));
        bench.mark(&targets, marks[marks.len() - 1]).await?;
    }
    same("strict is not forgotten", is_strict(bench.state(&tag).await?), Some(true))?;
    let before = bench.state(&tag).await?;
    for mark in marks.iter().rev() {
        bench.revoke(&targets, Some(mark.id)).await?;
    }
    let after = bench.state(&tag).await?;
    same("whether those ended that no list held", is_strict(after).is_some(), true)?;
    differ("the tokens of the last mark and the last revocation", before, after)?;
    let lease = bench.lease(&key, new_asker(), Steal::Anybodys).await?;
    same("whether the key is marked", matches!(lease, LeaseState::Marked { .. }), true)
}
