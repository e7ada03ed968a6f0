//! What runs in the simulation, and what is asked of it afterwards.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use crate::breaker;
use crate::breaker::Breaker;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::core::Core;
use crate::core::Settings;
use crate::core::lock;
use crate::debt::Debts;
use crate::entry::Entry;
use crate::epoch;
use crate::host::Host as _;
use crate::host::Task;
use crate::invalidation::Invalidation;
use crate::invalidation::Mode;
use crate::local::Capacity;
use crate::local::Local;
use crate::metrics::Counts;
use crate::outcome::Outcome as Kind;
use crate::outcome::returns;
use crate::sim::executor::World;
use crate::sim::faulty::Faults;
use crate::sim::faulty::Faulty;
use crate::sim::faulty::Way;
use crate::sim::history::History;
use crate::sim::history::Row;
use crate::sim::history::Violation;
use crate::sim::plan::Mutant;
use crate::sim::plan::Outcome;
use crate::sim::plan::Plan;
use crate::sim::plan::break_rule;
use crate::sim::plan::broken;
use crate::site::Site;
use crate::store::shielded::Shielded;
use crate::token::Register;

static READ: Site = Site::cached("sim", "read").key("row:{row}").tags(&["rows", "row:{row}"]);
static PAIR: Site = Site::cached("sim", "pair").key("pair:{one}:{other}");
static ALL: Site = Site::cached("sim", "all").key("all");
static WRITE_KEY: Site = Site::invalidates("sim", "write_key").keys(&["row:{row}"]);
static WRITE_TAG: Site = Site::invalidates("sim", "write_tag").tags(&["row:{row}"]);
static WRITE_BROAD: Site = Site::invalidates("sim", "write_broad").keys(&["row:{row}"]).tags(&["rows"]);

const ROWS: u64 = 3;
const TTL: Duration = Duration::from_secs(2);
const JITTER: f64 = 0.1;
/// How far behind a replica is at most, in milliseconds.
const LAG: u64 = 400;
const GRACE: Duration = Duration::from_millis(LAG);

/// Runs the simulation of `seed`.
pub fn run(seed: u64, plan: Plan) -> Outcome {
    let world = World::new(seed);
    let stage = Arc::new(Stage::new(&world, plan));
    let ended = world.run(stage.clone().play(), Duration::from_secs(600));
    world.end();
    if !ended {
        stage.violate("somebody waits for ever");
    }
    stage.judge();
    let mut counts = Counts::default();
    stage.processes.iter().for_each(|process| counts += process.stats().total);
    Outcome {
        hits: counts.hits,
        joined: counts.joined,
        stale: counts.stale,
        shed: counts.shed,
        violations: std::mem::take(&mut *lock(&stage.violations)),
        reads: stage.reads.load(Ordering::SeqCst),
        mutations: stage.mutations.load(Ordering::SeqCst),
        history: stage.history.take(),
    }
}

/// A value: which commits it was made of, and when the oldest of its loads began.
type Value = (Vec<(Row, u64)>, u64);
type Loaded = Result<Value, String>;

/// The database, the processes that use it, and what is known of them.
struct Stage {
    world: World,
    plan: Plan,
    /// Few readers of one key, slow loads, many repeats and little loss: what seldom meets otherwise meets often.
    narrow: bool,
    rows: Vec<AtomicU64>,
    /// The same as loads read them.
    replica: Vec<AtomicU64>,
    remote: Option<Faulty>,
    /// The ways of the processes to it.
    ways: Vec<Faulty>,
    local: Option<Arc<Local>>,
    processes: Vec<Cache>,
    /// The clocks of the processes, as they tell each other the time.
    clocks: Vec<Clock>,
    /// How many loads ask the source in each process. One inside of another does so in that one's place.
    loading: Vec<AtomicUsize>,
    history: History,
    violations: Mutex<Vec<Violation>>,
    reads: AtomicUsize,
    mutations: AtomicUsize,
    calm: std::sync::atomic::AtomicBool,
}

