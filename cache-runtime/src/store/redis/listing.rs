//! The lists of the entries that have a tag: a sorted set for each, in the slot of the tag.
//!
//! A member is the name of a key, its score the time when the entry will have ended. What has ended is taken off whenever something is put on, and a list lives as long as the last entry on it.

use redis::Value;

use super::Redis;
use super::calls;
use super::calls::Call;
use super::keys::Keys;
use super::link::Answer;
use super::link::Answered;
use super::scripts::Script;
use super::text;
use crate::key::Name;
use crate::store::Fill;
use crate::store::StoreError;
use crate::store::listing::Glimpse;
use crate::store::listing::Gone;
use crate::store::listing::HEAD;
use crate::store::listing::Listed;
use crate::store::listing::Listing;
use crate::store::listing::Page;

/// How many members are asked for at a time. The server gives some more or less, and all of a small set.
const PAGE: usize = 128;

/// One call for each list that the entry of `fill` is put on. One that dies of not being read is listed for as long as it lives if it is read to the end.
pub(super) fn list(keys: &Keys, fill: &Fill, listing: &Listing) -> impl Iterator<Item = Call> {
    let idles = fill.life < fill.fresh;
    let life = calls::millis(if idles { fill.fresh.saturating_add(fill.life) } else { fill.life });
    let first_too_many = -1 - i64::try_from(listing.most).unwrap_or(i64::MAX - 1);
    listing.tags.iter().map(move |tag| {
        let mut call = Script::List.call(&[keys.set(tag)]);
        call.arg(fill.key.as_str()).arg(life).arg(first_too_many);
        Call::always(keys.place(tag), call)
    })
}

impl Redis {
    pub(super) async fn page(&self, tag: Name, from: Option<u64>) -> Result<Page, StoreError> {
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(self.keys.set(&tag)).arg(from.unwrap_or(0)).arg("COUNT").arg(PAGE);
        let (next, members) = members(self.ask_one(Call::always(self.keys.place(&tag), scan)).await?)?;
        let looks = members.iter().flat_map(|(key, _)| look(&self.keys, key)).collect();
        let mut seen = self.ask(looks).await?;
        let mut listed = Vec::with_capacity(members.len());
        for (key, noted) in members {
            let (head, size) = seen.next().zip(seen.next()).ok_or_else(calls::odd)?;
            listed.push(Listed { key, noted, entry: glimpse(head, size)? });
        }
        Ok(Page { listed, next: (next != 0).then_some(next) })
    }

    pub(super) async fn discard_all(&self, tag: Name, gone: Vec<Gone>) -> Result<u64, StoreError> {
        if gone.is_empty() {
            return Ok(0);
        }
        let mut unlist = Script::Unlist.call(&[self.keys.set(&tag)]);
        for gone in &gone {
            unlist.arg(gone.key.as_str()).arg(gone.noted);
        }
        let removals = gone.iter().filter_map(|gone| Some(discard(&self.keys, &gone.key, gone.lease?)));
        let mut calls: Vec<Call> = removals.collect();
        calls.push(Call::always(self.keys.place(&tag), unlist));
        let mut answers: Vec<Answered> = self.ask(calls).await?.collect();
        answers.pop().ok_or_else(calls::odd)??;
        let mut removed = 0;
        for answer in answers {
            removed += u64::from(calls::is_yes(&answer?)?);
        }
        Ok(removed)
    }
}

/// What is asked about a member: how its entry begins, and how long it is.
fn look(keys: &Keys, key: &Name) -> [Call; 2] {
    let (mut head, mut size) = (redis::cmd("GETRANGE"), redis::cmd("STRLEN"));
    head.arg(keys.entry(key)).arg(0).arg(text::BEFORE_ENTRY + HEAD - 1);
    size.arg(keys.entry(key));
    [head, size].map(|command| Call::always(keys.place(key), command))
}

fn discard(keys: &Keys, key: &Name, lease: crate::token::LeaseId) -> Call {
    let slots = [keys.entry(key)];
    Call::at(keys.place(key), move |at| {
        let mut call = Script::Discard.call(&slots);
        call.arg(calls::digits(at.lease(lease).0));
        call
    })
}

/// The reply to `ZSCAN`. What is no name of ours is nothing of ours.
fn members(answer: Answer) -> Result<(u64, Vec<(Name, u64)>), StoreError> {
    let (cursor, members): (u64, Vec<(Vec<u8>, f64)>) =
        redis::from_redis_value(answer.value).map_err(|_| calls::odd())?;
    let named = |(member, score): (Vec<u8>, f64)| Some((Name::stored(&member)?, score as u64));
    Ok((cursor, members.into_iter().filter_map(named).collect()))
}

/// What is seen of an entry; what is of another type is none.
fn glimpse(head: Answered, size: Answered) -> Result<Option<Glimpse>, StoreError> {
    let (head, size) = match (head, size) {
        (Ok(head), Ok(size)) => (head, size),
        (Err(failure), _) | (_, Err(failure)) => {
            return match failure.error {
                StoreError::Refused(why) if why.starts_with("WRONGTYPE") => Ok(None),
                error => Err(error),
            };
        }
    };
    let (Value::BulkString(bytes), Value::Int(size)) = (head.value, size.value) else { return Err(calls::odd()) };
    if bytes.is_empty() {
        return Ok(None);
    }
    let (lease, head) = text::entry(bytes.into(), head.at);
    Ok(Some(Glimpse { lease, head, size: size.try_into().unwrap_or(0) }))
}
