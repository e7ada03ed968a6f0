//! How long things take and last: pure functions of time and chance.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::site::Site;

/// How long a value is kept: a [`Duration`], or a closure that asks the value.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::cached;
///
/// #[cached(ttl = |token: &String| Duration::from_secs(token.len() as u64), key = "token:{user}")]
/// async fn token(user: u64) -> String {
///     format!("token of {user}")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a time-to-live",
    note = "say how long, as in `.ttl(Duration::from_secs(300))`, or ask the value, as in `.ttl_with(|token| token.expires_in())`"
)]
pub trait TimeToLive<V> {
    /// How long `value` is kept.
    fn of(&self, value: &V) -> Duration;

    /// The same before there is a value, if it does not depend on one.
    fn fixed(&self) -> Option<Duration> {
        None
    }

    /// Whether an error is stored.
    #[doc(hidden)]
    fn keeps(&self, _: &dyn Any) -> bool {
        false
    }
}

/// The entry was given no time-to-live: that of its [site](Site::ttl) counts.
///
/// # Panics
///
/// Both methods do, and with them whatever of an entry or its handle asks them, when the site has none either.
#[derive(Clone, Copy)]
pub struct Unset(pub(crate) &'static Site);

impl<V> TimeToLive<V> for Unset {
    #[track_caller]
    fn of(&self, _: &V) -> Duration {
        self.of_site()
    }

    #[track_caller]
    fn fixed(&self) -> Option<Duration> {
        Some(self.of_site())
    }
}

impl Unset {
    #[track_caller]
    fn of_site(&self) -> Duration {
        let Some(ttl) = self.0.time_to_live() else {
            let (name, file, line) = (self.0.name(), self.0.file(), self.0.line());
            panic!("`{name}` at {file}:{line} has no time-to-live; say `.ttl(…)` on its entry or on its site");
        };
        ttl
    }
}

impl fmt::Debug for Unset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unset")
    }
}

impl<V> TimeToLive<V> for Duration {
    fn of(&self, _: &V) -> Duration {
        *self
    }

    fn fixed(&self) -> Option<Duration> {
        Some(*self)
    }
}

#[diagnostic::do_not_recommend]
impl<V, F: Fn(&V) -> Duration> TimeToLive<V> for F {
    fn of(&self, value: &V) -> Duration {
        self(value)
    }
}

/// How long a value is kept, and which values are not: what [`Entry::unless`](crate::Entry::unless) makes of a time-to-live.
#[derive(Clone, Copy)]
pub struct Unless<T, F> {
    pub(crate) ttl: T,
    pub(crate) unless: F,
}

impl<V, T: TimeToLive<V>, F: Fn(&V) -> bool> TimeToLive<V> for Unless<T, F> {
    fn of(&self, value: &V) -> Duration {
        if (self.unless)(value) { Duration::ZERO } else { self.ttl.of(value) }
    }

    fn fixed(&self) -> Option<Duration> {
        self.ttl.fixed()
    }

    fn keeps(&self, error: &dyn Any) -> bool {
        self.ttl.keeps(error)
    }
}

/// How long a value is kept, and which errors are kept too: what [`Entry::negative`](crate::Entry::negative) makes of a time-to-live.
pub struct Negatively<T, E, F> {
    pub(crate) ttl: T,
    pub(crate) negative: F,
    pub(crate) error: PhantomData<fn(&E)>,
}

impl<V, T: TimeToLive<V>, E: Any, F: Fn(&E) -> bool> TimeToLive<V> for Negatively<T, E, F> {
    fn of(&self, value: &V) -> Duration {
        self.ttl.of(value)
    }

    fn fixed(&self) -> Option<Duration> {
        self.ttl.fixed()
    }

    fn keeps(&self, error: &dyn Any) -> bool {
        error.downcast_ref().is_some_and(&self.negative)
    }
}

impl<T: Clone, E, F: Clone> Clone for Negatively<T, E, F> {
    fn clone(&self) -> Self {
        Self { ttl: self.ttl.clone(), negative: self.negative.clone(), error: PhantomData }
    }
}

