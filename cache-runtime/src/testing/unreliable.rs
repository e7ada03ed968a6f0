//! A store with faults in front of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::clock::Clock;
use crate::host::SharedHost;
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
use crate::testing::GLANCE;
use crate::testing::faults::Faults;
use crate::testing::faults::Pace;
use crate::testing::faults::Purpose;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;

/// Lets an operation through, late or never.
#[derive(Debug)]
pub(super) struct Unreliable {
    pub(super) store: Arc<dyn Store>,
    pub(super) faults: Faults,
    pub(super) host: SharedHost,
    pub(super) clock: Clock,
    /// The most that an operation is held up, in real time.
    pub(super) limit: Duration,
}

impl Unreliable {
    /// Sends an operation to the store behind, if it may go there.
    fn send<'a, T: Send + 'a>(
        &'a self,
        purpose: Purpose,
        operation: impl FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'a,
    ) -> Reply<'a, T> {
        Box::pin(async move {
            self.pass(purpose).await?;
            operation(&*self.store).await
        })
    }

    async fn pass(&self, purpose: Purpose) -> Result<(), StoreError> {
        let (asked, began) = (self.clock.now(), Instant::now());
        loop {
            match self.faults.pace(purpose) {
                None => return Err(StoreError::Away("the test says so".to_owned())),
                Some(Pace::AtOnce) => return Ok(()),
                Some(Pace::Slow(delay)) if self.clock.now().since(asked) >= delay => return Ok(()),
                Some(Pace::Slow(_) | Pace::Hanging) if began.elapsed() >= self.limit => {
                    return Err(StoreError::Late);
                }
                Some(Pace::Slow(_) | Pace::Hanging) => self.host.sleep(GLANCE).await,
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Unreliable {
    fn keeps(&self) -> Keeps {
        self.store.keeps()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.store.ready()
    }

    fn read(&self, reads: Vec<Read>) -> Reply<'_, Vec<Reading>> {
        self.send(Purpose::Read, |store| store.read(reads))
    }

    fn begin(&self, begin: Begin) -> Reply<'_, Begun> {
        self.send(Purpose::Fill, |store| store.begin(begin))
    }

    fn renew(&self, key: Name, lease: LeaseId, generation: Generation, life: Duration) -> Reply<'_, bool> {
        self.send(Purpose::Fill, move |store| store.renew(key, lease, generation, life))
    }

    fn release(&self, key: Name, lease: LeaseId) -> Reply<'_, ()> {
        self.send(Purpose::Fill, move |store| store.release(key, lease))
    }

    fn fill(&self, fill: Fill) -> Reply<'_, bool> {
        self.send(Purpose::Fill, |store| store.fill(fill))
    }

    fn touch(&self, key: Name, life: Duration) -> Reply<'_, ()> {
        self.send(Purpose::Fill, move |store| store.touch(key, life))
    }

    fn live_on(&self, registers: Vec<Register>, life: Duration) -> Reply<'_, ()> {
        self.send(Purpose::Fill, move |store| store.live_on(registers, life))
    }

    fn mark(&self, targets: Targets, mark: Mark) -> Reply<'_, ()> {
        self.send(Purpose::Invalidate, move |store| store.mark(targets, mark))
    }

    fn revoke(&self, targets: Targets, ended: Option<MarkId>) -> Reply<'_, ()> {
        self.send(Purpose::Invalidate, move |store| store.revoke(targets, ended))
    }

    fn lists(&self) -> bool {
        self.store.lists()
    }

    fn listed(&self, tag: Name, from: Option<u64>) -> Reply<'_, Page> {
        self.send(Purpose::Read, move |store| store.listed(tag, from))
    }

    fn discard(&self, tag: Name, gone: Vec<Gone>) -> Reply<'_, u64> {
        self.send(Purpose::Fill, move |store| store.discard(tag, gone))
    }
}
