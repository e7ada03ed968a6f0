use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::store::Store;
use crate::store::conformance;
use crate::store::conformance::Subject;
use crate::store::conformance::Waiting;
use crate::store::memcached::Memcached;
use crate::store::memcached::server;
use crate::store::memcached::settings;

struct Real(Arc<dyn Store>);

impl Subject for Real {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn advance(&self, by: Duration) -> Waiting<'_> {
        Box::pin(tokio::time::sleep(by))
    }

    fn later(&self) -> Duration {
        // What is told to live for a part of a second lives for less than two.
        Duration::from_millis(2200)
    }
}

#[tokio::test]
async fn memcached_conforms() {
    let server = server::Memcached::start();
    let settings = settings(&server.url()).unwrap().op_timeout(Duration::from_secs(5));
    let store = Memcached::new(&settings, &settings.servers[0], Handle::current());
    conformance::all_together(&Real(Arc::new(store))).await;
}
