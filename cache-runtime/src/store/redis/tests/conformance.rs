use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::store::Store;
use crate::store::conformance;
use crate::store::conformance::Subject;
use crate::store::conformance::Waiting;
use crate::store::redis::Redis;
use crate::store::redis::server::Cluster;
use crate::store::redis::server::Server;
use crate::store::redis::settings;
use crate::store::redis::tests::breakers;
use crate::store::same;
use crate::store::witnesses::Witnessed;

pub(super) struct Real(Arc<dyn Store>);

impl Real {
    pub(super) fn at(url: &str) -> Self {
        let settings = settings(url).unwrap().op_timeout(Duration::from_secs(5));
        let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
        // As a cache has it.
        match store.debts() {
            Some(_) => {
                let witnesses = store.witnesses();
                Self(Arc::new(Witnessed::new(Arc::new(store), witnesses)))
            }
            None => Self(Arc::new(store)),
        }
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
async fn redis_and_the_model_answer_alike() {
    let server = Server::start();
    same::answer_alike(&*Real::at(&server.url()).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_the_model_answer_alike() {
    let cluster = tokio::task::block_in_place(Cluster::start);
    same::answer_alike(&*Real::at(&cluster.url()).0).await;
}

#[tokio::test]
async fn redis_on_a_socket_conforms() {
    let server = Server::start();
    conformance::all(&Real::at(&server.socket_url())).await;
}

#[tokio::test]
async fn another_database_conforms() {
    let server = Server::start();
    conformance::all(&Real::at(&format!("{}/7?client_name=shop-7", server.url()))).await;
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
}
