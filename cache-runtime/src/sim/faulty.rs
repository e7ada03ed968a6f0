//! A store at the other end of a network that loses, delays and repeats.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::core::lock;
use crate::host::Host as _;
use crate::host::within;
use crate::key::Name;
use crate::sim::executor::World;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::Targets;
use crate::store::model::Broken;
use crate::store::model::Held;
use crate::store::model::Model;
use crate::store::model::Slot;
use crate::store::model::Step;
use crate::store::model::Value;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;

/// How often what goes wrong, in percent of all operations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lost_request: u64,
    pub(crate) lost_reply: u64,
    pub(crate) repeated: u64,
    /// Later than the caller waits.
    pub(crate) late: u64,
}

/// How one process reaches the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Well = 0,
    /// Nothing comes through, in no direction.
    CutOff = 1,
    /// Everything comes later than the caller waits.
    Slowly = 2,
}

/// The model of a store, and the way to it.
#[derive(Clone)]
pub(crate) struct Faulty {
    world: World,
    model: Arc<Mutex<Model>>,
    snapshot: Arc<Mutex<Option<BTreeMap<Slot, Held>>>>,
    faults: Faults,
    /// How the process that has this clone reaches it.
    way: Arc<AtomicU64>,
    /// Whether marks are never evicted.
    pub(crate) keeps_marks: bool,
    /// Nothing goes wrong any more.
    calm: Arc<AtomicBool>,
}

const DEADLINE: Duration = Duration::from_millis(100);
/// How long an operation that is not late takes each way, in milliseconds.
const WAY: u64 = 8;

impl Faulty {
    pub(crate) fn new(world: &World, faults: Faults, broken: Broken) -> Self {
        let source = world.clone();
        let mut model = Model::new(move || source.random());
        model.broken = broken;
        Self {
            world: world.clone(),
            model: Arc::new(Mutex::new(model)),
            snapshot: Arc::default(),
            faults,
            way: Arc::default(),
            keeps_marks: false,
            calm: Arc::default(),
        }
    }

    /// The same store as another process reaches it.
    pub(crate) fn for_a_process(&self) -> Self {
        Self { way: Arc::default(), ..self.clone() }
    }

    /// From here on this process reaches it like that.
    pub(crate) fn reach(&self, way: Way) {
        self.way.store(way as u64, Ordering::SeqCst);
    }

    fn is(&self, way: Way) -> bool {
        !self.calm.load(Ordering::SeqCst) && self.way.load(Ordering::SeqCst) == way as u64
    }

    /// Nothing goes wrong from here on.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// Loses one thing that the store holds, whatever it is, and says what.
    pub(crate) fn evict(&self) -> Option<Slot> {
        let mut model = lock(&self.model);
        let evicted = |held: &Held| !(self.keeps_marks && matches!(held.value, Value::Marks(_)));
        let slots =
            model.slots.iter().filter(|(_, held)| evicted(held)).map(|(slot, _)| slot.clone()).collect::<Vec<_>>();
        let slot = slots.get(self.world.below(slots.len() as u64) as usize)?.clone();
        model.evict(&slot);
        Some(slot)
    }

    /// Loses everything, as a restart does.
    pub(crate) fn restart_empty(&self) {
        lock(&self.model).flush();
    }

    /// Notes what the store holds, to come back with it.
    pub(crate) fn take_snapshot(&self) {
        *lock(&self.snapshot) = Some(lock(&self.model).slots.clone());
    }

    /// Comes back with what it held when a snapshot was last taken, if one was.
    pub(crate) fn roll_back(&self) -> bool {
        let snapshot = lock(&self.snapshot).clone();
        let rolls = snapshot.is_some();
        if let Some(slots) = snapshot {
            lock(&self.model).roll_back(slots);
        }
        rolls
    }

    fn now(&self) -> u64 {
        self.world.clock.now().0
    }

    fn goes_wrong(&self, percent: u64) -> bool {
        !self.calm.load(Ordering::SeqCst) && self.world.happens(percent)
    }

    /// Sends an operation, which is done on its own, also when the caller has gone or waits no more.
    fn send<T: Send + 'static>(
        &self,
        work: impl Fn(Self) -> Reply<'static, T> + Send + Sync + 'static,
    ) -> Reply<'_, T> {
        let (reply, answer) = oneshot::channel();
        let work = Arc::new(work);
        if !self.is(Way::CutOff) && !self.goes_wrong(self.faults.lost_request) {
            let late = if self.is(Way::Slowly) || self.goes_wrong(self.faults.late) { 400 } else { WAY };
            self.deliver(late, Some(reply), work.clone());
            if self.goes_wrong(self.faults.repeated) {
                // Soon enough to meet what the first began, or long after it.
                let late = if self.world.happens(50) { 200 } else { 600 };
                self.deliver(late, None, work);
            }
        }
        Box::pin(async move {
            let answer = async {
                match answer.await {
                    Ok(answer) => answer,
                    // Lost on the way: only the deadline tells.
                    Err(_) => std::future::pending().await,
                }
            };
            let answered = within(&self.world, DEADLINE, answer).await;
            answered.unwrap_or_else(|| Err(StoreError::Late))
        })
    }

    fn deliver<T: Send + 'static>(
        &self,
        delay: u64,
        reply: Option<oneshot::Sender<Result<T, StoreError>>>,
        work: Arc<impl Fn(Self) -> Reply<'static, T> + Send + Sync + 'static>,
    ) {
        let store = self.clone();
        let (there, back) = (self.world.moment_up_to(delay), self.world.moment_up_to(WAY));
        let lost = self.goes_wrong(self.faults.lost_reply);
        self.world.spawn(Box::pin(async move {
            store.world.sleep(there).await;
            let done = work(store.clone()).await;
            store.world.sleep(back).await;
            if store.is(Way::Slowly) {
                store.world.sleep(DEADLINE).await;
            }
            if let Some(reply) = reply.filter(|_| !lost && !store.is(Way::CutOff)) {
                // The caller may have gone.
                let _ = reply.send(done);
            }
        }));
    }

    fn at_once<T: Send + 'static>(
        &self,
        operation: impl Fn(&mut Model, u64) -> T + Send + Sync + 'static,
    ) -> Reply<'_, T> {
        let operation = Arc::new(operation);
        self.send(move |store| {
            let operation = operation.clone();
            Box::pin(async move { Ok(operation(&mut lock(&store.model), store.now())) })
        })
    }
}

impl Store for Faulty {
    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        self.at_once(move |model, now| reads.iter().map(|read| model.read(now, read)).collect())
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        self.at_once(move |model, now| model.begin(now, &begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        self.at_once(move |model, now| model.renew(now, &key, lease, generation, life))
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.at_once(move |model, now| model.release(now, &key, lease))
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        self.at_once(move |model, now| model.fill(now, &fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        self.at_once(move |model, now| model.touch(now, &key, life))
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        self.at_once(move |model, now| model.mark(now, &targets, &mark))
    }

    /// In steps, as where a key's slots cannot be deleted in one command, with anything in between.
    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        self.send(move |store| {
            let steps: Vec<Step> = lock(&store.model).revoke_steps(&targets, ended);
            Box::pin(async move {
                for step in steps {
                    lock(&store.model).apply(store.now(), &step);
                    store.world.sleep(store.world.moment_up_to(10)).await;
                }
                Ok(())
            })
        })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).finish_non_exhaustive()
    }
}
