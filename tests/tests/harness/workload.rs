//! What a worker calls: annotated functions over the database.
//!
//! A value is the number of the commit that it was read from, and the row that it belongs to. Rows below [`HOT`] are written all the time, through every mode; those above [`SLOW`] only where nothing else is, and
//! their loads take long; those above [`CALM`] seldom, and their entries expire quickly, so that most of their loads are nobody's fault. Of those above [`QUIET`] there are many, and each is written once in some seconds: what was lost with a
//! server is still missed when it is back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::invalidates;
use serde::Deserialize;
use serde::Serialize;

use crate::database::CALM;
use crate::database::QUIET;
use crate::database::Remote;
use crate::database::SLOW;
use crate::fleet::Plan;
use crate::fleet::Writes;
use crate::history::Event;
use crate::history::Row;
use crate::history::Seen;
use crate::history::Time;
use crate::history::What;

/// How many rows are written all the time.
pub(crate) const HOT: Row = 4;
/// How long entries of calm rows live.
pub(crate) const CALM_TTL: Duration = Duration::from_millis(250);

/// What a worker has to work with.
pub(crate) struct Stage {
    pub(crate) database: Arc<Remote>,
    pub(crate) cache: Cache,
    pub(crate) plan: Plan,
    pub(crate) done: AtomicBool,
    /// Whether a mutation returned before the store knew of it.
    pub(crate) deferred: AtomicBool,
    pub(crate) mutations: AtomicU64,
    /// How many loads ask the database, and how many did at most.
    pub(crate) loading: (AtomicU64, AtomicU64),
    /// How often the second source was asked that fails so often.
    pub(crate) asked: AtomicU64,
}

impl Stage {
    async fn select(&self, row: Row) -> Option<u64> {
        let _asking = Asking::new(&self.loading);
        self.database.select(row).await
    }

    pub(crate) fn report(&self, from: Time, what: What) {
        self.database.report(&Event::since(from, self.plan.process, what));
    }
}

/// Counts those who ask at one time, be it that they are dropped.
struct Asking<'a>(&'a AtomicU64);

impl<'a> Asking<'a> {
    fn new((now, most): &'a (AtomicU64, AtomicU64)) -> Self {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(now)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The value of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stock {
    row: Row,
    number: u64,
}

/// Another value of the same row, under the same key, which looks the same when encoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Price {
    row: Row,
    number: u64,
}

/// What prices are more than stocks.
const DEARER: u64 = 1 << 40;

/// The database did not answer.
#[derive(Debug)]
pub(crate) struct Down;

impl Stock {
    pub(crate) fn seen(&self, asked: Row) -> Seen {
        Seen { asked, row: self.row, number: self.number }
    }
}

impl Price {
    pub(crate) fn seen(&self, asked: Row) -> Seen {
        // A stock that is taken for a price is of no commit at all.
        Seen { asked, row: self.row, number: self.number.checked_sub(DEARER).unwrap_or(u64::MAX) }
    }
}

/// Says when a load ends, be it that it is dropped.
struct Loading<'a> {
    stage: &'a Stage,
    from: Time,
    key: String,
    row: Row,
}

impl<'a> Loading<'a> {
    fn new(stage: &'a Stage, key: &str, row: Row) -> Self {
        Self { stage, from: Time::now(), key: format!("{key}:{row}"), row }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.stage.report(self.from, What::Load { key: std::mem::take(&mut self.key), row: self.row });
    }
}

#[cached(ttl = "20s", key = "row:{row}", tags = ["rows", "row:{row}"], skip(stage))]
pub(crate) async fn stock(stage: &Stage, row: Row) -> Result<Stock, Down> {
    let number = stage.select(row).await.ok_or(Down)?;
    Ok(Stock { row, number })
}

#[cached(ttl = "20s", key = "row:{row}", tags = ["rows", "row:{row}"], skip(stage))]
pub(crate) async fn price(stage: &Stage, row: Row) -> Result<Price, Down> {
    let number = stage.select(row).await.ok_or(Down)?;
    Ok(Price { row, number: number + DEARER })
}

#[cached(ttl = "20s", key = "pair:{one}:{other}", skip(stage))]
pub(crate) async fn pair(stage: &Stage, one: Row, other: Row) -> Result<(Stock, Stock), Down> {
    Ok((stock(stage, one).await?, stock(stage, other).await?))
}

#[cached(ttl = "20s", key = "all", skip(stage))]
pub(crate) async fn all(stage: &Stage) -> Result<Vec<Stock>, Down> {
    let (first, second) = pair(stage, 0, 1).await?;
    Ok(vec![first, second, stock(stage, 2).await?])
}

/// Past its time most of the time, and refreshed beside its callers.
#[cached(ttl = "10ms", jitter = 0.0, key = "fresh:{row}", skip(stage), stale_while_revalidate = "5s")]
pub(crate) async fn fresh(stage: Arc<Stage>, row: Row) -> Result<Stock, Down> {
    stock(&stage, row).await
}

/// Past its time most of the time, and often out of reach.
#[cached(ttl = "10ms", jitter = 0.0, key = "kept:{row}", skip(stage), stale_if_error = "5s")]
pub(crate) async fn kept(stage: &Stage, row: Row) -> Result<Stock, Down> {
    let stock = stock(stage, row).await?;
    if stage.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) { Err(Down) } else { Ok(stock) }
}

