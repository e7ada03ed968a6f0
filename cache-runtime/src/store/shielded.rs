//! A store behind a breaker.
//!
//! Calls that are shed fail at once. Invalidations are never shed: each is tried, and one that succeeds is as good a probe as any.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::Breaker;
use crate::breaker::Health;
use crate::breaker::Pass;
use crate::key::Name;
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
use crate::store::listing::Gone;
use crate::store::listing::Page;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;

/// See the module.
pub(crate) struct Shielded {
    store: Arc<dyn Store>,
    breaker: Arc<Breaker>,
}

impl Shielded {
    pub(crate) fn new(store: Arc<dyn Store>, breaker: Arc<Breaker>) -> Self {
        Self { store, breaker }
    }

    /// Asks the store, or sheds the call.
    #[inline]
    fn ask<'a, T: Send + 'a>(&'a self, call: impl FnOnce(&'a dyn Store) -> Reply<'a, T>) -> Reply<'a, T> {
        let Some(pass) = self.breaker.admit() else {
            return Box::pin(std::future::ready(Err(StoreError::Shed)));
        };
        watched(call(&*self.store), pass)
    }

    /// Tells the store what is stale.
    fn tell<'a, T: Send + 'a>(&'a self, call: impl FnOnce(&'a dyn Store) -> Reply<'a, T>) -> Reply<'a, T> {
        let pass = self.breaker.admit_urgent();
        watched(call(&*self.store), pass)
    }
}

/// Says what a call came to when it has ended.
fn watched<'a, T: Send + 'a>(reply: Reply<'a, T>, pass: Pass<'a>) -> Reply<'a, T> {
    Box::pin(async move {
        let replied = reply.await;
        pass.end(health(&replied));
        replied
    })
}

pub(crate) fn health<T>(replied: &Result<T, StoreError>) -> Health {
    match replied {
        Ok(_) | Err(StoreError::Refused(_)) => Health::Well,
        Err(StoreError::Away(_)) => Health::Failing,
        Err(StoreError::Late | StoreError::Unfit(_)) => Health::Late,
        Err(StoreError::Gone(_) | StoreError::Shed) => Health::Gone,
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Shielded {
    fn keeps(&self) -> Keeps {
        self.store.keeps()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.store.ready()
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        self.ask(|store| store.read(reads))
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        self.ask(|store| store.begin(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        self.ask(|store| store.renew(key, lease, generation, life))
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.ask(|store| store.release(key, lease))
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        self.ask(|store| store.fill(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        self.ask(|store| store.touch(key, life))
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        self.ask(|store| store.live_on(registers, life))
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        if mark.late {
            self.tell(|store| store.mark(targets, mark))
        } else {
            self.ask(|store| store.mark(targets, mark))
        }
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        self.tell(|store| store.revoke(targets, ended))
    }

    fn lists(&self) -> bool {
        self.store.lists()
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        self.ask(|store| store.listed(tag, from))
    }

    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        self.ask(|store| store.discard(tag, gone))
    }
}

impl fmt::Debug for Shielded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}