impl<T: fmt::Debug, E, F> fmt::Debug for Negatively<T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negatively").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Unless<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unless").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The longest time-to-live; longer ones are cut, so that no sum overflows.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long a token lives at least, so that tags in use do not expire in between.
const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long a token lives under entries whose time-to-live nobody knows yet.
const TOKEN_LIFE_UNKNOWN: Duration = Duration::from_secs(24 * 60 * 60);

/// `ttl`, up to `spread` shorter or longer as `chance` has it, so that what was stored together does not expire together.
pub(crate) fn jittered(ttl: Duration, spread: f64, chance: u128) -> Duration {
    let ttl = ttl.min(LONGEST);
    let spread = if spread.is_finite() { spread.clamp(0.0, 1.0) } else { 0.0 };
    // 53 bits make a number in 0..1, twice that less one a number in -1..1.
    let between = (chance >> 75) as f64 / (1_u64 << 53) as f64;
    ttl.mul_f64(1.0 + spread * (2.0 * between - 1.0))
}

/// What may be served past its time, and what is refreshed before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stale {
    /// How long past its time an entry is served while one caller refreshes it.
    pub(crate) while_revalidate: Duration,
    /// How long past its time an entry is served when its load fails.
    pub(crate) if_error: Duration,
    /// Whether that goes for one that was invalidated.
    pub(crate) even_invalidated: bool,
    /// After how long of waiting an entry past its time is served.
    pub(crate) soft_timeout: Option<Duration>,
    /// By how many load times an entry is refreshed before its time, more or less.
    pub(crate) early: Option<f64>,
    /// How long an entry lives that nobody reads.
    pub(crate) idle: Option<Duration>,
}

impl Stale {
    pub(crate) const NONE: Self = Self {
        while_revalidate: Duration::ZERO,
        if_error: Duration::ZERO,
        even_invalidated: false,
        soft_timeout: None,
        early: None,
        idle: None,
    };

    /// How long past its time an entry may be of use.
    pub(crate) fn window(&self) -> Duration {
        self.while_revalidate.max(self.if_error).min(LONGEST)
    }

    /// How long an entry is kept that may be served for `fresh`.
    pub(crate) fn life(&self, fresh: Duration) -> Duration {
        let life = fresh.saturating_add(self.window());
        self.idle.map_or(life, |idle| life.min(idle))
    }
}

/// The last part of a time-to-live, in which an entry may be refreshed early.
pub(crate) fn early_window(ttl: Duration) -> Duration {
    ttl / 10
}

/// Whether to refresh an entry now that may be served for `remaining` of its `ttl`, and whose load took `load`: the more likely, the sooner it ends and the longer its load takes.
///
/// After A. Vattani, F. Chierichetti, K. Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", PVLDB 8(8), 2015. In theirs nothing bounds the lead. Here it is a tenth of the time-to-live at most:
/// a load that is measured while the source is overloaded looks long, and would be made again ever sooner.
pub(crate) fn is_due_early(remaining: Duration, ttl: Duration, load: Duration, beta: f64, chance: u128) -> bool {
    let beta = if beta.is_finite() { beta.max(0.0) } else { 0.0 };
    // In 0..=1, and never zero.
    let chance = ((chance >> 75) + 1) as f64 / (1_u64 << 53) as f64;
    let lead = load.as_secs_f64() * beta * -chance.ln();
    remaining <= early_window(ttl) && remaining.as_secs_f64() <= lead
}

/// How long the tokens of an entry live: longer than the entry.
pub(crate) fn token_life(ttl: Option<Duration>) -> Duration {
    ttl.map_or(TOKEN_LIFE_UNKNOWN, |ttl| (ttl.min(LONGEST) * 3).max(TOKEN_LIFE))
}

