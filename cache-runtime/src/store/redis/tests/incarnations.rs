//! Servers that forget what they acknowledged, and bring back what was invalidated.

use super::*;

/// A store that is at home with such servers, or that goes on as if nothing had happened.
fn store_of(server: &Server, parameters: &str) -> Arc<Redis> {
    let settings = settings(&(server.url() + parameters)).unwrap().namespace("test").op_timeout(Duration::from_secs(5));
    Arc::new(Redis::new(settings, Handle::current(), breakers()).unwrap())
}

/// What a hit rests on, and a lease that a load holds at that time.
async fn filled_and_loading(store: &Redis) -> (Vec<State>, LeaseId) {
    assert!(load(store, "k", 1, &["a"], "old").await);
    let (_, tokens) = seen(store, both()).await;
    let (lease, _) = won(store, begin("loading", 2, &[])).await;
    (tokens, lease)
}

fn both() -> Read {
    Read { entry: Some(name("k")), registers: vec![tag("a")] }
}

/// The key's entry and the tag's token, and whether a load that began earlier may still store what it loaded.
async fn found(store: &Redis, lease: LeaseId) -> (Option<Bytes>, Vec<State>, bool) {
    healed(store).await;
    let (entry, states) = seen(store, both()).await;
    let stored = store.fill(fill("loading", lease, "old")).await.unwrap();
    (entry, states, stored)
}

async fn invalidated(store: &Redis) {
    store.revoke(targets(&["k", "loading"], &["a"]), None).await.unwrap();
    assert_eq!(seen(store, both()).await, (None, vec![State::Absent]));
}

async fn restarted_from_before_the_invalidation(parameters: &str) -> (Vec<State>, (Option<Bytes>, Vec<State>, bool)) {
    let server = Server::start();
    let store = store_of(&server, parameters);
    let (tokens, lease) = filled_and_loading(&store).await;
    let snapshot = server.snapshot();
    invalidated(&store).await;
    server.restart_from(&snapshot);
    (tokens, found(&store, lease).await)
}

#[tokio::test]
async fn an_old_snapshot_brings_nothing_back() {
    let (tokens, (entry, states, stored)) = restarted_from_before_the_invalidation("").await;
    assert_eq!(entry.as_deref(), Some(b"bygone".as_slice()), "it is there, and of no use");
    assert!(matches!((tokens[0], states[0]), (State::Token(before), State::Token(now)) if before != now));
    assert!(!stored, "a lease came back");
}

/// The control: with a warm failover all of it is back.
#[tokio::test]
async fn a_warm_failover_takes_the_snapshot_as_it_is() {
    let (tokens, found) = restarted_from_before_the_invalidation("?failover=warm").await;
    assert_eq!(found, (Some(Bytes::from_static(b"old")), tokens, true));
}

#[tokio::test]
async fn what_is_bygone_is_replaced() {
    let server = Server::start();
    let store = store_of(&server, "");
    filled_and_loading(&store).await;
    server.restart_from(&server.snapshot());
    healed(&store).await;
    let bygone = store.read(vec![both()]).await.unwrap().remove(0).entry.map(|(lease, _)| lease);
    assert!(bygone.is_some());
    let mut begin = begin("k", 3, &["a"]);
    begin.lease.as_mut().unwrap().seen = bygone;
    let (lease, tokens) = won(&store, begin).await;
    assert!(store.fill(fill("k", lease, "new")).await.unwrap());
    assert_eq!(seen(&store, both()).await, (Some(Bytes::from_static(b"new")), tokens));
}

#[tokio::test]
async fn a_replica_that_did_not_hear_of_an_invalidation_brings_nothing_back() {
    let (master, replica) = (Server::start(), Server::start());
    follow(&replica, &master);
    let store = store_of(&master, "");
    let (tokens, lease) = filled_and_loading(&store).await;
    assert_eq!(master.command(&["WAIT", "1", "5000"]).unwrap(), "1");
    // From here on it follows nobody, and does not hear of anything.
    replica.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    invalidated(&store).await;
    master.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert_eq!(replica.command(&["EXISTS", "test:e:{k}", "test:t:{a}"]).unwrap(), "2", "it did hear");

    let (entry, states, stored) = found(&store_of(&replica, ""), lease).await;
    assert_eq!(entry.as_deref(), Some(b"bygone".as_slice()));
    assert!(matches!((tokens[0], states[0]), (State::Token(before), State::Token(now)) if before != now));
    assert!(!stored);
}

#[tokio::test]
async fn a_master_that_was_a_replica_meanwhile_is_another_one() {
    let (server, other) = (Server::start(), Server::start());
    let store = store_of(&server, "");
    let (tokens, lease) = filled_and_loading(&store).await;
    // The data of the other one are its own then, and these come back as they would after a failover to it and back.
    let dump = server.command(&["GET", "test:t:{a}"]).unwrap();
    follow(&server, &other);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    server.command(&["SET", "test:t:{a}", &dump]).unwrap();
    let began = Instant::now();
    loop {
        // It is away for a moment, between finding out and connecting anew.
        let read = store.read(vec![both()]).await;
        if read.is_ok_and(|readings| readings[0].states != tokens) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "it goes on as if nothing had happened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!found(&store, lease).await.2);
}

#[tokio::test]
async fn a_replica_is_not_read() {
    let (server, other) = (Server::start(), Server::start());
    let store = store_of(&server, "");
    filled_and_loading(&store).await;
    follow(&server, &other);
    let began = Instant::now();
    loop {
        if let Err(error) = store.read(vec![both()]).await {
            let StoreError::Gone(reason) = &error else { panic!("{error:?}") };
            assert!(reason.contains("replica"), "{reason}");
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a replica is read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_who_it_is_is_used_only_if_that_does_not_matter() {
    let server = Server::start();
    server.command(&["ACL", "SETUSER", "ann", "on", ">hunter2", "~*", "+@all", "-info"]).unwrap();
    let url = server.url().replace("redis://", "redis://ann:hunter2@");
    let store = |parameters: &str| {
        let settings = settings(&(url.clone() + parameters)).unwrap().op_timeout(Duration::from_secs(5));
        Redis::new(settings, Handle::current(), breakers()).unwrap()
    };
    let refused = store("").read(vec![both()]).await;
    assert!(matches!(&refused, Err(StoreError::Gone(reason)) if reason.contains("failover=warm")), "{refused:?}");
    assert!(store("?failover=warm").read(vec![both()]).await.is_ok());
}

fn follow(replica: &Server, master: &Server) {
    let address = master.url();
    let port = address.rsplit(':').next().unwrap();
    replica.command(&["REPLICAOF", "127.0.0.1", port]).unwrap();
    let began = Instant::now();
    while !replica.command(&["INFO", "replication"]).unwrap().contains("master_link_status:up") {
        assert!(began.elapsed() < Duration::from_secs(20), "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
}
