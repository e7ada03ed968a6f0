//! A host on which time passes when a test says so, and everything runs on the test's own runtime.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::core::lock;
use crate::host::Host;
use crate::host::Task;

/// See the module.
#[derive(Debug)]
pub(crate) struct Held {
    now: watch::Sender<Duration>,
    asked: Mutex<Vec<Duration>>,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { now: watch::channel(Duration::ZERO).0, asked: Mutex::default() }
    }

    /// Lets time pass, and then everything run that can.
    pub(crate) async fn pass(&self, time: Duration) {
        self.now.send_modify(|now| *now += time);
        rest().await;
    }

    /// How long each of those wanted to sleep who began to since this was last asked.
    pub(crate) fn asked(&self) -> Vec<Duration> {
        std::mem::take(&mut *lock(&self.asked))
    }
}

impl Host for Held {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn sleep(&self, duration: Duration) -> Task {
        lock(&self.asked).push(duration);
        let mut now = self.now.subscribe();
        let due = now.borrow().saturating_add(duration);
        Box::pin(async move { drop(now.wait_for(|now| *now >= due).await) })
    }

    /// Of chance nothing is left in the lower half, so that pauses are as long as they may be.
    fn random(&self) -> u128 {
        rand::random::<u128>() | u128::from(u64::MAX)
    }
}

/// Lets everything run that can.
pub(crate) async fn rest() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
