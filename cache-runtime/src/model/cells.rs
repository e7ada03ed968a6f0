//! A cell is read without a lock while another thread changes it.

use shuttle::thread;

use crate::clock::Moment;
use crate::local::model::Cell;
use crate::token::Token;

const FIRST: u64 = 11;
const SECOND: u64 = 12;

/// At 20 a token that lived until 10 is dead, whatever comes after it and however long that lives.
pub fn a_token_dies_with_its_time() {
    let cell = Cell::new(FIRST);
    cell.set(FIRST, Moment(10));
    let other = cell.clone();
    let setter = thread::spawn(move || other.set(SECOND, Moment(30)));
    assert!(!cell.holds(FIRST, Moment(20)), "it died at 10");
    assert!(cell.current(Moment(20)).is_none_or(|token| token == Token(SECOND.into())));
    setter.join().unwrap();
    assert!(cell.holds(SECOND, Moment(20)));
}

/// Once it was killed, or another was set, a token never holds again.
pub fn what_is_killed_stays_dead() {
    let cell = Cell::new(FIRST);
    let other = cell.clone();
    let killer = thread::spawn(move || {
        other.kill();
        other.set(SECOND, Moment::NEVER);
    });
    let before = cell.holds(FIRST, Moment(1));
    let after = cell.holds(FIRST, Moment(1));
    assert!(before || !after, "it came back");
    killer.join().unwrap();
    assert!(!cell.holds(FIRST, Moment(1)));
}
