//! What is done for the witnesses, beside what is asked of the store.

use super::*;
use crate::clock::Clock;
use crate::local::Capacity;
use crate::local::Local;
use crate::store::Blob;
use crate::store::pass_on::passes_on;
use crate::token::LeaseId;

#[test]
fn witnesses_are_apart_from_the_epoch_and_from_each_other_as_far_as_there_are_places() {
    for places in 1..20 {
        let place = |name: &Name| xxhash_rust::xxh3::xxh3_64(name.as_str().as_bytes()) as usize % places;
        let mut at: Vec<usize> = names(places, place).iter().chain([&epoch::name()]).map(place).collect();
        at.sort_unstable();
        at.dedup();
        assert_eq!(at.len(), places.min(1 + MOST_WITNESSES));
    }
}

#[tokio::test]
async fn who_reads_the_epoch_makes_the_witnesses_that_are_missing() {
    let (store, witnessed) = both();
    let read = |registers| vec![Read { entry: None, registers }];
    witnessed.read(read(vec![epoch::register()])).await.unwrap();
    let states = store.read(read(witnesses())).await.unwrap().remove(0).states;
    assert!(states.iter().all(|state| matches!(state, State::Token(_))), "{states:?}");
}

#[tokio::test]
async fn witnesses_live_as_long_as_what_rests_on_the_epoch() {
    let (store, witnessed) = both();
    let (tag, life) = (Register::Tag(Name::new(b"rows")), Duration::from_secs(60));
    let (resting, alone) = (vec![tag.clone(), epoch::register()], vec![tag]);
    let all: Vec<_> = resting.iter().cloned().chain(witnesses()).collect();
    for (registers, expected) in [(resting, all), (alone.clone(), alone)] {
        witnessed.live_on(registers.clone(), life).await.unwrap();
        witnessed.fill(fill(registers, life)).await.unwrap();
        assert_eq!(std::mem::take(&mut *lock(&store.live_on)), [expected.clone(), expected]);
    }
}

#[tokio::test]
async fn it_lists_what_its_store_lists() {
    let (store, witnessed) = both();
    assert!(store.lists() && witnessed.lists());
}

fn both() -> (Arc<Listening>, Witnessed) {
    let inner = Local::new(Capacity::default(), Clock::held());
    let store = Arc::new(Listening { inner, live_on: Mutex::default() });
    let witnessed = Witnessed::new(store.clone(), (1..=MOST_WITNESSES).map(Name::witness).collect());
    (store, witnessed)
}

fn witnesses() -> Vec<Register> {
    (1..=MOST_WITNESSES).map(Name::witness).map(Register::Tag).collect()
}

fn fill(touch: Vec<Register>, life: Duration) -> Fill {
    Fill {
        key: Name::new(b"row:7"),
        lease: LeaseId::asked(1),
        blob: Blob::Bygone,
        fresh: life,
        life,
        touch,
        token_life: life,
        listing: None,
    }
}

/// A store that notes what is to live on.
#[derive(Debug)]
struct Listening {
    inner: Local,
    live_on: Mutex<Vec<Vec<Register>>>,
}

impl Store for Listening {
    passes_on!(inner: keeps read begin renew release touch mark revoke);

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        lock(&self.live_on).push(fill.touch);
        Box::pin(std::future::ready(Ok(true)))
    }

    fn live_on(&self, registers: Vec<Register>, _: Duration) -> Reply<'_, ()> {
        lock(&self.live_on).push(registers);
        Box::pin(std::future::ready(Ok(())))
    }

    fn lists(&self) -> bool {
        true
    }
}
