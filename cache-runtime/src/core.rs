//! The engine's parts, and how long each thing may take.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use quick_cache::sync::Cache as Hints;
use tokio::sync::oneshot;

use crate::breaker;
use crate::bulkhead;
use crate::bulkhead::Bulkheads;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::closing::Closing;
use crate::coder::Value;
use crate::debt::Debts;
use crate::envelope::Packing;
use crate::epoch::Epoch;
use crate::flight::Flights;
use crate::host::Host;
use crate::host::SharedHost;
use crate::host::Task;
use crate::journal::Journal;
use crate::key::Name;
use crate::key::Secret;
use crate::lease::Right;
use crate::local::Local;
use crate::metrics::Metrics;
use crate::store::Keeps;
use crate::store::Store;
use crate::tag_sets::TagSets;
use crate::token::Dependency;
use crate::token::Register;

/// Everything that one cache consists of.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    /// The same store, when it is the in-process one: its hits need no detour.
    pub(crate) local: Option<Arc<Local>>,
    pub(crate) host: SharedHost,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) flights: Arc<Flights<Right, Loaded>>,
    pub(crate) metrics: Metrics,
    pub(crate) journal: Journal,
    pub(crate) bulkheads: Bulkheads,
    /// When entries that die of not being read were last said to be read.
    pub(crate) touched: Hints<Name, Moment>,
    pub(crate) closing: Closing,
    /// What is known of the namespace's epoch, on a store outside of this process. Within it, what is emptied is empty.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) tag_sets: TagSets,
    /// What entries inherited when they were last seen, so that a hit on a nested entry reads that in the same round trip.
    pub(crate) inherited: Hints<Name, Arc<[Register]>>,
    /// The rule that this cache breaks, as a negative control.
    #[cfg(feature = "sim")]
    pub(crate) broken: Option<Rule>,
}

/// What the protocol rests on, each breakable in the simulation to show that it would be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Tokens are captured before the load.
    #[cfg(feature = "sim")]
    CaptureBeforeLoad,
    /// A load that read other entries is not shared by what was seen of its own lease.
    InheritedLoads,
    /// What a load reads through other cached functions it depends on.
    InnerDependencies,
    /// An entry is served only as the type and the version that it was stored as.
    TypeOfEntry,
    /// A value past its time is served only if what it depends on stands.
    StaleStands,
    /// A load has a place before it begins.
    Places,
    /// A lease that another holds is left to it.
    OneLease,
    /// Fills stay refused for a while after a mutation that says so.
    Grace,
    /// They do also when the store could not be told at once.
    JournaledGrace,
    /// What the journal cannot hold empties the namespace.
    Overflow,
    /// The epoch of the namespace is read again and again.
    #[cfg(feature = "sim")]
    EpochIsRead,
    /// Who removes it knows nothing of it from then on.
    EpochIsForgotten,
}

/// How long things may take, and how large they may be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The most a store operation takes.
    pub(crate) op_timeout: Duration,
    /// The most a first connection takes.
    pub(crate) connect_timeout: Duration,
    /// When a store that does not answer is not asked any more, and for how long.
    pub(crate) breaker: breaker::Limits,
    /// How many loads run at once.
    pub(crate) bulkhead: bulkhead::Limits,
    /// How long a lease lives without being renewed.
    pub(crate) lease: Duration,
    /// How long a lease is renewed at most.
    pub(crate) max_load: Duration,
    /// The most a caller waits for another's load.
    pub(crate) max_wait: Duration,
    /// The shortest and the longest pause between two looks at the store while another process loads.
    pub(crate) poll: (Duration, Duration),
    /// How long the mark of a mutation lives without being renewed.
    pub(crate) guard: Duration,
    /// The longest a mutation stays guarded unless it says otherwise.
    pub(crate) hold_off: Duration,
    /// How far a time-to-live is spread unless the entry says otherwise.
    pub(crate) jitter: f64,
    /// The most keys and tags whose invalidation waits to be delivered.
    pub(crate) journal_capacity: usize,
    /// The most tags and keys that one entry depends on.
    pub(crate) max_dependencies: usize,
    /// The largest encoded value that is stored, in bytes.
    pub(crate) max_entry: usize,
    /// What hides parts of keys that are hashed.
    pub(crate) secret: Option<Secret>,
    /// What metrics say that the cache is called.
    pub(crate) namespace: Arc<str>,
    /// In which form values are written to a store outside of this process.
    pub(crate) packing: Packing,
    /// The largest encoded value that the in-process store keeps, if that is bounded in bytes: values are weighed then.
    pub(crate) heaviest: Option<u64>,
    /// The most entries of a tag that are listed, if any are.
    pub(crate) tag_sets: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            op_timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
            breaker: breaker::Limits::default(),
            bulkhead: bulkhead::Limits::default(),
            lease: Duration::from_secs(3),
            max_load: Duration::from_secs(30),
            max_wait: Duration::from_secs(10),
            poll: (Duration::from_millis(5), Duration::from_millis(250)),
            guard: Duration::from_secs(3),
            hold_off: Duration::from_secs(60),
            jitter: 0.1,
            journal_capacity: 100_000,
            max_dependencies: 64,
            max_entry: 1 << 20,
            secret: None,
            namespace: "cache".into(),
            packing: Packing::default(),
            heaviest: None,
            tag_sets: None,
        }
    }
}