impl Stage {
    fn new(world: &World, plan: Plan) -> Self {
        let narrow = !plan.peaceful && !plan.away && world.happens(40);
        let severity = if plan.peaceful { 0 } else { world.below(4) };
        let faults = if plan.away {
            Faults { lost_request: 100, ..Faults::default() }
        } else {
            Faults {
                // Otherwise the journal has little to deliver.
                lost_request: if (plan.replica || plan.clears) && !plan.peaceful { 10 * severity } else { severity },
                lost_reply: severity,
                repeated: if narrow { 60 } else { 3 * severity },
                late: 2 * severity,
            }
        };
        let mut stage = Self {
            world: world.clone(),
            plan,
            narrow,
            rows: (0..ROWS).map(|_| AtomicU64::new(0)).collect(),
            replica: (0..ROWS).map(|_| AtomicU64::new(0)).collect(),
            remote: None,
            ways: Vec::new(),
            local: None,
            processes: Vec::new(),
            clocks: (0..2).map(|_| world.clock.of_another_machine()).collect(),
            loading: (0..2).map(|_| AtomicUsize::new(0)).collect(),
            history: History::default(),
            violations: Mutex::default(),
            reads: AtomicUsize::default(),
            mutations: AtomicUsize::default(),
            calm: Default::default(),
        };
        if plan.in_process {
            let local = Arc::new(Local::new(Capacity::Entries(100), world.clock.clone()));
            let mut core = core(world, local.clone(), plan);
            core.local = Some(local.clone());
            stage.processes.push(Cache::from_core(core));
            stage.local = Some(local);
        } else {
            let mut store = Faulty::new(world, faults, broken(plan.mutant));
            store.keeps_marks = plan.replica;
            for clock in &stage.clocks {
                let way = store.for_a_process();
                let core = Core { clock: clock.clone(), ..outside(world, &way, plan) };
                stage.processes.push(Cache::from_core(core));
                stage.ways.push(way);
            }
            stage.remote = Some(store);
        }
        stage
    }

    /// Lets everybody act, and then sees whether the world has come to rest.
    async fn play(self: Arc<Self>) {
        let actors = Arc::new(AtomicUsize::new(0));
        let readers = if self.narrow { 1 + self.world.below(3) } else { 4 + self.world.below(8) };
        for number in 0..readers {
            self.act(&actors, self.clone().be_reader(number));
        }
        if !self.plan.read_only {
            for number in 0..1 + self.world.below(3) {
                self.act(&actors, self.clone().be_mutator(number));
            }
        }
        if self.plan.clears {
            self.act(&actors, self.clone().be_operator());
        }
        if !self.plan.peaceful {
            self.world.spawn(Box::pin(self.clone().be_nemesis()));
        }
        while actors.load(Ordering::SeqCst) > 0 {
            self.world.sleep(Duration::from_millis(50)).await;
        }
        self.calm.store(true, Ordering::SeqCst);
        if !self.plan.away {
            self.come_to_rest().await;
        }
    }

    fn act(self: &Arc<Self>, actors: &Arc<AtomicUsize>, actor: impl Future<Output = ()> + Send + 'static) {
        actors.fetch_add(1, Ordering::SeqCst);
        let actors = actors.clone();
        self.world.spawn(Box::pin(async move {
            actor.await;
            actors.fetch_sub(1, Ordering::SeqCst);
        }));
    }

    async fn be_reader(self: Arc<Self>, number: u64) {
        // A replica is behind for longer than most readers would read.
        let least = if self.plan.replica || self.plan.clears { 12 } else { 3 };
        for _ in 0..least + self.world.below(6) {
            self.world.sleep(self.world.moment_up_to(if self.plan.clears { 1000 } else { 120 })).await;
            let process = self.process();
            let reading = self.clone().read(process, format!("reader {number}"));
            self.perhaps_dropped(reading).await;
        }
    }

    async fn be_mutator(self: Arc<Self>, number: u64) {
        for _ in 0..1 + self.world.below(5) {
            self.world.sleep(self.world.moment_up_to(200)).await;
            let process = self.process();
            let mutation = self.clone().mutate(process, format!("mutator {number}"));
            self.perhaps_dropped(mutation).await;
        }
    }

