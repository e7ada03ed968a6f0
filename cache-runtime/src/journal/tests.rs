//! Delivering, on a host whose time the test holds.

use super::*;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::core::Settings;
use crate::host::held::Held;
use crate::host::held::rest;
use crate::invalidation::Delivery;
use crate::key::Name;
use crate::local::Capacity;
use crate::local::Local;
use crate::outcome::returns;
use crate::site::Site;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::pass_on::passes_on;
use crate::token::MarkId;

/// Longer than any pause.
const LONG: Duration = Duration::from_secs(60);

struct Rig {
    host: Arc<Held>,
    store: Arc<Choosy>,
    cache: Cache,
}

fn rig() -> Rig {
    let (host, clock) = (Arc::new(Held::new()), Clock::held());
    let store = Arc::new(Choosy::new(Local::new(Capacity::default(), clock.clone())));
    let settings = Settings { journal_capacity: 8, ..Settings::default() };
    let cache = Cache::from_core(Core::new(store.clone(), host.clone(), clock, settings));
    Rig { host, store, cache }
}

impl Rig {
    fn core(&self) -> &Arc<Core> {
        self.cache.core()
    }

    fn defer(&self, numbers: std::ops::Range<usize>) {
        defer(self.core(), &tags(numbers), Duration::ZERO);
    }

    /// How long who delivers wanted to sleep before each attempt since this was last asked, in milliseconds.
    fn pauses(&self) -> Vec<u128> {
        self.host.asked().iter().map(Duration::as_millis).collect()
    }
}

fn tag(number: usize) -> String {
    format!("t{number}")
}

fn tags(numbers: std::ops::Range<usize>) -> Targets {
    Targets { keys: Vec::new(), tags: numbers.map(|number| Name::new(tag(number).as_bytes())).collect() }
}

#[tokio::test]
async fn who_delivers_tries_at_once_when_woken() {
    let rig = rig();
    rig.store.answers(Answer::Not);
    rig.defer(0..1);
    rest().await;
    rig.core().journal.debts.call(0);
    rest().await;
    assert_eq!(rig.cache.pending(), 1);
    rig.store.answers(Answer::Done);
    rest().await;
    assert_eq!(rig.cache.pending(), 1, "it sleeps");
    rig.core().journal.debts.call(0);
    rest().await;
    assert_eq!(rig.cache.pending(), 0);
}

#[tokio::test]
async fn what_is_invalidated_again_while_it_is_delivered_is_delivered_again() {
    let rig = rig();
    let (journal, now) = (&rig.core().journal, rig.core().clock.now());
    journal.keep(&tags(0..2), now, 8);
    let told = journal.next(0, now).unwrap();
    journal.keep(&tags(1..3), now, 8);
    journal.strike(0, &told.targets, told.last);
    assert!(!journal.holds([&Register::Tag(Name::new(b"t0"))]));
    for again in [b"t1", b"t2"] {
        assert!(journal.holds([&Register::Tag(Name::new(again))]), "the store may have been told before");
    }
    let told = journal.next(0, now).unwrap();
    journal.strike(0, &told.targets, told.last);
    assert_eq!(journal.len(), 0);
}

#[tokio::test]
async fn who_waits_for_all_of_it_waits_for_no_pause() {
    let rig = rig();
    rig.store.answers(Answer::Not);
    rig.defer(0..1);
    rest().await;
    rig.store.answers(Answer::Done);
    let core = rig.core().clone();
    let waiting = tokio::spawn(async move { drained(&core).await });
    rest().await;
    assert!(waiting.is_finished());
    assert_eq!(rig.cache.pending(), 0);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_tried_less_and_less_often() {
    let rig = rig();
    rig.store.answers(Answer::Not);
    rig.defer(0..1);
    rest().await;
    for pause in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
        assert_eq!(rig.pauses(), [pause]);
        rig.host.pass(Duration::from_millis(pause as u64)).await;
    }
    rig.store.answers(Answer::Done);
    rig.host.pass(LONG).await;
    assert_eq!(rig.cache.pending(), 0);
    rig.store.answers(Answer::Not);
    rig.pauses();
    rig.defer(0..1);
    rest().await;
    assert_eq!(rig.pauses(), [50], "another time it begins anew");
}

#[tokio::test]
async fn what_is_refused_is_told_apart_and_holds_up_nothing_else() {
    let rig = rig();
    rig.store.answers(Answer::RefusesWith(tag(1)));
    rig.defer(0..4);
    rest().await;
    rig.host.pass(Duration::from_millis(50)).await;
    assert_eq!(rig.store.told(), ["t0 t1 t2 t3"]);
    rig.host.pass(Duration::from_millis(100)).await;
    assert_eq!(rig.store.told(), ["t0", "t1"]);
    rig.host.pass(Duration::from_millis(50)).await;
    assert_eq!(rig.store.told(), ["t2", "t3", "t1"]);
    assert_eq!(rig.pauses(), [50, 100, 0, 50, 0, 0, 50], "after what is done comes the next at once");
    assert_eq!(rig.cache.pending(), 1);
    // What comes then is not told one by one for what had to be once.
    rig.store.answers(Answer::Done);
    rig.defer(4..7);
    rig.host.pass(LONG).await;
    assert_eq!(rig.store.told(), ["t1 t4 t5 t6"]);
    assert_eq!(rig.cache.pending(), 0);
}

