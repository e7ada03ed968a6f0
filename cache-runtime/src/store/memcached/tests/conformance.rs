use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::store::Store;
use crate::store::conformance;
use crate::store::conformance::Subject;
use crate::store::conformance::Waiting;
use crate::store::fleet::Fleet;
use crate::store::fleet::Ring;
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

#[tokio::test]
async fn three_servers_conform() {
    let servers = [(); 3].map(|()| server::Memcached::start());
    let settings = settings(&server::Memcached::url_of(&servers)).unwrap().op_timeout(Duration::from_secs(5));
    let node = |server: &String| -> Arc<dyn Store> { Arc::new(Memcached::new(&settings, server, Handle::current())) };
    let nodes = settings.servers.iter().map(node).collect();
    let fleet = Fleet::new(nodes, Arc::new(Ring::new(&settings.servers)));
    conformance::all_together(&Real(Arc::new(fleet))).await;
}
