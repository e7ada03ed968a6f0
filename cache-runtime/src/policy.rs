//! How long an entry lives: pure functions of time.

use std::time::Duration;

/// How long a value is kept: a [`Duration`], or a closure that asks the value.
#[diagnostic::on_unimplemented(
    message = "this entry has no time-to-live",
    label = "needs `.ttl(…)` or `.ttl_with(…)` before",
    note = "nothing lives for ever: say how long, as in `.ttl(Duration::from_secs(300))`"
)]
pub trait TimeToLive<V> {
    /// How long `value` is kept.
    fn of(&self, value: &V) -> Duration;
}

/// No time-to-live was given yet.
#[derive(Clone, Copy, Debug)]
pub struct Unset;

impl<V> TimeToLive<V> for Duration {
    fn of(&self, _: &V) -> Duration {
        *self
    }
}

#[diagnostic::do_not_recommend]
impl<V, F: Fn(&V) -> Duration> TimeToLive<V> for F {
    fn of(&self, value: &V) -> Duration {
        self(value)
    }
}
