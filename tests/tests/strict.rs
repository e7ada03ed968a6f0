//! Connecting strictly: a store that cannot be used is one clear sentence.

#[allow(unused_macros, reason = "these laws are about Redis")]
mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::sim::SentinelSet;
use cache_runtime::sim::Server;

use crate::common::until;

async fn refused(url: &str) -> String {
    let builder = Cache::builder().url(url).op_timeout(Duration::from_secs(5)).connect_timeout(Duration::from_secs(5));
    let error = builder.clone().connect_strictly().await.expect_err(url).to_string();
    assert!(!error.contains('\n') && !error.contains("hunter2") && !error.ends_with('.'), "{error}");
    // Without being strict all of it is a cache.
    assert!(builder.connect().await.is_ok());
    error
}

fn with(credentials: &str, server: &Server) -> String {
    server.url().replace("redis://", &format!("redis://{credentials}@"))
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let error = refused(&format!("redis://ann:hunter2@127.0.0.1:{port}")).await;
    assert!(error.starts_with(&format!("the Redis at 127.0.0.1:{port} cannot be used: Connection refused")), "{error}");
    let error = refused("redis://ann:hunter2@no-such-host.invalid:6379").await;
    assert!(error.starts_with("the Redis at no-such-host.invalid:6379 cannot be used: "), "{error}");
    let error = refused("redis+unix:///no/such/socket?pass=hunter2").await;
    assert!(error.starts_with("the Redis at /no/such/socket cannot be used: "), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_said() {
    let server = Server::start_with(&["--requirepass", "right"]);
    for url in [with(":hunter2", &server), with("ann:hunter2", &server)] {
        assert!(refused(&url).await.ends_with("cannot be used: the user name or the password is wrong"));
    }
    let error = refused(&server.url()).await;
    assert!(error.ends_with("cannot be used: NOAUTH Authentication required"), "{error}");
    assert!(Cache::builder().url(&with(":right", &server)).connect_strictly().await.is_ok());
}

#[tokio::test]
async fn what_is_no_redis_is_said() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            // Whoever hangs up first has seen enough.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            kept.push(stream);
        }
    });
    let error = refused(&format!("redis://:hunter2@{address}")).await;
    assert_eq!(error, format!("the Redis at {address} cannot be used: what answers there is no Redis"));
}

#[tokio::test]
async fn a_user_who_may_not_do_what_is_needed_is_found_out() {
    let server = Server::start();
    let url = with("app:hunter2", &server);
    let acl = |rules: &[&str]| {
        let words = [&["ACL", "SETUSER", "app", "reset", "on", ">hunter2"], rules].concat();
        assert_eq!(server.command(&words).as_deref(), Ok("OK"));
    };
    for rules in [
        &["~*", "+@all", "-evalsha"][..],
        &["~*", "+@all", "-script"],
        &["~*", "+@all", "-mget"],
        &["~*", "+@all", "-@write"],
        &["~*", "+@all", "-set"],
        &["~*", "+@all", "-unlink", "-del"],
        &["~*", "+@read"],
        &["~*", "+@all", "-@dangerous"],
        &["%R~*", "+@all"],
        &["~other:*", "+@all"],
        &["~cache:e:*", "+@all"],
    ] {
        acl(rules);
        let error = refused(&url).await;
        let forbidden =
            ["permission", "can't run", "can't access", "let the user run it"].iter().any(|word| error.contains(word));
        assert!(error.contains("cannot be used: ") && forbidden, "{rules:?}: {error}");
    }
    acl(&["~cache:*", "+@all", "-@dangerous", "+info"]);
    assert!(Cache::builder().url(&url).connect_strictly().await.is_ok());
    // What was tried half-way is gone by itself.
    until("nothing is left behind", async || server.command(&["DBSIZE"]).as_deref() == Ok("0")).await;
}

#[tokio::test]
async fn a_replica_and_a_full_server_are_said() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction", "--maxmemory", "1"]);
    assert!(refused(&server.url()).await.contains("cannot be used: OOM"));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    assert!(refused(&server.url()).await.contains("cannot be used: READONLY"));
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert!(Cache::builder().url(&server.url()).connect_strictly().await.is_ok());
}

#[tokio::test]
async fn a_master_that_its_sentinels_do_not_know_is_said() {
    let set = SentinelSet::start();
    let url = set.url().replace("redis+sentinel://", "redis+sentinel://ann:hunter2@").replace("/main", "/other");
    let error = refused(&url).await;
    assert!(error.ends_with("/other cannot be used: its sentinels know no master called `other`"), "{error}");
    assert!(Cache::builder().url(&set.url()).connect_strictly().await.is_ok());
}

#[tokio::test]
async fn a_url_that_cannot_be_understood_is_one_sentence() {
    for url in
        ["", "hunter2", "ftp://ann:hunter2@host", "rediss://ann:hunter2@host?key=/f", "redis://ann:hunter2@host/one"]
    {
        let error = Cache::builder().url(url).connect_strictly().await.unwrap_err();
        assert_eq!(Cache::connect(url).await.unwrap_err(), error);
        let error = error.to_string();
        assert!(!error.contains('\n') && !error.contains("hunter2") && !error.ends_with('.'), "{error}");
    }
}

#[tokio::test]
async fn the_store_of_this_process_can_always_be_used() {
    assert!(Cache::builder().connect_strictly().await.is_ok());
}
