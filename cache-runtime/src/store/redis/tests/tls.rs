//! Encrypted connections, and who may have one.

use super::*;
use crate::store::redis::server::TlsServer;

async fn reason(url: &str) -> String {
    let settings = settings(url).unwrap().op_timeout(Duration::from_secs(5));
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    match store.read(vec![read_of("k", &[])]).await {
        Err(StoreError::Gone(reason)) => reason,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn nobody_is_spoken_to_who_is_not_trusted_and_nobody_is_let_in_who_shows_nothing() {
    let server = TlsServer::start();
    let stranger = reason(&server.url_of_a_stranger()).await;
    assert!(stranger.contains("UnknownIssuer"), "{stranger}");
    let other_name = reason(&server.url().replace("127.0.0.1", "localhost")).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let nobody = reason(&server.url_of_nobody()).await;
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
    let in_the_clear = reason(&server.url_of_a_stranger().replace("rediss", "redis")).await;
    assert!(!in_the_clear.is_empty());
}

#[test]
fn what_is_wrong_with_a_file_is_said_when_the_store_is_made() {
    let server = TlsServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = server.url();
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
    let server = TlsServer::start();
    let settings = settings(&server.url()).unwrap().namespace("test").op_timeout(DEADLINE);
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    healed(&store).await;
    server.server().restart();
    // The call that finds out may be this one.
    let _ = store.read(vec![read_of("k", &[])]).await;
    healed(&store).await;
}
