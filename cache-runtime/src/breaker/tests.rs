//! Opening, probing and closing, on a clock that the test holds.

use std::sync::Arc;

use super::*;
use crate::debt::Debts;
use crate::epoch;
use crate::host::Threaded;

struct Rig {
    clock: Clock,
    debts: Debts,
    breaker: Breaker,
}

fn rig() -> Rig {
    let (clock, debts) = (Clock::held(), Debts::default());
    let breaker = Breaker::new(Limits::default(), clock.clone(), Arc::new(Threaded::default()), debts.to(0));
    Rig { clock, debts, breaker }
}

impl Rig {
    /// A call that comes to `health`; says whether it was let through.
    fn call(&self, health: Health) -> bool {
        self.breaker.admit().map(|pass| pass.end(health)).is_some()
    }

    fn open(&self) {
        assert!(self.call(Health::Late));
        assert!(self.breaker.is_open());
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

#[test]
fn failures_in_a_row_open_it() {
    let rig = rig();
    for _ in 0..4 {
        assert!(rig.call(Health::Failing));
    }
    assert!(!rig.breaker.is_open());
    assert!(rig.call(Health::Failing));
    assert!(rig.breaker.is_open());
    assert!(!rig.call(Health::Well), "a call was let through");
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let rig = rig();
    for _ in 0..20 {
        for _ in 0..4 {
            assert!(rig.call(Health::Failing));
        }
        assert!(rig.call(Health::Well));
    }
}

#[test]
fn one_missed_deadline_opens_it() {
    rig().open();
}

#[test]
fn one_probe_at_a_time_is_let_through() {
    let rig = rig();
    rig.open();
    assert!(!rig.call(Health::Well), "a probe before the pause is over");
    rig.advance(125);
    let probe = rig.breaker.admit().expect("a probe");
    assert!(rig.breaker.admit().is_none(), "a second probe");
    probe.end(Health::Well);
    assert!(!rig.breaker.is_open());
}

#[test]
fn a_probe_that_is_dropped_leaves_its_place_to_another() {
    let rig = rig();
    rig.open();
    rig.advance(125);
    drop(rig.breaker.admit().expect("a probe"));
    assert!(rig.breaker.is_open());
    assert!(rig.call(Health::Well));
    assert!(!rig.breaker.is_open());
}

#[test]
fn pauses_grow_up_to_the_longest() {
    let rig = rig();
    rig.open();
    for longest in [125, 250, 500, 1000, 1000, 1000] {
        rig.advance(longest * 3 / 4 - 1);
        assert!(!rig.call(Health::Late), "a pause of {longest} ms was cut short");
        rig.advance(longest / 4 + 1);
        assert!(rig.call(Health::Late), "no probe after {longest} ms");
    }
}

#[test]
fn a_store_that_is_not_there_is_looked_for_by_one_call_at_a_time() {
    let rig = rig();
    for _ in 0..10 {
        assert!(rig.call(Health::Gone));
        assert!(rig.breaker.is_open());
    }
    let first = rig.breaker.admit().expect("a probe");
    assert!(rig.breaker.admit().is_none());
    first.end(Health::Well);
    assert!(!rig.breaker.is_open());
}

#[test]
fn what_was_under_way_when_it_opened_does_not_open_it_for_longer() {
    let rig = rig();
    let late: Vec<_> = (0..100).filter_map(|_| rig.breaker.admit()).collect();
    rig.open();
    late.into_iter().for_each(|pass| pass.end(Health::Late));
    rig.advance(125);
    assert!(rig.call(Health::Well));
    assert!(!rig.breaker.is_open());
}

#[test]
fn who_owes_an_invalidation_does_not_read_before_that_is_delivered() {
    let rig = rig();
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    rig.advance(10_000);
    assert!(!rig.call(Health::Well), "a read was the probe");
    // The first of what is owed is delivered, and then the rest.
    rig.breaker.admit_urgent().end(Health::Well);
    assert!(rig.breaker.is_open(), "open to reads with something still owed");
    rig.debts.pay(&epoch::register());
    rig.advance(50);
    assert!(rig.call(Health::Well));
    assert!(!rig.breaker.is_open());
}

#[tokio::test]
async fn who_delivers_is_called_when_a_probe_is_due() {
    let rig = rig();
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    assert!(!rig.call(Health::Well));
    rig.advance(125);
    assert!(!rig.call(Health::Well));
    rig.debts.called(0).await;
}

#[test]
fn an_invalidation_is_let_through_whatever_the_state_and_closes_it() {
    let rig = rig();
    rig.open();
    rig.breaker.admit_urgent().end(Health::Late);
    assert!(rig.breaker.is_open());
    rig.breaker.admit_urgent().end(Health::Well);
    assert!(!rig.breaker.is_open());
}

#[test]
fn after_it_was_closed_it_takes_as_many_failures_to_open_it_again() {
    let rig = rig();
    for _ in 0..5 {
        assert!(rig.call(Health::Failing));
    }
    rig.advance(125);
    assert!(rig.call(Health::Well));
    for _ in 0..4 {
        assert!(rig.call(Health::Failing));
    }
    assert!(!rig.breaker.is_open());
}

#[test]
fn what_is_still_owed_after_the_first_was_answered_holds_reads_back_for_no_longer_than_a_pause() {
    let reads_after = |millis| {
        let rig = rig();
        rig.debts.owe(&epoch::register(), 0);
        rig.open();
        rig.breaker.admit_urgent().end(Health::Well);
        rig.advance(millis);
        rig.call(Health::Well)
    };
    assert_eq!([0, 49, 50, 10_000].map(reads_after), [false, false, true, true]);
}

#[test]
fn an_invalidation_that_is_not_answered_makes_those_that_were_count_no_more() {
    let rig = rig();
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    rig.breaker.admit_urgent().end(Health::Well);
    rig.breaker.admit_urgent().end(Health::Late);
    rig.advance(10_000);
    assert!(!rig.call(Health::Well), "a read was the probe");
}

#[test]
fn what_was_answered_before_it_opened_anew_counts_no_more() {
    let rig = rig();
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    rig.breaker.admit_urgent().end(Health::Well);
    rig.debts.pay(&epoch::register());
    rig.advance(50);
    assert!(rig.call(Health::Well));
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    rig.advance(10_000);
    assert!(!rig.call(Health::Well), "a read was the probe");
}

#[tokio::test]
async fn who_delivers_is_not_called_by_each_call_that_is_shed() {
    let rig = rig();
    let is_called = async || tokio::time::timeout(Duration::ZERO, rig.debts.called(0)).await.is_ok();
    rig.debts.owe(&epoch::register(), 0);
    rig.open();
    rig.advance(125);
    for _ in 0..2 {
        assert!(!rig.call(Health::Well));
        assert!(is_called().await);
        rig.advance(49);
        assert!(!rig.call(Health::Well));
        assert!(!is_called().await, "it is called before it can have tried");
        rig.advance(1);
    }
}

#[test]
fn an_invalidation_that_fails_is_a_probe_that_failed() {
    let rig = rig();
    rig.open();
    for pause in [250, 500, 1000, 1000] {
        rig.advance(10_000);
        rig.breaker.admit_urgent().end(Health::Late);
        rig.advance(pause - 1);
        assert!(!rig.call(Health::Late), "a pause of {pause} ms was cut short");
    }
    rig.advance(1);
    assert!(rig.call(Health::Well));
    assert!(!rig.breaker.is_open());
}

#[test]
fn an_invalidation_that_fails_beside_a_probe_says_nothing_that_the_probe_does_not() {
    let rig = rig();
    rig.open();
    rig.advance(125);
    let probe = rig.breaker.admit().expect("a probe");
    rig.breaker.admit_urgent().end(Health::Late);
    probe.end(Health::Late);
    rig.advance(250);
    assert!(rig.call(Health::Well), "one failure was counted twice");
}

#[cfg(feature = "redis")]
mod held {
    use super::*;

    #[tokio::test]
    async fn a_node_is_told_what_it_is_owed_now_before_it_is_read() {
        let rig = rig();
        rig.debts.owe(&epoch::register(), 0);
        rig.breaker.hold();
        assert!(!rig.call(Health::Well), "a read was the first");
        rig.debts.called(0).await;
        rig.debts.pay(&epoch::register());
        rig.breaker.admit_urgent().end(Health::Well);
        assert!(!rig.breaker.is_open());
    }

    #[test]
    fn nobody_waits_for_a_node_that_is_owed_nothing_any_more() {
        let rig = rig();
        rig.breaker.hold();
        assert!(rig.breaker.is_open());
        assert!(rig.call(Health::Well));
        assert!(!rig.breaker.is_open());
    }

    #[test]
    fn it_is_done_without_for_a_while_if_it_does_not_answer() {
        let rig = rig();
        rig.breaker.hold();
        assert!(rig.call(Health::Late));
        rig.advance(186);
        assert!(!rig.call(Health::Late), "it is asked again before the pause is over");
        rig.advance(64);
        assert!(rig.call(Health::Well));
    }

    #[test]
    fn one_that_is_open_already_opens_no_earlier_for_it() {
        let rig = rig();
        rig.open();
        rig.breaker.hold();
        rig.advance(90);
        assert!(!rig.call(Health::Well), "its pause was cut short");
    }
}
