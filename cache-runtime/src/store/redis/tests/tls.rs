//! Encrypted connections, and who may have one.

use super::conformance::Real;
use super::*;
use crate::store::certificates::Certificates;
use crate::store::conformance;
use crate::store::redis::server::Cluster;
use crate::store::redis::server::SentinelSet;

async fn reason(url: &str) -> String {
    let settings = settings(url).unwrap().op_timeout(Duration::from_secs(5));
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    match store.read(vec![read_of("k", &[])]).await {
        Err(StoreError::Gone(reason)) => reason,
        other => panic!("{url}: {other:?}"),
    }
}

/// The address of servers that encrypt, for who shows a certificate.
fn encrypted(url: &str, certificates: &Certificates) -> String {
    format!("{}?{}", url.replacen("redis", "rediss", 1), certificates.of_client())
}

#[tokio::test]
async fn redis_that_encrypts_conforms() {
    let certificates = Arc::new(Certificates::new());
    let server = Server::start_encrypting(&certificates, &[]);
    conformance::all(&Real::at(&encrypted(&server.url(), &certificates))).await;
}

#[tokio::test]
async fn nobody_is_spoken_to_who_is_not_trusted_and_nobody_is_let_in_who_shows_nothing() {
    let certificates = Arc::new(Certificates::new());
    let server = Server::start_encrypting(&certificates, &[]);
    let (url, bare) = (encrypted(&server.url(), &certificates), server.url().replace("redis", "rediss"));
    let stranger = reason(&bare).await;
    assert!(stranger.contains("UnknownIssuer"), "{stranger}");
    let other_name = reason(&url.replace("127.0.0.1", "localhost")).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let nobody = reason(&format!("{bare}?{}", certificates.of_nobody())).await;
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
    let plain = Server::start();
    let plain = reason(&encrypted(&plain.url(), &certificates)).await;
    assert!(plain.contains("encrypt") || plain.contains("no connection in time"), "{plain}");
    let in_the_clear = reason(&server.url()).await;
    assert!(!in_the_clear.is_empty());
}

#[test]
fn what_is_wrong_with_a_file_is_said_when_the_store_is_made() {
    let certificates = Certificates::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = encrypted("redis://127.0.0.1", &certificates);
    let wrong = [
        (url.replace("ca.pem", "none.pem"), "none.pem` cannot be used: No such file"),
        (url.replace("ca.pem", "client.key"), "client.key` cannot be used: there is no certificate in it"),
        (url.replace("client.key", "client.pem"), "client.pem` cannot be used: there is no private key in it"),
        (url.replace("client.key", "server.key"), "cannot be shown to a server"),
    ];
    for (url, expected) in wrong {
        let settings = settings(&url).unwrap();
        let error = Redis::new(settings, runtime.handle().clone(), breakers()).map(|_| "a store").unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_connection_heals() {
    let certificates = Arc::new(Certificates::new());
    let server = Server::start_encrypting(&certificates, &[]);
    let settings = settings(&encrypted(&server.url(), &certificates)).unwrap().namespace("test").op_timeout(DEADLINE);
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    healed(&store).await;
    server.restart();
    // The call that finds out may be this one.
    let _ = store.read(vec![read_of("k", &[])]).await;
    healed(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_behind_sentinels_that_encrypt_conforms_and_is_followed() {
    let certificates = Arc::new(Certificates::new());
    let set = tokio::task::block_in_place(|| SentinelSet::start_encrypting(&certificates));
    let url = encrypted(&set.url(), &certificates);
    let real = Real::at(&url);
    conformance::all(&real).await;
    let master = tokio::task::block_in_place(|| set.failover());
    let store = Redis::new(settings(&url).unwrap().namespace("test"), Handle::current(), breakers()).unwrap();
    healed(&store).await;
    assert!(load(&store, "k", 1, &[], "v").await);
    assert_eq!(set.servers()[master].command(&["EXISTS", "test:e:{k}"]).unwrap(), "1");
    let others = Certificates::new();
    let stranger = reason(&encrypted(&set.url(), &others)).await;
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_encrypts_conforms_and_is_followed() {
    let certificates = Arc::new(Certificates::new());
    let cluster = tokio::task::block_in_place(|| Cluster::start_encrypting(&certificates));
    let url = encrypted(&cluster.url(), &certificates);
    conformance::all(&Real::at(&url)).await;
    let settings = settings(&url).unwrap().namespace("test").op_timeout(PATIENT);
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    assert!(load(&store, "k", 1, &[], "v").await);
    // Where it is now is said by a redirection first.
    let replica = tokio::task::block_in_place(|| {
        let replica = cluster.replica_of(cluster.owner(cluster.slot_of("{k}")));
        cluster.failover(replica, "");
        replica
    });
    let began = Instant::now();
    while store.read(vec![read_of("k", &[])]).await.is_err() || cluster.nodes()[replica].calls("mget") == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "the new master is not read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
