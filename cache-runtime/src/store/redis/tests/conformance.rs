use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::store::Store;
use crate::store::conformance;
use crate::store::conformance::Subject;
use crate::store::conformance::Waiting;
use crate::store::redis::Redis;
use crate::store::redis::server::Server;
use crate::store::redis::settings;

struct Real(Arc<Redis>);

impl Real {
    fn at(url: &str) -> Self {
        let settings = settings(url).unwrap().op_timeout(Duration::from_secs(5));
        Self(Arc::new(Redis::new(settings, Handle::current()).unwrap()))
    }
}

impl Subject for Real {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn advance(&self, by: Duration) -> Waiting<'_> {
        Box::pin(tokio::time::sleep(by))
    }
}

#[tokio::test]
async fn redis_conforms() {
    let server = Server::start();
    conformance::all(&Real::at(&server.url())).await;
}

#[tokio::test]
async fn redis_on_a_socket_conforms() {
    let server = Server::start();
    conformance::all(&Real::at(&server.socket_url())).await;
}
