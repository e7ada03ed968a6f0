//! Encrypted connections, and who may have one.

use super::conformance::Real;
use super::*;
use crate::store::certificates::Certificates;
use crate::store::conformance;

fn store_at(url: &str) -> Arc<dyn Store> {
    let settings = settings(url).unwrap().op_timeout(PATIENT);
    Arc::new(Memcached::all(&settings, &Handle::current()).unwrap().remove(0))
}

async fn reason(url: &str) -> String {
    match store_at(url).read(vec![read_of("k", &[])]).await {
        Err(StoreError::Gone(reason)) => reason,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn memcached_that_encrypts_conforms() {
    let certificates = Arc::new(Certificates::new());
    let server = server::Memcached::start_encrypting(&certificates, &[]);
    let url = format!("memcacheds://{}?{}", server.address(), certificates.of_client());
    conformance::all_together(&Real(store_at(&url))).await;
}

#[tokio::test]
async fn who_is_not_trusted_or_does_not_encrypt_is_said_in_a_sentence() {
    let (certificates, others) = (Arc::new(Certificates::new()), Certificates::new());
    let server = server::Memcached::start_encrypting(&certificates, &[]);
    let at = |parameters: String| format!("memcacheds://{}?{parameters}", server.address());
    let stranger = reason(&at(others.of_client())).await;
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
    let other_name = reason(&at(certificates.of_client()).replace("127.0.0.1", "localhost")).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let nobody = reason(&at(certificates.of_nobody())).await;
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
    let in_the_clear = reason(&format!("memcached://{}", server.address())).await;
    // It waits for what an encrypted connection begins with.
    assert!(in_the_clear.contains("closed the connection") || in_the_clear == "no connection in time");
    let plain = server::Memcached::start();
    let url = format!("memcacheds://{}?{}", plain.address(), certificates.of_client());
    let plain = reason(&url).await;
    assert_eq!(plain, "what answers there does not encrypt");
    for said in [stranger, other_name, nobody, in_the_clear] {
        assert!(!said.contains('\n'), "{said}");
    }
    let missing = settings(&at(others.of_nobody().replace("ca.pem", "none.pem"))).unwrap();
    let error = Memcached::all(&missing, &Handle::current()).map(|_| "stores").unwrap_err();
    assert!(error.contains("none.pem` cannot be used: No such file"), "{error}");
}

#[tokio::test]
async fn large_values_and_many_callers_at_once_are_carried_whole() {
    let certificates = Arc::new(Certificates::new());
    let server = server::Memcached::start_encrypting(&certificates, &[]);
    let store = store_at(&format!("memcacheds://{}?{}", server.address(), certificates.of_client()));
    let bytes = |number: usize| Bytes::from(vec![number as u8; 300_000]);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        calls.spawn(async move {
            let key = format!("k{number}");
            let lease = won(&*store, begin(&key, &[])).await;
            assert!(store.fill(fill(&key, lease, bytes(number))).await.unwrap());
            assert_eq!(seen(&*store, read_of(&key, &[])).await.unwrap().0, Some(bytes(number)));
        });
    }
    calls.join_all().await;
}

#[tokio::test]
async fn an_encrypted_connection_heals() {
    let certificates = Arc::new(Certificates::new());
    let server = server::Memcached::start_encrypting(&certificates, &[]);
    let store = store_at(&format!("memcacheds://{}?{}", server.address(), certificates.of_client()));
    healed(&*store, read_of("k", &[])).await;
    server.restart();
    healed(&*store, read_of("k", &[])).await;
    assert!(load(&*store, "k", &["a"], "v").await);
}