    /// Writes past the mutators, and empties the namespace.
    async fn be_operator(self: Arc<Self>) {
        for _ in 0..1 + self.world.below(3) {
            self.world.sleep(self.world.moment_up_to(3000)).await;
            let (process, row) = (self.process(), self.world.below(ROWS));
            let number = self.clone().write(row).await;
            let delivery = process.clear().await;
            self.history.note(format!("the namespace is emptied after commit {number} of row {row}: {delivery:?}"));
            let stage = self.clone();
            self.world.spawn(Box::pin(async move {
                while process.core().journal.is_busy() {
                    stage.world.sleep(Duration::from_millis(10)).await;
                }
                stage.is_seen_at_once(&process, row, number).await;
                stage.is_in_force(row, number).await;
            }));
        }
    }

    /// Who has emptied the namespace serves nothing from before that.
    async fn is_seen_at_once(self: &Arc<Self>, process: &Cache, row: Row, number: u64) {
        let of = Reader { process: process.clone(), takes_old: false };
        let value = self.clone().read_row(of, row).await;
        if value.is_ok_and(|(saw, _)| saw[0].1 < number) {
            self.violate(&format!("commit {number} of row {row} is not seen where the namespace was emptied"));
        }
    }

    /// Evicts and restarts for as long as anybody acts.
    async fn be_nemesis(self: Arc<Self>) {
        while !self.calm.load(Ordering::SeqCst) {
            self.world
                .sleep(self.world.moment_up_to(if self.narrow || self.plan.replica || self.plan.clears {
                    1000
                } else {
                    60
                }))
                .await;
            if let Some(store) = &self.remote {
                let forgets = self.plan.mutant.is_none() || self.plan.rolls_back;
                if self.plan.rolls_back && self.world.happens(30) {
                    store.take_snapshot();
                    self.history.note("a snapshot of the store is taken");
                } else if self.plan.rolls_back && self.world.happens(20) && store.roll_back() {
                    self.history.note("the store comes back with its last snapshot");
                } else if self.world.happens(2) && forgets && !self.plan.replica {
                    store.restart_empty();
                    self.history.note("the store restarts empty");
                } else if let Some(slot) = store.evict() {
                    self.history.note(format!("evicted {slot:?}"));
                }
            }
            if let Some(local) = &self.local {
                self.evict_locally(local);
            }
            // What is broken on purpose shall be met often, and not be spared by a store that is away.
            if self.plan.mutant.is_none() && self.world.happens(10) {
                self.change_a_way();
            }
            if self.plan.lenient && self.world.happens(3) {
                self.set_a_clock();
            }
        }
    }

    /// Sets a process's clock forward or back by some seconds.
    fn set_a_clock(&self) {
        let number = self.world.below(self.clocks.len() as u64) as usize;
        let ahead = self.world.below(6000) as i64 - 3000;
        self.history.note(format!("the clock of process {number} is set to {ahead} ms ahead"));
        self.clocks[number].set_ahead(ahead);
    }

    /// Cuts a process off from the store, makes its way a slow one, or mends it.
    fn change_a_way(&self) {
        let number = self.world.below(self.ways.len() as u64) as usize;
        let Some(store) = self.ways.get(number) else { return };
        let way = match self.world.below(6) {
            0 => Way::CutOff,
            1 => Way::Slowly,
            _ => Way::Well,
        };
        self.history.note(format!("process {number} reaches the store: {way:?}"));
        store.reach(way);
    }

    fn evict_locally(&self, local: &Local) {
        let row = self.world.below(ROWS);
        match self.world.below(4) {
            // A tag goes with the marks on it.
            1 | 2 if self.plan.replica => {}
            0 => local.evict(&name(&format!("row:{row}"))),
            1 => local.evict_register(&Register::Tag(name("rows"))),
            2 => local.evict_register(&Register::Tag(name(&format!("row:{row}")))),
            _ => local.evict_register(&Register::Key(name(&format!("row:{row}")))),
        }
    }

    /// Runs `future`, or drops it at some await.
    async fn perhaps_dropped(&self, future: impl Future<Output = ()> + Send) {
        let mut polls = match !self.plan.peaceful && self.world.happens(15) {
            true => self.world.below(12),
            false => u64::MAX,
        };
        let mut future: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(future);
        std::future::poll_fn(move |context| {
            if polls == 0 {
                return Poll::Ready(());
            }
            polls -= 1;
            future.as_mut().poll(context)
        })
        .await;
    }