/// What a load landed with, for everybody who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The value, or `None` if the function said that there is nothing.
    pub(crate) value: Option<Value>,
    /// What it depends on, as of before the load; `None` if that is not known.
    pub(crate) dependencies: Option<Arc<[Dependency]>>,
}

impl Core {
    pub(crate) fn new(store: Arc<dyn Store>, host: Arc<dyn Host>, clock: Clock, settings: Settings) -> Self {
        let (metrics, bulkhead) = (Metrics::new(&settings.namespace), settings.bulkhead);
        let tag_sets = TagSets::new(settings.tag_sets.filter(|_| store.lists()));
        let epoch = (store.keeps() == Keeps::Bytes).then(Epoch::default);
        Self {
            store,
            local: None,
            host,
            clock,
            settings,
            flights: Arc::new(Flights::new()),
            metrics,
            journal: Journal::new(Debts::default()),
            bulkheads: Bulkheads::new(bulkhead),
            touched: Hints::new(10_000),
            closing: Closing::default(),
            epoch,
            tag_sets,
            inherited: Hints::new(10_000),
            #[cfg(feature = "sim")]
            broken: None,
        }
    }

    /// Writes what it owes its store into `debts`, which somebody between it and the store looks at.
    #[cfg(any(feature = "redis", feature = "memcached", feature = "test-util", feature = "sim"))]
    pub(crate) fn owing(mut self, debts: Debts) -> Self {
        self.journal = Journal::new(debts);
        self
    }

    /// What tells this cache from others.
    pub(crate) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// Whether this cache breaks `rule`. Never, but in the simulation.
    pub(crate) fn breaks(&self, rule: Rule) -> bool {
        #[cfg(feature = "sim")]
        return self.broken == Some(rule);
        #[cfg(not(feature = "sim"))]
        {
            let _ = rule;
            false
        }
    }

    /// Takes a `turn` at every `pause`, beside the caller, until the sender is dropped, a turn says that it was the last, or the cache is gone.
    pub(crate) fn keep_on<F>(self: &Arc<Self>, pause: Duration, turn: F) -> oneshot::Sender<()>
    where
        F: Fn(Arc<Self>) -> Task<bool> + Send + 'static,
    {
        let (hold, mut ended) = oneshot::channel();
        let (weak, host) = (Arc::downgrade(self), self.host.clone());
        self.host.spawn(Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut ended => return,
                    () = host.sleep(pause) => {}
                }
                let Some(core) = weak.upgrade() else { return };
                if !turn(core).await {
                    return;
                }
            }
        }));
        hold
    }

    /// Runs `task` off the caller's path; at once if the store is in process, where it has nothing to wait for.
    pub(crate) fn finish(self: &Arc<Self>, mut task: Task) {
        if self.store.keeps() == Keeps::Values {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if task.as_mut().poll(&mut context).is_ready() {
                return;
            }
        }
        let working = self.working();
        self.host.spawn(Box::pin(async move {
            task.await;
            drop(working);
        }));
    }
}

/// Locks `mutex`; what a panic left behind is whole, because no code of ours panics half-way through a change.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
