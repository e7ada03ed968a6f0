//! Invalidations as text, for an outbox table: written in the transaction that makes them necessary, and delivered from there at least once.
//!
//! A record holds names as the store knows them, so whoever delivers it needs neither the arguments nor the secret of who wrote it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Visitor;

use crate::cache::is_namespace;
use crate::context::Context;
use crate::core::Core;
use crate::invalidation::Delivery;
use crate::invalidation::Mode;
use crate::invalidation::deferral::Collection;
use crate::invalidation::deferral::InOne;
use crate::invalidation::guard::tell;
use crate::key::Name;
use crate::metrics::Happened;
use crate::policy::LONGEST;
use crate::site::Site;
use crate::store::StoreError;
use crate::store::Targets;
use crate::token::Register;
use crate::watch::Mutating;

/// Keys and tags to invalidate in one namespace: one row of an outbox table.
///
/// [`Collected::records`](crate::Collected::records) makes them, [`Cache::apply`](crate::Cache::apply) delivers them. They do not say when they were written and in which order, because that does not matter:
/// an invalidation says that something has changed, and not to what.
///
/// # As text
///
/// `to_string` and `parse`, and `serde` as a string:
///
/// ```text
/// v1 shop:prod key:user:7 key:order:1000 tag:users .
/// v1 shop:prod grace:2000 tag:users .
/// ```
///
/// The version of the form, the namespace, the [grace](crate::Invalidation::grace) in milliseconds if there is any, 1 to [256](Record::MOST_NAMES) names with what they name, and a full stop that says that nothing is missing. Between them stands white space, and how much of it does not matter; it is all ASCII, and at
/// most [64 KiB](Record::LONGEST). Names are as [they are stored](crate::key_part): what came from arguments is escaped, and a text of more than 200 bytes, or with anything but visible ASCII in it, or with braces, or that begins with `#`,
/// is `#` and the first 40 hexadecimal digits of its BLAKE3 hash. This form stays readable for every later release, so others than this crate may write it: a trigger for instance, or a service in another language.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Record, RecordError};
///
/// let record: Record = "v1 shop:prod key:user:7 tag:users .".parse()?;
/// assert_eq!(record.namespace(), "shop:prod");
/// assert_eq!(record.to_string(), "v1 shop:prod key:user:7 tag:users .");
///
/// let cut_off = "v1 shop:prod key:user:7 tag:us".parse::<Record>();
/// assert_eq!(cut_off, Err(RecordError::Malformed));
/// # Ok::<(), RecordError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    namespace: Arc<str>,
    /// In whole milliseconds.
    grace: Duration,
    targets: Targets,
}

/// Why a text is no record, or why a record was not applied. Nothing was done, and the row is to be kept.
///
/// # Examples
///
/// ```
/// use cache_runtime::{Record, RecordError};
///
/// let of_tomorrow = "v2 shop:prod +user:7".parse::<Record>();
/// assert_eq!(of_tomorrow, Err(RecordError::Version("v2".to_owned())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It has another version than this release knows: a newer release has written it, and can deliver it.
    #[error("the record is of the version `{0}`, and this release reads `v1` alone; deliver it with a newer one")]
    Version(String),
    /// It is not a record, or not all of one.
    #[error("this is no record such as `v1 shop:prod key:user:7 tag:users .`, or it was cut off")]
    Malformed,
    /// It is longer than a record can be, or holds more names.
    #[error("a record has at most {} names and {} bytes", Record::MOST_NAMES, Record::LONGEST)]
    TooLong,
    /// It is for another namespace than the cache has that it was given to.
    #[error(
        "the record is for the namespace `{record}`, and the cache has `{cache}`; give it to a cache of that namespace"
    )]
    Namespace {
        /// The namespace of the record.
        record: String,
        /// The namespace of the cache.
        cache: String,
    },
}

impl Record {
    /// The most names that one record holds; for more there are more records.
    pub const MOST_NAMES: usize = Targets::BATCH;

    /// The longest that the text of a record is, in bytes.
    pub const LONGEST: usize = 1 << 16;

    /// The namespace of the cache that it is for.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// All that was collected, in as few records as it takes.
    pub(super) fn of(collection: Collection) -> Vec<Self> {
        let of_one = |(namespace, InOne { registers, grace }): (Arc<str>, InOne)| {
            // A part of a millisecond is a whole one: longer is safe.
            let grace = Duration::from_millis(grace.as_micros().div_ceil(1000) as u64);
            let registers: Vec<_> = registers.into_iter().collect();
            let batches = registers.chunks(Self::MOST_NAMES).map(|batch| batch.iter().cloned().collect());
            batches.map(|targets| Self { namespace: namespace.clone(), grace, targets }).collect::<Vec<_>>()
        };
        collection.into_iter().flat_map(of_one).collect()
    }
}

