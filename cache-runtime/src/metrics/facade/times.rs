//! How long the operations of a remote store take.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::Histogram;

use crate::key::Name;
use crate::metrics::Operation;
use crate::metrics::Timer;
use crate::metrics::facade::describe;
use crate::store::Begin;
use crate::store::Begun;
use crate::store::Fill;
use crate::store::Keeps;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Reading;
use crate::store::Reply;
use crate::store::Store;
use crate::store::Targets;
use crate::store::listing::Gone;
use crate::store::listing::Page;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;

/// A store, and what is known of its speed.
pub(crate) struct Timed {
    store: Arc<dyn Store>,
    namespace: Arc<str>,
    /// For each operation: answered, and failed.
    times: [[OnceLock<Histogram>; 2]; OPERATIONS],
}

const OPERATIONS: usize = Operation::Discard as usize + 1;

impl Timed {
    pub(crate) fn new(store: Arc<dyn Store>, namespace: Arc<str>) -> Self {
        Self { store, namespace, times: std::array::from_fn(|_| [const { OnceLock::new() }; 2]) }
    }

    fn time<'a, T: 'a>(&'a self, operation: Operation, reply: Reply<'a, T>) -> Reply<'a, T> {
        Box::pin(async move {
            let timer = Timer::start();
            let replied = reply.await;
            self.note(operation, replied.is_err(), timer.elapsed());
            replied
        })
    }

    fn note(&self, operation: Operation, failed: bool, took: Duration) {
        let times = &self.times[operation as usize][usize::from(failed)];
        times.get_or_init(|| self.histogram(operation, failed)).record(took);
    }

    #[cold]
    fn histogram(&self, operation: Operation, failed: bool) -> Histogram {
        const NAME: &str = "cache_store_seconds";
        describe(NAME);
        let outcome = if failed { "error" } else { "ok" };
        ::metrics::histogram!(
            NAME, "namespace" => self.namespace.to_string(), "operation" => operation.name(), "outcome" => outcome
        )
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Timed {
    fn keeps(&self) -> Keeps {
        self.store.keeps()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.store.ready()
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        self.time(Operation::Read, self.store.read(reads))
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        self.time(Operation::Begin, self.store.begin(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        self.time(Operation::Renew, self.store.renew(key, lease, generation, life))
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.time(Operation::Release, self.store.release(key, lease))
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        self.time(Operation::Fill, self.store.fill(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        self.time(Operation::Touch, self.store.touch(key, life))
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        self.time(Operation::Touch, self.store.live_on(registers, life))
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        self.time(Operation::Mark, self.store.mark(targets, mark))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        self.time(Operation::Revoke, self.store.revoke(targets, ended))
    }

    fn lists(&self) -> bool {
        self.store.lists()
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        self.time(Operation::List, self.store.listed(tag, from))
    }

    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        self.time(Operation::Discard, self.store.discard(tag, gone))
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}
