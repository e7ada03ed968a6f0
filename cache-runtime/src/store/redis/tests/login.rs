//! As whom the store speaks to a server, what that one may do, and that nobody is told the password.

use super::faults::Events;
use super::*;
use crate::store::conformance;
use crate::store::listing::Gone;
use crate::store::listing::Listing;
use crate::store::redis::tests::conformance::Real;

/// What `docs/stores.md` says that a user needs.
const RIGHTS: [&str; 11] =
    ["info", "mget", "getrange", "set", "del", "unlink", "pexpire", "pttl", "time", "evalsha", "script|load"];

/// And what it needs for tag sets.
const RIGHTS_TO_LIST: [&str; 7] = ["zadd", "zrem", "zremrangebyrank", "zremrangebyscore", "zscan", "zscore", "strlen"];

fn rules(without: &str) -> String {
    let rights = RIGHTS.iter().chain(&RIGHTS_TO_LIST).filter(|&&right| right != without);
    format!("~test:*{}", rights.map(|right| format!(" +{right}")).collect::<String>())
}

#[tokio::test]
async fn a_user_with_the_least_rights_conforms() {
    let server = Server::start();
    server.let_in("shop", "hunter2", &rules(""));
    let url = format!("{}?namespace=test", server.url_of("shop", "hunter2"));
    conformance::all(&Real::at(&url)).await;
    let denied = server.command(&["ACL", "LOG"]).unwrap();
    assert_eq!(denied, "", "something was asked for that is not allowed");
}

#[tokio::test]
async fn every_one_of_the_least_rights_is_needed() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    for right in RIGHTS.into_iter().chain(RIGHTS_TO_LIST) {
        server.let_in("shop", "hunter2", &rules(right));
        server.command(&["ACL", "LOG", "RESET"]).unwrap();
        let settings = settings(&server.url_of("shop", "hunter2")).unwrap().namespace("test");
        let store = Redis::new(settings.op_timeout(Duration::from_secs(5)), Handle::current(), breakers()).unwrap();
        every_operation(&store).await;
        let _ = store.touch(name("k"), LONG).await;
        let seen = LeaseRequest { seen: Some(asker(9)), ..begin("k", 2, &[]).lease.unwrap() };
        let _ = store.begin(Begin { lease: Some(seen), registers: Vec::new(), token_life: LONG }).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let _ = store.mark(targets(&["k"], &["a"]), mark(1)).await;
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        list_and_unlist(&store).await;
        let denied = server.command(&["ACL", "LOG"]).unwrap();
        // Redis 6.2 names the command alone.
        let command = right.split('|').next().unwrap();
        assert!(denied.contains(command), "nobody asks for {right}: {denied}");
    }
}

/// Everything that is asked for about tag sets.
async fn list_and_unlist(store: &Redis) {
    let _ = store.revoke(targets(&["one", "two"], &[]), None).await;
    for (key, id) in [("one", 21), ("two", 22)] {
        if let Ok(Some(LeaseState::Won(lease))) = store.begin(begin(key, id, &[])).await.map(|begun| begun.lease) {
            let listing = Some(Listing { tags: vec![name("a")], most: 1 });
            let _ = store.fill(Fill { listing, ..fill(key, lease, "v") }).await;
        }
    }
    let Ok(page) = store.listed(name("a"), None).await else { return };
    let gone = page.listed.into_iter().map(|listed| {
        let lease = listed.entry.map(|entry| entry.lease);
        Gone { key: listed.key, noted: listed.noted, lease }
    });
    let _ = store.discard(name("a"), gone.collect()).await;
}

#[tokio::test]
async fn who_may_not_list_stores_all_the_same() {
    let server = Server::start();
    let rights: String = RIGHTS.iter().map(|right| format!(" +{right}")).collect();
    server.let_in("shop", "hunter2", &format!("~test:*{rights}"));
    let settings = settings(&server.url_of("shop", "hunter2")).unwrap().namespace("test").op_timeout(PATIENT);
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    healed(&store).await;
    let lease = match store.begin(begin("k", 1, &["a"])).await.unwrap().lease {
        Some(LeaseState::Won(lease)) => lease,
        other => panic!("{other:?}"),
    };
    let listing = Some(Listing { tags: vec![name("a")], most: 10 });
    assert!(store.fill(Fill { listing, ..fill("k", lease, "v") }).await.unwrap());
    let refused = store.listed(name("a"), None).await.unwrap_err();
    assert!(refused.reason().starts_with("NOPERM"), "{refused:?}");
}

#[tokio::test]
async fn the_server_lists_connections_by_their_name() {
    let server = Server::start();
    let settings = settings(&format!("{}?client_name=shop-7", server.url())).unwrap();
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    healed(&store).await;
    let clients = server.command(&["CLIENT", "LIST"]).unwrap();
    assert!(clients.contains(" name=shop-7 "), "{clients}");
}

#[tokio::test]
async fn credentials_beside_the_url_let_a_user_in() {
    let server = Server::start();
    server.let_in("shop", "hunter2", &rules(""));
    server.command(&["CONFIG", "SET", "requirepass", "of-nobody"]).unwrap();
    for (user, password) in [("shop", "hunter2"), ("", "of-nobody")] {
        let settings = settings(&server.url()).unwrap().namespace("test").credentials(user, password);
        let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
        healed(&store).await;
    }
}

#[tokio::test]
async fn nobody_is_told_the_password() {
    let events = Events::default();
    let _second = tracing::Dispatch::new(Events::default());
    let _collecting = tracing::subscriber::set_default(events.clone());
    let server = Server::start();
    server.let_in("ann", "hunter2", "~test:* +info +mget +script|load");
    let socket = server.socket_url();
    let urls = [
        server.url_of("ann", "hunter2"),
        server.url_of("ann", "hunter2-and-more"),
        server.url_of("ann", "hunter2") + "?client_name=hunter",
        format!("{socket}?user=ann&pass=hunter2"),
        format!("{socket}?user=ann&pass=hunter2-and-more"),
        "redis://ann:hunter2@127.0.0.1:1".to_owned(),
    ];
    let mut told = String::new();
    for url in &urls {
        let settings = settings(url).unwrap().namespace("test");
        told += &format!("{settings:?} {}", settings.address());
        let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
        for (what, _, error) in every_operation(&store).await {
            told += &format!("{what} {error:?} {}", error.as_ref().map_or_else(String::new, ToString::to_string));
        }
        told += &format!("{store:?}");
    }
    told += &events.0.lock().unwrap().concat();
    assert!(told.contains("Redis cannot be used as it is set up"), "nothing was said: {told}");
    assert!(!told.contains("hunter2"), "{told}");
}
