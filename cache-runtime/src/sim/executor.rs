//! A world of one thread, where chance decides who runs next and time passes only when nobody can.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::core::lock;
use crate::host::Host;
use crate::host::Task;

/// The world, shared by everybody in it.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
    pub(crate) clock: Clock,
}

struct Inner {
    chance: Mutex<StdRng>,
    ready: Arc<Mutex<Vec<u64>>>,
    /// Tasks by number; a task is taken out while it runs.
    tasks: Mutex<BTreeMap<u64, Task>>,
    next: Mutex<u64>,
    timers: Mutex<BTreeMap<(Moment, u64), Waker>>,
}

struct Ready {
    task: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        let mut ready = lock(&self.ready);
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let inner = Inner {
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            ready: Arc::default(),
            tasks: Mutex::default(),
            next: Mutex::default(),
            timers: Mutex::default(),
        };
        Self { inner: Arc::new(inner), clock: Clock::held() }
    }

    /// A number below `below`.
    pub(crate) fn below(&self, below: u64) -> u64 {
        lock(&self.inner.chance).random_range(0..below.max(1))
    }

    /// Whether something happens that happens in `percent` of all cases.
    pub(crate) fn happens(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Between nothing and `most` milliseconds.
    pub(crate) fn moment_up_to(&self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }

    /// Runs `until` and all that is spawned; `false` if `limit` passes first or nothing can run any more.
    pub(crate) fn run(&self, until: impl Future<Output = ()> + Send + 'static, limit: Duration) -> bool {
        let done = Arc::new(Mutex::new(false));
        let at_the_end = done.clone();
        self.spawn(Box::pin(async move {
            until.await;
            *lock(&at_the_end) = true;
        }));
        let limit = self.clock.now().after(limit);
        while !*lock(&done) {
            if !self.step(limit) {
                return false;
            }
        }
        true
    }

    /// Lets one task run, or time pass; `false` if neither can be.
    fn step(&self, limit: Moment) -> bool {
        let ready = {
            let mut ready = lock(&self.inner.ready);
            let count = ready.len() as u64;
            if count == 0 { None } else { Some(ready.swap_remove(self.below(count) as usize)) }
        };
        match ready {
            Some(task) => {
                self.poll(task);
                true
            }
            None => self.pass_time(limit),
        }
    }

    fn poll(&self, number: u64) {
        // One that has ended may still be woken.
        let Some(mut task) = lock(&self.inner.tasks).remove(&number) else { return };
        let waker = Waker::from(Arc::new(Ready { task: number, ready: self.inner.ready.clone() }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            lock(&self.inner.tasks).insert(number, task);
        }
    }

    fn pass_time(&self, limit: Moment) -> bool {
        let first = lock(&self.inner.timers).pop_first();
        let Some(((when, _), waker)) = first else { return false };
        if when > limit {
            return false;
        }
        self.clock.advance(when.since(self.clock.now()));
        waker.wake();
        true
    }

    /// Drops everything that still runs, as the end of the world.
    pub(crate) fn end(&self) {
        let tasks = std::mem::take(&mut *lock(&self.inner.tasks));
        drop(tasks);
        lock(&self.inner.timers).clear();
    }

    fn number(&self) -> u64 {
        let mut next = lock(&self.inner.next);
        *next += 1;
        *next
    }
}

impl Host for World {
    fn spawn(&self, task: Task) {
        let number = self.number();
        lock(&self.inner.tasks).insert(number, task);
        lock(&self.inner.ready).push(number);
    }

    fn sleep(&self, duration: Duration) -> Task {
        let (world, when, number) = (self.clone(), self.clock.now().after(duration), self.number());
        Box::pin(std::future::poll_fn(move |context| {
            if world.clock.now() >= when {
                return Poll::Ready(());
            }
            lock(&world.inner.timers).insert((when, number), context.waker().clone());
            Poll::Pending
        }))
    }

    fn random(&self) -> u128 {
        lock(&self.inner.chance).random()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
