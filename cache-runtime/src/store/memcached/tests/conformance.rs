use super::*;
use crate::store::conformance;
use crate::store::conformance::Subject;
use crate::store::conformance::Waiting;
use crate::store::same;

pub(super) struct Real(pub(super) Arc<dyn Store>);

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
    conformance::all_together(&Real(store(&server, PATIENT))).await;
}

#[tokio::test]
async fn one_server_and_the_model_answer_alike() {
    let server = server::Memcached::start();
    same::answer_alike(&*store(&server, PATIENT)).await;
}

#[tokio::test]
async fn three_servers_and_the_model_answer_alike() {
    let servers = [(); 3].map(|()| server::Memcached::start());
    same::answer_alike(&*fleet(&servers, PATIENT).0).await;
}

#[tokio::test]
async fn three_servers_conform() {
    let servers = [(); 3].map(|()| server::Memcached::start());
    conformance::all_together(&Real(fleet(&servers, PATIENT).0)).await;
}