    async fn read(self: Arc<Self>, process: Cache, who: String) {
        let (from, began) = (self.history.tick(), self.world.clock.now());
        let of = Reader { process, takes_old: self.plan.lenient && self.world.happens(60) };
        // By a clock that was set back, what others keep past its time is not past it.
        let window = if self.plan.lenient { WINDOW } else { Duration::ZERO };
        let value = match self.world.below(4) {
            _ if self.narrow => self.clone().read_row(of, 0).await,
            0 => self.clone().read_all(of).await,
            1 => self.clone().read_pair(of, self.world.below(ROWS), self.world.below(ROWS)).await,
            _ => self.clone().read_row(of, self.world.below(ROWS)).await,
        };
        let took = self.world.clock.now().since(began);
        if took > LONGEST_READ {
            self.violate(&format!("{who} waited {took:?}"));
        }
        if let Ok((saw, oldest)) = value {
            let age = self.world.clock.wall().saturating_sub(oldest);
            let single = saw.len() == 1;
            if single && Duration::from_millis(age) > self.ttl().mul_f64(1.0 + JITTER) + window + took + LONGEST_LOAD {
                self.violate(&format!("{who} was given a value of {age} ms"));
            }
            self.history.read(&who, from, saw);
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn read_row(self: Arc<Self>, of: Reader, row: Row) -> Task<Loaded> {
        let entry = of.process.entry(&READ, returns::<Loaded>().kind()).key(&[&row]).tags(&[&row]);
        Box::pin(self.leniently(entry, &of).get_or_load(async move {
            let _running = self.running(&of);
            let from = self.history.tick();
            let began = self.world.clock.wall();
            self.world.sleep(self.world.moment_up_to(15)).await;
            let rows = if self.plan.replica { &self.replica } else { &self.rows };
            let number = rows[row as usize].load(Ordering::SeqCst);
            // Some are slow enough that a mutation, and a command delivered again after it, come in between.
            let longest = if self.world.happens(if self.narrow { 50 } else { 5 }) { 300 } else { 40 };
            self.world.sleep(self.world.moment_up_to(longest)).await;
            self.history.load(from, &format!("row:{row}"));
            if !self.plan.read_only && self.world.happens(8) {
                return Err("the source is down".to_owned());
            }
            Ok((vec![(row, number)], began))
        }))
    }

    fn read_pair(self: Arc<Self>, of: Reader, one: Row, other: Row) -> Task<Loaded> {
        let entry = of.process.entry(&PAIR, returns::<Loaded>().kind()).key(&[&one, &other]);
        Box::pin(self.leniently(entry, &of).get_or_load(async move {
            let (mut saw, oldest) = self.clone().read_row(of.clone(), one).await?;
            let (more, other_oldest) = self.clone().read_row(of.clone(), other).await?;
            saw.extend(more);
            Ok((saw, oldest.min(other_oldest)))
        }))
    }

    fn read_all(self: Arc<Self>, of: Reader) -> Task<Loaded> {
        let entry = of.process.entry(&ALL, returns::<Loaded>().kind());
        Box::pin(self.leniently(entry, &of).get_or_load(async move {
            let (mut saw, oldest) = self.clone().read_pair(of.clone(), 0, 1).await?;
            let (more, other_oldest) = self.clone().read_row(of.clone(), 2).await?;
            saw.extend(more);
            Ok((saw, oldest.min(other_oldest)))
        }))
    }

    fn ttl(&self) -> Duration {
        match self.plan {
            // Long enough that nothing is mended by it that has two seconds to be.
            Plan { clears: true, .. } => Duration::from_secs(30),
            Plan { lenient: true, .. } => SHORT_TTL,
            _ => TTL,
        }
    }

    /// An entry as this reader asks for it.
    fn leniently<K: Kind>(&self, entry: Entry<K>, of: &Reader) -> Entry<K, Duration> {
        let entry = entry.ttl(self.ttl()).jitter(JITTER);
        if !of.takes_old {
            return entry;
        }
        let entry = entry.stale_while_revalidate(WINDOW / 2).stale_if_error(WINDOW).soft_timeout(SHORT_TTL);
        entry.early_refresh(1.0).time_to_idle(2 * WINDOW)
    }

    /// Counts a load while it runs, and sees that no more of them do than may.
    fn running(self: &Arc<Self>, of: &Reader) -> Option<Running> {
        let number = self.processes.iter().position(|process| Arc::ptr_eq(process.core(), of.process.core()))?;
        let running = self.loading[number].fetch_add(1, Ordering::SeqCst) + 1;
        // Whoever finds none in time loads all the same.
        let turned_away = of.process.stats().total.overloaded as usize;
        if self.plan.lenient && running > PLACES + turned_away {
            self.violate(&format!("{running} loads at once in a process that has places for {PLACES}"));
        }
        Some(Running { stage: self.clone(), number })
    }

    async fn mutate(self: Arc<Self>, process: Cache, who: String) {
        let row = if self.narrow { 0 } else { self.world.below(ROWS) };
        let mode = match self.world.below(3) {
            _ if self.plan.mutant == Some(Mutant::NoInvalidationOnError) => Mode::After,
            _ if self.plan.linearizable || self.plan.mutant.is_none() && self.world.happens(20) => Mode::Linearizable,
            0 => Mode::After,
            _ => Mode::Guarded,
        };
        let invalidation = self.invalidation(&process, row);
        let registers = [
            Register::Key(name(&format!("row:{row}"))),
            Register::Tag(name(&format!("row:{row}"))),
            Register::Tag(name("rows")),
        ];
        self.history.note(format!("{who} begins to write row {row}, {mode:?}"));
        let forgets = self.plan.mutant == Some(Mutant::NoInvalidationOnError) && self.world.happens(50);
        let number = match forgets {
            true => self.clone().write(row).await,
            false => invalidation.mode(mode).grace(self.grace()).run(self.clone().write(row)).await,
        };
        self.mutations.fetch_add(1, Ordering::SeqCst);
        if process.core().journal.holds(&registers) {
            self.history.note(format!("{who} could not say that commit {number} of row {row} happened"));
            let stage = self.clone();
            self.world.spawn(Box::pin(async move {
                while process.core().journal.holds(&registers) {
                    stage.world.sleep(Duration::from_millis(10)).await;
                }
                stage.is_in_force(row, number).await;
            }));
        } else if self.plan.replica {
            let stage = self.clone();
            self.world.spawn(Box::pin(async move { stage.is_in_force(row, number).await }));
        } else {
            self.history.invalidated(row, number);
        }
    }

    /// Its invalidation is confirmed, and holds once its grace is over.
    async fn is_in_force(&self, row: Row, number: u64) {
        // What empties the namespace, for want of a better word or of room in the journal, is heard of everywhere a little later.
        let heard = if self.plan.clears { epoch::LIMIT + Duration::from_millis(1) } else { Duration::ZERO };
        self.world.sleep(self.grace() + heard).await;
        self.history.invalidated(row, number);
    }

    fn grace(&self) -> Duration {
        if self.plan.replica { GRACE } else { Duration::ZERO }
    }

    fn invalidation(&self, process: &Cache, row: Row) -> Invalidation {
        match if self.narrow { 0 } else { self.world.below(3) } {
            0 => process.invalidation(&WRITE_KEY).keys(&[&row]),
            1 => process.invalidation(&WRITE_TAG).tags(&[&row]),
            _ => process.invalidation(&WRITE_BROAD).keys(&[&row]),
        }
    }

    async fn write(self: Arc<Self>, row: Row) -> u64 {
        self.world.sleep(self.world.moment_up_to(40)).await;
        let from = self.history.tick();
        let number = self.rows[row as usize].fetch_add(1, Ordering::SeqCst) + 1;
        self.history.commit(from, row, number);
        if self.plan.replica {
            self.world.spawn(Box::pin(self.clone().replicate(row, number)));
        }
        self.world.sleep(self.world.moment_up_to(40)).await;
        number
    }

    async fn replicate(self: Arc<Self>, row: Row, number: u64) {
        self.world.sleep(self.world.moment_up_to(LAG)).await;
        self.replica[row as usize].fetch_max(number, Ordering::SeqCst);
    }

    /// Nothing goes wrong any more: within a few seconds every read is of today, without any time-to-live.
    async fn come_to_rest(self: &Arc<Self>) {
        if let Some(store) = &self.remote {
            store.calm_down();
        }
        let mut waited = 0;
        while self.processes.iter().any(|process| process.pending() > 0) {
            waited += 1;
            if waited > 200 {
                return self.violate("an invalidation is never delivered");
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        let rest = if self.plan.replica {
            // Shorter than the time-to-live, which would mend it.
            2 * GRACE
        } else if self.plan.mutant.is_some() {
            Duration::ZERO
        } else {
            Settings::default().guard + Duration::from_secs(1)
        };
        self.world.sleep(rest).await;
        for process in self.processes.clone() {
            for row in 0..ROWS {
                let of = Reader { process: process.clone(), takes_old: false };
                let value = self.clone().read_row(of, row).await;
                let now = self.rows[row as usize].load(Ordering::SeqCst);
                if value.is_ok_and(|(saw, _)| saw != [(row, now)]) {
                    self.violate(&format!("row {row} is still stale when all is over"));
                }
            }
        }
        self.world.sleep(Duration::from_secs(1)).await;
        for process in &self.processes {
            if process.core().flights.len() > 0 {
                self.violate("a flight is left when all is over");
            }
        }
    }

    fn judge(&self) {
        let strict = self.plan.linearizable && self.plan.peaceful;
        for violation in self.history.violations(strict) {
            lock(&self.violations).push(violation);
        }
        for (key, (together, in_all)) in self.history.loads() {
            let processes = self.processes.len();
            if self.plan.away && together > processes {
                self.violate(&format!("{together} loads of {key} at one time in {processes} processes"));
            }
            if self.plan.read_only
                && self.plan.peaceful
                && !self.plan.away
                && (together > 1 || in_all > MOST_GENERATIONS)
            {
                self.violate(&format!("{in_all} loads of {key}, {together} of them at one time"));
            }
        }
    }

    fn violate(&self, what: &str) {
        lock(&self.violations).push(Violation(what.to_owned()));
    }

    fn process(&self) -> Cache {
        self.processes[self.world.below(self.processes.len() as u64) as usize].clone()
    }
}

/// Who reads, and how.
#[derive(Clone)]
struct Reader {
    process: Cache,
    /// Whether it takes values past their time.
    takes_old: bool,
}

/// A load that runs.
struct Running {
    stage: Arc<Stage>,
    number: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stage.loading[self.number].fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long values live where some readers take them past their time, and for how long they do.
const SHORT_TTL: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_millis(600);
/// What is given to those who joined a load is as old as that.
const LONGEST_LOAD: Duration = Duration::from_millis(315);
/// How many loads run at once there.
const PLACES: usize = 2;

/// The longest wait, the slowest nested load after it, and what the store's deadlines add to that.
const LONGEST_READ: Duration = Duration::from_secs(16);
/// How often a row may be loaded in a peaceful run because its time-to-live has passed.
const MOST_GENERATIONS: usize = 4;

/// The engine of a process on a store outside of it, behind a breaker.
fn outside(world: &World, way: &Faulty, plan: Plan) -> Core {
    // One that loses as much as this one does is rarely asked for long, so it is without a breaker in most worlds.
    if plan.mutant.is_some() || world.happens(70) {
        return core(world, Arc::new(way.clone()), plan);
    }
    let (debts, host) = (Debts::default(), Arc::new(world.clone()));
    let breaker = Breaker::new(breaker::Limits::default(), world.clock.clone(), host, debts.to(0));
    let store = Shielded::new(Arc::new(way.clone()), Arc::new(breaker));
    core(world, Arc::new(store), plan).owing(debts)
}

fn core(world: &World, store: Arc<dyn crate::store::Store>, plan: Plan) -> Core {
    let mut settings = Settings::default();
    if plan.lenient {
        settings.bulkhead.loads = PLACES;
    }
    if plan.clears {
        settings.journal_capacity = world.below(3) as usize;
    }
    let mut core = Core::new(store, Arc::new(world.clone()), world.clock.clone(), settings);
    break_rule(&mut core, plan.mutant);
    core
}

fn name(text: &str) -> crate::key::Name {
    crate::key::Name::new(text.as_bytes())
}
