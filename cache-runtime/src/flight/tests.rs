//! Who joins which load, who leads the next one, and who is kept waiting.

use super::*;

type Loads = Arc<Flights<(), u64>>;
type Waiting = oneshot::Receiver<Verdict<(), u64>>;

fn key() -> FlightKey {
    FlightKey { name: Name::new(b"key"), tags: Arc::default(), schema: 0, version: 0 }
}

fn evidence(token: u128) -> Evidence {
    Evidence { slot: Slot::Mark(Token(token)), captured: Vec::new() }
}

fn loads() -> Loads {
    Arc::new(Flights::new())
}

/// Of a load that nobody is at yet.
fn lead(loads: &Loads) -> Leader<(), u64> {
    let Entered::Lead(leader) = loads.enter(&key(), loads.tick()) else { panic!("somebody is at it") };
    leader
}

/// The load that runs, as one sees it who came after it began.
fn older(loads: &Loads) -> Arc<Flight<(), u64>> {
    let Entered::Older(flight) = loads.enter(&key(), loads.tick()) else { panic!("it did not begin before") };
    flight
}

#[track_caller]
fn waits(entered: Option<Entered<(), u64>>) -> Waiting {
    let Some(Entered::Wait(waiting)) = entered else { panic!("it does not wait") };
    waiting
}

fn landed(waiting: &mut Waiting) -> Option<u64> {
    let Ok(Verdict::Landed(value)) = waiting.try_recv() else { return None };
    Some(value)
}

#[test]
fn who_came_before_a_load_began_joins_it_until_it_is_stored_and_who_came_later_does_not() {
    let loads = loads();
    let before = loads.tick();
    let mut leader = lead(&loads);
    leader.start(None);
    let mut joined = waits(Some(loads.enter(&key(), before)));
    older(&loads);
    leader.land(7, false);
    assert_eq!(landed(&mut joined), Some(7));
    assert!(matches!(loads.enter(&key(), before), Entered::Landed(7)));
    older(&loads);
    drop(leader);
    assert!(matches!(loads.enter(&key(), before), Entered::Lead(_)));
}

#[test]
fn a_load_is_joined_by_who_sees_what_it_holds_and_by_nobody_else() {
    let loads = loads();
    let mut leader = lead(&loads);
    leader.start(Some(evidence(1)));
    let older = older(&loads);
    assert!(older.join(&evidence(2)).is_none());
    let mut joined = waits(older.join(&evidence(1)));
    leader.land(7, false);
    assert_eq!(landed(&mut joined), Some(7));
    assert!(older.join(&evidence(2)).is_none());
    assert!(matches!(older.join(&evidence(1)), Some(Entered::Landed(7))));
}

#[test]
fn who_joined_a_load_that_inherits_by_what_it_holds_looks_again_once_it_is_stored() {
    let loads = loads();
    let mut leader = lead(&loads);
    leader.start(Some(evidence(1)));
    let older = older(&loads);
    let mut joined = waits(older.join(&evidence(1)));
    leader.land(7, true);
    assert!(older.join(&evidence(1)).is_none());
    assert_eq!(joined.try_recv().err(), Some(oneshot::error::TryRecvError::Empty), "it is not stored yet");
    drop(leader);
    assert!(matches!(joined.try_recv(), Ok(Verdict::Retry)));
}

#[test]
fn who_waited_for_a_load_that_failed_is_given_the_next_one_however_they_came() {
    let loads = loads();
    let before = loads.tick();
    let mut leader = lead(&loads);
    leader.start(Some(evidence(1)));
    let mut first = waits(Some(loads.enter(&key(), before)));
    let mut joined = waits(older(&loads).join(&evidence(1)));
    leader.fail();
    let Ok(Verdict::Lead(mut next)) = first.try_recv() else { panic!("nobody leads") };
    let mut between = waits(Some(loads.enter(&key(), loads.tick())));
    next.start(Some(evidence(2)));
    next.land(8, true);
    assert_eq!([landed(&mut joined), landed(&mut between)], [Some(8), Some(8)]);
}

#[test]
fn nobody_waits_for_a_load_that_is_over() {
    let loads = loads();
    let mut leader = lead(&loads);
    leader.start(Some(evidence(1)));
    let older = older(&loads);
    drop(leader);
    assert!(older.join(&evidence(1)).is_none() && older.end().is_none());
}

#[test]
fn whoever_leads_may_have_any_of_the_places_that_are_lent() {
    let loads = loads();
    let leader = lead(&loads);
    let [first, second] = [(); 2].map(|()| Arc::new(Places::default()));
    loads.lend(&key(), &first);
    loads.lend(&key(), &second);
    drop(second);
    let mut lent = std::pin::pin!(leader.lent());
    let polled = lent.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_ready() && first.are_lent());
}

#[test]
fn nothing_is_kept_of_those_who_gave_up() {
    let loads = loads();
    let leader = lead(&loads);
    for _ in 0..1000 {
        drop(waits(Some(loads.enter(&key(), loads.tick()))));
        loads.lend(&key(), &Arc::default());
    }
    let state = lock(&leader.flight.0);
    assert!(state.waiters.len() < 10 && state.lent.len() < 10, "{} and {}", state.waiters.len(), state.lent.len());
}