#[tokio::test]
async fn when_all_is_delivered_nothing_is_owed() {
    // As it was kept, and as one in the place of all.
    for (kept, pending) in [(3, 3), (9, 1)] {
        let rig = rig();
        let journal = &rig.core().journal;
        rig.store.answers(Answer::Not);
        rig.defer(0..kept);
        assert_eq!(rig.cache.pending(), pending);
        assert!(journal.is_busy() && journal.debts.to(0).is_owed());
        rig.store.answers(Answer::Done);
        rest().await;
        rig.host.pass(LONG).await;
        assert_eq!(rig.cache.pending(), 0);
        assert!(!journal.debts.to(0).is_owed(), "reads would be held back for nothing");
        assert!(!journal.is_busy());
    }
}

#[tokio::test]
async fn what_was_read_before_it_was_delivered_is_not_used_after_it() {
    let rig = rig();
    assert_eq!(outer(rig.cache.clone(), 1).await, 1);
    let before = rig.store.reads();
    assert_eq!(outer(rig.cache.clone(), 1).await, 1);
    let (hit, now) = (rig.store.reads() - before, rig.store.reads());
    rig.store.answers(Answer::Not);
    assert_eq!(rig.cache.invalidate("inner").await, Delivery::Deferred);
    // All of it is read, and on its way to who reads.
    *lock(&rig.store.slow) = Some(now + hit);
    let reading = tokio::spawn(outer(rig.cache.clone(), 2));
    rig.store.has_read.notified().await;
    rig.store.answers(Answer::Done);
    rest().await;
    rig.host.pass(LONG).await;
    assert_eq!(rig.cache.pending(), 0);
    rig.store.go_on.notify_one();
    assert_eq!(reading.await.unwrap(), 2, "its own process had invalidated it before it read");
}

#[test]
fn pauses_are_spread_and_no_longer_than_said() {
    let pause = Duration::from_secs(2);
    let spread: Vec<_> = (0..1000).map(|_| jittered(pause, rand::random())).collect();
    assert!(spread.iter().all(|one| (pause / 2..=pause).contains(one)));
    assert!(spread.iter().max().unwrap().saturating_sub(*spread.iter().min().unwrap()) > pause / 4);
}

/// A value that rests on an inner one.
async fn outer(cache: Cache, version: u64) -> u64 {
    static INNER: Site = Site::cached("journal", "inner").key("inner");
    static OUTER: Site = Site::cached("journal", "outer").key("outer");
    let inner = cache.entry(&INNER, returns::<u64>().kind()).ttl(LONG).get_or_load(async { version });
    cache.entry(&OUTER, returns::<u64>().kind()).ttl(LONG).get_or_load(inner).await
}

/// What a store makes of an invalidation.
#[derive(Debug)]
enum Answer {
    Done,
    /// There is none.
    Not,
    /// It does not do that of this tag, nor of any together with it.
    RefusesWith(String),
}

/// A store that chooses what it does, and notes what it is told.
#[derive(Debug)]
struct Choosy {
    inner: Local,
    answer: Mutex<Answer>,
    told: Mutex<Vec<String>>,
    reads: Mutex<usize>,
    /// Which read takes until it may go on, once it has read.
    slow: Mutex<Option<usize>>,
    has_read: Notify,
    go_on: Notify,
}

impl Choosy {
    fn new(inner: Local) -> Self {
        Self {
            inner,
            answer: Mutex::new(Answer::Done),
            told: Mutex::default(),
            reads: Mutex::default(),
            slow: Mutex::default(),
            has_read: Notify::new(),
            go_on: Notify::new(),
        }
    }

    fn answers(&self, answer: Answer) {
        *lock(&self.answer) = answer;
    }

    /// What it was told to invalidate since this was last asked: the tags of each attempt.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.told))
    }

    fn reads(&self) -> usize {
        *lock(&self.reads)
    }

    fn answer(&self, targets: &Targets) -> Result<(), StoreError> {
        let names: Vec<&str> = targets.tags.iter().map(Name::as_str).collect();
        lock(&self.told).push(names.join(" "));
        match &*lock(&self.answer) {
            Answer::Not => Err(StoreError::Away("the test says so".to_owned())),
            Answer::RefusesWith(tag) if names.contains(&tag.as_str()) => Err(StoreError::Refused(tag.clone())),
            _ => Ok(()),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Choosy {
    passes_on!(inner: keeps ready begin renew release fill touch live_on mark lists listed discard);

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        let number = {
            let mut reads = lock(&self.reads);
            *reads += 1;
            *reads
        };
        let is_slow = *lock(&self.slow) == Some(number);
        Box::pin(async move {
            let readings = self.inner.read(reads).await;
            if is_slow {
                self.has_read.notify_one();
                self.go_on.notified().await;
            }
            readings
        })
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        match self.answer(&targets) {
            Ok(()) => self.inner.revoke(targets, ended),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
