//! The store of a cache that could not be set up: never there.

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

/// Answers everything with the reason why it is off. Every call loads, and nothing is stored that others could not invalidate.
#[derive(Debug)]
pub(crate) struct Off(pub(crate) String);

impl Off {
    fn refuse<T: Send + 'static>(&self) -> Reply<'_, T> {
        Box::pin(std::future::ready(Err(StoreError::Gone(self.0.clone()))))
    }
}

impl Store for Off {
    fn keeps(&self) -> Keeps {
        Keeps::Bytes
    }

    fn read(&self, _: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        self.refuse()
    }

    fn begin(&self, _: Begin) -> Reply<'_, Begun> {
        self.refuse()
    }

    fn renew(&self, _: Name, _: LeaseId, _: Generation, _: std::time::Duration) -> Reply<'_, bool> {
        self.refuse()
    }

    fn release(&self, _: Name, _: LeaseId) -> Reply<'_, ()> {
        self.refuse()
    }

    fn fill(&self, _: Fill) -> Reply<'_, bool> {
        self.refuse()
    }

    fn touch(&self, _: Name, _: std::time::Duration) -> Reply<'_, ()> {
        self.refuse()
    }

    fn mark(&self, _: Targets, _: Mark) -> Reply<'_, ()> {
        self.refuse()
    }

    fn revoke(&self, _: Targets, _: Option<MarkId>) -> Reply<'_, ()> {
        self.refuse()
    }

    fn lists(&self) -> bool {
        true
    }

    fn listed(&self, _: Name, _: Option<u64>) -> Reply<'_, Page> {
        self.refuse()
    }

    fn discard(&self, _: Name, _: Vec<Gone>) -> Reply<'_, u64> {
        self.refuse()
    }
}
