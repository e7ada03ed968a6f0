//! Callers of one key, who join, lead, fail and give up.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::rand::Rng as _;
use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::atomic::Ordering;
use shuttle::thread;

use crate::flight::Entered;
use crate::flight::FlightKey;
use crate::flight::Flights;
use crate::flight::Leader;
use crate::flight::Tick;
use crate::flight::Verdict;
use crate::key::Name;

type Source = Arc<AtomicU64>;
type Lead = Leader<Right, u64>;

/// What goes with the lead.
struct Right;

const CALLERS: usize = 3;

fn key() -> FlightKey {
    FlightKey { name: Name::new(b"user:7"), tags: Arc::new([]), schema: 1, version: 0 }
}

/// How a leader ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Lands,
    Fails,
    IsDropped,
}

/// One caller, until it has a value, or its own load has failed.
fn call(
    flights: &Arc<Flights<Right, u64>>,
    came: Tick,
    mut end: impl FnMut() -> End,
    load: impl Fn() -> u64,
) -> Option<u64> {
    // Bounded, because what a caller does here takes it at most a few rounds.
    for _ in 0..4 * CALLERS {
        let waiting = match flights.enter(&key(), came) {
            Entered::Landed(value) => return Some(value),
            Entered::Lead(leader) => return lead(leader, end(), &load),
            Entered::Wait(waiting) => waiting,
            Entered::Older(older) => match flights.supersede(&key(), &older, came) {
                Entered::Lead(leader) => return lead(leader, end(), &load),
                Entered::Wait(waiting) => waiting,
                Entered::Landed(value) => return Some(value),
                Entered::Older(_) => continue,
            },
        };
        match block_on(waiting) {
            Ok(Verdict::Landed(value)) => return Some(value),
            Ok(Verdict::Lead(leader)) => return lead(leader, end(), &load),
            Ok(Verdict::Alone) => return Some(load()),
            Ok(Verdict::Retry) | Err(_) => thread::yield_now(),
        }
    }
    panic!("a caller goes round in circles");
}

fn lead(mut leader: Lead, end: End, load: impl Fn() -> u64) -> Option<u64> {
    leader.right = Some(Right);
    leader.start(None);
    let value = load();
    match end {
        End::Lands => {
            leader.land(value, false);
            Some(value)
        }
        End::Fails => {
            leader.fail();
            None
        }
        End::IsDropped => None,
    }
}

/// Of callers who have all come before the first load begins, one loads, and everybody has what it brings.
pub fn one_loads_for_all() {
    let flights = Arc::new(Flights::<Right, u64>::new());
    let loads = Arc::new(AtomicU64::new(0));
    let came: Vec<Tick> = (0..CALLERS).map(|_| flights.tick()).collect();
    // Whoever lands keeps its flight for a while, as one does who stores a value.
    let (first, all) = (flights.enter(&key(), came[0]), came[1..].to_vec());
    let callers: Vec<_> = all
        .into_iter()
        .map(|came| {
            let (flights, loads) = (flights.clone(), loads.clone());
            thread::spawn(move || call(&flights, came, || End::Lands, || loads.fetch_add(1, Ordering::SeqCst) + 1))
        })
        .collect();
    let Entered::Lead(mut leader) = first else { panic!("nobody else is there") };
    leader.start(None);
    let value = loads.fetch_add(1, Ordering::SeqCst) + 1;
    leader.land(value, false);
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Some(1));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    drop(leader);
    assert!(matches!(flights.enter(&key(), flights.tick()), Entered::Lead(_)), "a flight is left behind");
}

/// Whatever leaders do, every caller comes to an end, and no flight is left.
pub fn nobody_is_stranded() {
    let flights = Arc::new(Flights::<Right, u64>::new());
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let flights = flights.clone();
            thread::spawn(move || {
                let end = || [End::Lands, End::Fails, End::IsDropped][shuttle::rand::thread_rng().gen_range(0..3)];
                call(&flights, flights.tick(), end, || 7)
            })
        })
        .collect();
    let gone = {
        let flights = flights.clone();
        // Comes, and gives up at once, wherever that leaves the others.
        thread::spawn(move || drop(flights.enter(&key(), flights.tick())))
    };
    gone.join().unwrap();
    for caller in callers {
        assert!(caller.join().unwrap().is_none_or(|value| value == 7));
    }
    assert!(matches!(flights.enter(&key(), flights.tick()), Entered::Lead(_)), "a flight is left behind");
}

/// Who comes after a change is given nothing that was read before it.
pub fn values_are_fresh(joined_by_key_alone: bool) {
    let mut flights = Flights::<Right, u64>::new();
    flights.join_by_key_alone = joined_by_key_alone;
    let (flights, source) = (Arc::new(flights), Source::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (flights, source) = (flights.clone(), source.clone());
            thread::spawn(move || {
                let least = source.load(Ordering::SeqCst);
                let came = flights.tick();
                let value = call(&flights, came, || End::Lands, || source.load(Ordering::SeqCst));
                assert!(value >= Some(least), "it was {least} when the caller came, and is given {value:?}");
            })
        })
        .collect();
    source.fetch_add(1, Ordering::SeqCst);
    for caller in callers {
        caller.join().unwrap();
    }
}
