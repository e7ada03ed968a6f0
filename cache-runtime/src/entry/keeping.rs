//! How long what a handle names is kept, without the type of what is asked.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::policy::TimeToLive;

/// How long what a [`Handle`](crate::Handle) names is kept: a duration, or what asks the value.
#[derive(Clone)]
pub struct Keeping(Kept);

#[derive(Clone)]
enum Kept {
    For(Duration),
    Asked(Box<dyn Ask>),
}

impl Keeping {
    pub(super) fn new<V: Any, T: TimeToLive<V> + Clone + Send + Sync + 'static>(ttl: T) -> Self {
        Self(match (&ttl as &dyn Any).downcast_ref::<Duration>() {
            Some(ttl) => Kept::For(*ttl),
            None => Kept::Asked(Box::new(Asked { ttl, value: PhantomData::<fn(V)> })),
        })
    }
}

impl<V: Any> TimeToLive<V> for Keeping {
    fn of(&self, value: &V) -> Duration {
        match &self.0 {
            Kept::For(ttl) => *ttl,
            Kept::Asked(ttl) => ttl.of(value),
        }
    }

    fn fixed(&self) -> Option<Duration> {
        match &self.0 {
            Kept::For(ttl) => Some(*ttl),
            Kept::Asked(ttl) => ttl.fixed(),
        }
    }

    fn keeps(&self, error: &dyn Any) -> bool {
        matches!(&self.0, Kept::Asked(ttl) if ttl.keeps(error))
    }
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::For(ttl) => f.debug_tuple("Keeping").field(ttl).finish(),
            Kept::Asked(_) => f.debug_struct("Keeping").finish_non_exhaustive(),
        }
    }
}

/// A time-to-live that asks a value, without the type of that. Boxed, one that captures nothing takes no memory.
trait Ask: Send + Sync {
    fn of(&self, value: &dyn Any) -> Duration;
    fn fixed(&self) -> Option<Duration>;
    fn keeps(&self, error: &dyn Any) -> bool;
    fn again(&self) -> Box<dyn Ask>;
}

struct Asked<V, T> {
    ttl: T,
    value: PhantomData<fn(V)>,
}

impl<V: Any, T: TimeToLive<V> + Clone + Send + Sync + 'static> Ask for Asked<V, T> {
    fn of(&self, value: &dyn Any) -> Duration {
        // A handle asks with values of its own type only; another would not be kept.
        value.downcast_ref().map_or(Duration::ZERO, |value| self.ttl.of(value))
    }

    fn fixed(&self) -> Option<Duration> {
        self.ttl.fixed()
    }

    fn keeps(&self, error: &dyn Any) -> bool {
        self.ttl.keeps(error)
    }

    fn again(&self) -> Box<dyn Ask> {
        Box::new(Self { ttl: self.ttl.clone(), value: PhantomData })
    }
}

impl Clone for Box<dyn Ask> {
    fn clone(&self) -> Self {
        (**self).again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Unless;

    #[test]
    fn a_handle_knows_before_there_is_a_value_what_its_entry_knows() {
        let ttl = Duration::from_secs(7);
        let fixed = |keeping: Keeping| TimeToLive::<u64>::fixed(&keeping);
        assert_eq!(fixed(Keeping::new::<u64, _>(ttl)), Some(ttl));
        assert_eq!(fixed(Keeping::new::<u64, _>(Unless { ttl, unless: |_: &u64| true })), Some(ttl));
        assert_eq!(fixed(Keeping::new::<u64, _>(|_: &u64| Duration::from_secs(7))), None);
    }
}
