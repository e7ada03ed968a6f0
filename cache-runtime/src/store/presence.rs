//! Whether a server is there: what callers wait for at first, why nobody is there, and how soon that is tried again.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::lock;
use crate::store::StoreError;

/// What attempts to connect have come to.
#[derive(Debug)]
pub(crate) struct Presence {
    /// Whether the first attempt has ended.
    tried: watch::Sender<bool>,
    /// Why the last one came to nothing.
    reason: Mutex<String>,
}

/// How long to wait before the next attempt: longer after each that failed, from 50 ms to 1 s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause(Duration);

impl Presence {
    /// Before the first attempt, of which `reason` says that there was none.
    pub(crate) fn new(reason: &str) -> Self {
        Self { tried: watch::Sender::new(false), reason: Mutex::new(reason.to_owned()) }
    }

    /// Whether the first attempt has ended.
    pub(crate) fn is_tried(&self) -> bool {
        *self.tried.borrow()
    }

    /// Ends when the first attempt has ended.
    pub(crate) async fn tried(&self) {
        // The sender lives as long as this.
        let _ = self.tried.subscribe().wait_for(|&tried| tried).await;
    }

    /// An attempt has ended. Says whether it was the first.
    pub(crate) fn try_ended(&self) -> bool {
        !self.tried.send_replace(true)
    }

    /// Nobody is there, for this reason. Says whether that is another than before.
    pub(crate) fn note(&self, why: &str) -> bool {
        let mut reason = lock(&self.reason);
        let is_another = *reason != why;
        why.clone_into(&mut reason);
        is_another
    }

    /// Why nobody is there, as the error of every call.
    pub(crate) fn gone(&self) -> StoreError {
        StoreError::Gone(lock(&self.reason).clone())
    }
}

impl Pause {
    pub(crate) const NONE: Self = Self(Duration::ZERO);

    /// Waits, a little less each time, so that the processes of a fleet do not try in step.
    pub(crate) async fn wait(self) {
        tokio::time::sleep(self.0.mul_f64(rand::random_range(0.5..1.0))).await;
    }

    /// The one after an attempt that failed.
    pub(crate) fn next(self) -> Self {
        Self((self.0 * 2).clamp(FIRST, LONGEST))
    }

    /// None after a connection that had lasted.
    pub(crate) fn unless_lasted(self, since: Instant) -> Self {
        if since.elapsed() < LASTING { self } else { Self::NONE }
    }
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// A connection that ended sooner is not replaced at once.
const LASTING: Duration = Duration::from_secs(1);