/// Pauses between looks at what another process is doing: an eighth of the wait so far, so that nobody waits much longer than it takes. Each is shortened by chance, so
/// that waiters do not move in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    waited: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new((shortest, longest): (Duration, Duration)) -> Self {
        Self { waited: Duration::ZERO, shortest, longest }
    }

    pub(crate) fn next(&mut self, chance: u128) -> Duration {
        let pause = (self.waited / 8).max(self.shortest).min(self.longest).max(Duration::from_millis(1));
        let pause = pause.mul_f64(0.75 + 0.25 * ((chance >> 75) as f64 / (1_u64 << 53) as f64));
        self.waited += pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn jitter_stays_within_its_spread(ttl in 0..1_000_000_u64, spread in 0.0..1.0, chance in any::<u128>()) {
            let ttl = Duration::from_millis(ttl);
            let jittered = jittered(ttl, spread, chance);
            let slack = Duration::from_micros(1);
            prop_assert!(jittered <= ttl.mul_f64(1.0 + spread) + slack);
            prop_assert!(jittered + slack >= ttl.mul_f64(1.0 - spread));
        }

        #[test]
        fn pauses_never_pass_the_longest(chances in prop::collection::vec(any::<u128>(), 1..40)) {
            let longest = Duration::from_millis(250);
            let mut backoff = Backoff::new((Duration::from_millis(5), longest));
            for chance in chances {
                let waited = backoff.waited;
                let pause = backoff.next(chance);
                prop_assert!(pause <= longest);
                prop_assert!(pause <= (waited / 8).max(Duration::from_millis(5)));
                prop_assert!(!pause.is_zero());
            }
        }
    }

    #[test]
    fn an_early_refresh_is_sure_at_the_end_and_never_before_the_last_tenth() {
        let (ttl, load) = (Duration::from_secs(100), Duration::from_secs(1));
        assert!(is_due_early(Duration::ZERO, ttl, load, 1.0, u128::MAX));
        assert!(!is_due_early(Duration::from_secs(11), ttl, Duration::from_secs(1000), 1.0, 0));
        assert!(!is_due_early(Duration::from_secs(5), ttl, load, f64::NAN, 0));
    }

    #[test]
    fn an_early_refresh_comes_as_often_as_its_formula_says() {
        let (ttl, load) = (Duration::from_secs(100), Duration::from_secs(1));
        let share = |remaining| {
            let due = |n: u128| is_due_early(Duration::from_secs_f64(remaining), ttl, load, 1.0, (2 * n + 1) << 117);
            (0..1024).filter(|n| due(*n)).count() as f64 / 1024.0
        };
        // The chance that an exponentially distributed lead is longer than what remains.
        for remaining in [0.1_f64, 0.5, 1.0, 2.0, 3.0] {
            assert!((share(remaining) - (-remaining).exp()).abs() < 0.01, "{remaining}: {}", share(remaining));
        }
    }

    #[test]
    fn an_entry_is_kept_for_as_long_as_it_may_be_of_use() {
        let seconds = Duration::from_secs;
        let stale = Stale { while_revalidate: seconds(30), if_error: seconds(60), ..Stale::NONE };
        assert_eq!(stale.life(seconds(10)), seconds(70));
        assert_eq!(Stale { idle: Some(seconds(5)), ..stale }.life(seconds(10)), seconds(5));
        assert_eq!(Stale::NONE.life(seconds(10)), seconds(10));
    }

    #[test]
    fn a_time_to_live_that_asks_no_value_is_known_before_there_is_one() {
        fn fixed(ttl: &impl TimeToLive<u64>) -> Option<Duration> {
            ttl.fixed()
        }
        static SITE: Site = Site::cached("policy", "fixed").ttl(Duration::from_secs(7));
        let ttl = Duration::from_secs(7);
        let unless = Unless { ttl, unless: |_: &u64| true };
        let negatively = Negatively { ttl: unless, negative: |_: &String| true, error: PhantomData };
        assert_eq!([fixed(&Unset(&SITE)), fixed(&unless), fixed(&negatively)], [Some(ttl); 3]);
        assert_eq!(fixed(&|seconds: &u64| Duration::from_secs(*seconds)), None);
    }

    #[test]
    fn jitter_reaches_both_ends() {
        let ttl = Duration::from_secs(100);
        assert_eq!(jittered(ttl, 0.1, 0), Duration::from_secs(90));
        assert!(jittered(ttl, 0.1, u128::MAX) > Duration::from_millis(109_999));
        assert_eq!(jittered(ttl, f64::NAN, 5), ttl);
    }
}