/// That there is nothing left is an answer too, and is of a commit as any other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Missing {
    Sold(Stock),
    Unknown,
}

#[cached(ttl = "20s", key = "left:{row}", skip(stage), negative = Missing::Sold(_), negative_ttl = "5s")]
pub(crate) async fn left(stage: &Stage, row: Row) -> Result<Stock, Missing> {
    let stock = stock(stage, row).await.map_err(|_| Missing::Unknown)?;
    if stock.number.is_multiple_of(2) { Ok(stock) } else { Err(Missing::Sold(stock)) }
}

#[cached(ttl = CALM_TTL, jitter = 0.0, key = "calm:{row}", skip(stage))]
pub(crate) async fn calm(stage: &Stage, row: Row) -> Stock {
    let _loading = Loading::new(stage, "calm", row);
    let number = stage.select(row).await.expect("a calm row is always there");
    Stock { row, number }
}

#[cached(ttl = "60s", key = "quiet:{row}", tags = ["quiet:{row}"], skip(stage))]
pub(crate) async fn quiet(stage: &Stage, row: Row) -> Result<Stock, Down> {
    let number = stage.select(row).await.ok_or(Down)?;
    Ok(Stock { row, number })
}

/// Without a tag, and invalidated without marks: little more than leases is written to the store.
#[cached(ttl = "60s", key = "slow:{row}", skip(stage))]
pub(crate) async fn slow(stage: &Stage, row: Row) -> Result<Stock, Down> {
    let number = stage.select(row).await.ok_or(Down)?;
    Ok(Stock { row, number })
}

/// A number of an update, and where it was made.
type Update = (Row, u64);

#[invalidates(key = "row:{update.0}")]
pub(crate) async fn write_key(stage: &Stage, update: Update) -> Result<u64, u64> {
    // After an error too.
    Err(stage.database.update(update.0, update.1).await)
}

#[invalidates(tags = ["row:{update.0}"])]
pub(crate) async fn write_tag(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "row:{update.0}", tags = ["rows"])]
pub(crate) async fn write_broad(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "row:{update.0}", mode = after)]
pub(crate) async fn write_key_after(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(tags = ["row:{update.0}"], mode = after)]
pub(crate) async fn write_tag_after(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "row:{update.0}", mode = linearizable)]
pub(crate) async fn write_key_strictly(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(tags = ["row:{update.0}"], mode = linearizable)]
pub(crate) async fn write_tag_strictly(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "calm:{update.0}", mode = linearizable)]
pub(crate) async fn write_calm(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "slow:{update.0}", mode = after)]
pub(crate) async fn write_slow(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "quiet:{update.0}")]
pub(crate) async fn write_quiet_key(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(tags = ["quiet:{update.0}"])]
pub(crate) async fn write_quiet_tag(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(key = "quiet:{update.0}", mode = linearizable)]
pub(crate) async fn write_quiet_key_strictly(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

#[invalidates(tags = ["quiet:{update.0}"], mode = linearizable)]
pub(crate) async fn write_quiet_tag_strictly(stage: &Stage, update: Update) -> u64 {
    stage.database.update(update.0, update.1).await
}

/// Calls one of the mutators, and returns the number of the commit.
pub(crate) async fn write(stage: &Stage, how: How, update: Update) -> u64 {
    match how {
        How::Key if update.0 >= QUIET => write_quiet_key(stage, update).await,
        How::KeyStrictly if update.0 >= QUIET => write_quiet_key_strictly(stage, update).await,
        How::TagStrictly if update.0 >= QUIET => write_quiet_tag_strictly(stage, update).await,
        _ if update.0 >= QUIET => write_quiet_tag(stage, update).await,
        _ if (SLOW..CALM).contains(&update.0) => write_slow(stage, update).await,
        _ if update.0 >= CALM => write_calm(stage, update).await,
        How::Key => write_key(stage, update).await.unwrap_or_else(|number| number),
        How::Tag => write_tag(stage, update).await,
        How::Broad => write_broad(stage, update).await,
        How::KeyAfter => write_key_after(stage, update).await,
        How::TagAfter => write_tag_after(stage, update).await,
        How::KeyStrictly => write_key_strictly(stage, update).await,
        How::TagStrictly => write_tag_strictly(stage, update).await,
    }
}

/// Which of the mutators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Key,
    Tag,
    Broad,
    KeyAfter,
    TagAfter,
    KeyStrictly,
    TagStrictly,
}

impl How {
    pub(crate) fn all_of(writes: Writes) -> &'static [Self] {
        match writes {
            Writes::InAnyWay => &[
                Self::Key,
                Self::Tag,
                Self::Broad,
                Self::KeyAfter,
                Self::TagAfter,
                Self::KeyStrictly,
                Self::TagStrictly,
            ],
            Writes::Linearizably => &[Self::KeyStrictly, Self::TagStrictly],
            Writes::ByTag => &[Self::Tag, Self::TagAfter],
        }
    }

    /// Whether nothing is marked before the body.
    pub(crate) fn is_after(self) -> bool {
        matches!(self, Self::KeyAfter | Self::TagAfter)
    }
}