/// Invalidates what `records` name, at once; or nothing, if one of them is of another namespace.
///
/// The journal does not keep what the store does not confirm: the rows do.
pub(crate) async fn apply<R: Borrow<Record>>(
    core: &Arc<Core>,
    records: impl IntoIterator<Item = R>,
) -> Result<Delivery, RecordError> {
    static SITE: Site = Site::invalidates("cache_runtime::Cache", "apply");
    let mut by_grace = BTreeMap::<Duration, BTreeSet<Register>>::new();
    for record in records {
        let record = record.borrow();
        if record.namespace != core.settings.namespace {
            let (record, cache) = (record.namespace.to_string(), core.settings.namespace.to_string());
            return Err(RecordError::Namespace { record, cache });
        }
        by_grace.entry(record.grace).or_default().extend(record.targets.registers());
    }
    let all: Vec<_> = by_grace.into_iter().map(|(grace, registers)| (grace, Targets::from_iter(registers))).collect();
    let watch = Mutating::call(&SITE, &Context::current(), Mode::After, all.iter().map(|(_, targets)| targets));
    let told = tell_all(core, &all).await;
    if !all.is_empty() {
        core.metrics.of(&SITE).count(if told.is_ok() { Happened::Applied } else { Happened::Deferred });
    }
    let delivery = match told {
        Ok(()) => Delivery::Applied,
        Err(error) => {
            tracing::warn!(%error, "records could not be delivered; they are to be kept, and tried again");
            Delivery::Deferred
        }
    };
    watch.end(delivery.into());
    Ok(delivery)
}

async fn tell_all(core: &Arc<Core>, all: &[(Duration, Targets)]) -> Result<(), StoreError> {
    for (grace, targets) in all {
        tell(core, targets, None, *grace).await?;
    }
    Ok(())
}

const VERSION: &str = "v1";
const GRACE: &str = "grace:";
const KEY: &str = "key:";
const TAG: &str = "tag:";
const END: &str = ".";

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION} {}", self.namespace)?;
        if !self.grace.is_zero() {
            write!(f, " {GRACE}{}", self.grace.as_millis())?;
        }
        self.targets.keys.iter().try_for_each(|key| write!(f, " {KEY}{}", key.as_str()))?;
        self.targets.tags.iter().try_for_each(|tag| write!(f, " {TAG}{}", tag.as_str()))?;
        write!(f, " {END}")
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        if text.len() > Self::LONGEST {
            return Err(RecordError::TooLong);
        }
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some(VERSION) => {}
            Some(word) if is_version(word) => return Err(RecordError::Version(word.to_owned())),
            _ => return Err(RecordError::Malformed),
        }
        let namespace = words.next().filter(|namespace| is_namespace(namespace)).ok_or(RecordError::Malformed)?;
        if words.next_back() != Some(END) {
            return Err(RecordError::Malformed);
        }
        let mut words = words.peekable();
        let grace = words.next_if(|word| word.starts_with(GRACE)).map_or(Some(Duration::ZERO), grace);
        let grace = grace.ok_or(RecordError::Malformed)?;
        let targets: Targets = words.map(register).collect::<Option<_>>().ok_or(RecordError::Malformed)?;
        match targets.keys.len() + targets.tags.len() {
            0 => Err(RecordError::Malformed),
            names if names > Self::MOST_NAMES => Err(RecordError::TooLong),
            _ => Ok(Self { namespace: namespace.into(), grace, targets }),
        }
    }
}

/// Whether a record may begin so one day.
fn is_version(word: &str) -> bool {
    let number = word.strip_prefix('v').unwrap_or_default();
    (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits alone, of no longer a time than a mutator can ask for.
fn grace(word: &str) -> Option<Duration> {
    let digits = word.strip_prefix(GRACE).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(Duration::from_millis).filter(|grace| *grace <= LONGEST)
}

fn register(word: &str) -> Option<Register> {
    let of = |prefix: &str| word.strip_prefix(prefix).and_then(|name| Name::stored(name.as_bytes()));
    of(KEY).map(Register::Key).or_else(|| of(TAG).map(Register::Tag))
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a record")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Record, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
