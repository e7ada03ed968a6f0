//! The lists of tags on a real server: how long they live, how long they grow, and what of somebody else's is left alone.

use super::*;
use crate::store::listing::Listing;

async fn listed(store: &Redis, key: &str, id: u128, most: usize, life: Duration) {
    let Some(LeaseState::Won(lease)) = store.begin(begin(key, id, &["a"])).await.unwrap().lease else {
        panic!("{key}")
    };
    let listing = Some(Listing { tags: vec![name("users")], most });
    let stored = store.fill(Fill { listing, fresh: life, life, ..fill(key, lease, "v") }).await.unwrap();
    assert!(stored, "{key}");
}

async fn names(store: &Redis) -> Vec<String> {
    let page = store.listed(name("users"), None).await.unwrap();
    assert_eq!(page.next, None);
    page.listed.into_iter().map(|listed| listed.key.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_list_that_is_full_drops_what_ends_first() {
    let server = Server::start();
    let store = patient(&server);
    for (number, seconds) in [(1, 50), (2, 30), (3, 60), (4, 20), (5, 40)] {
        listed(&store, &format!("k{number}"), number, 3, Duration::from_secs(seconds)).await;
    }
    let mut names = names(&store).await;
    names.sort();
    assert_eq!(names, ["k1", "k3", "k5"]);
}

#[tokio::test]
async fn what_has_ended_is_taken_off_when_something_is_put_on() {
    let server = Server::start();
    let store = patient(&server);
    listed(&store, "short", 1, 10, Duration::from_millis(20)).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    listed(&store, "long", 2, 10, LONG).await;
    assert_eq!(server.command(&["ZCARD", "test:s:{users}"]).unwrap().trim(), "1");
}

#[tokio::test]
async fn a_list_lives_as_long_as_the_last_entry_on_it() {
    let server = Server::start();
    let store = patient(&server);
    for (number, seconds) in [(1, 50), (2, 10)] {
        listed(&store, &format!("k{number}"), number, 10, Duration::from_secs(seconds)).await;
        let left: u64 = server.command(&["PTTL", "test:s:{users}"]).unwrap().trim().parse().unwrap();
        assert!((30_000..=50_000).contains(&left), "{left} ms");
    }
}

#[tokio::test]
async fn what_is_no_list_of_ours_or_no_entry_is_left_alone() {
    let server = Server::start();
    let store = patient(&server);
    listed(&store, "k", 1, 10, LONG).await;
    server.command(&["ZADD", "test:s:{users}", "9999999999999", "not a name\t", "9999999999999", "other"]).unwrap();
    server.command(&["LPUSH", "test:e:{other}", "x"]).unwrap();
    let page = store.listed(name("users"), None).await.unwrap();
    let seen: Vec<_> = page.listed.iter().map(|listed| (listed.key.as_str(), listed.entry.is_some())).collect();
    assert!(seen.contains(&("k", true)) && seen.contains(&("other", false)) && seen.len() == 2, "{seen:?}");
    server.command(&["DEL", "test:s:{users}"]).unwrap();
    server.command(&["SET", "test:s:{users}", "somebody else's"]).unwrap();
    listed(&store, "stored-all-the-same", 2, 10, LONG).await;
    assert!(store.listed(name("users"), None).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_full_lists_nothing_more_and_removes_what_it_is_told() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = patient(&server);
    listed(&store, "k", 1, 10, LONG).await;
    let seen = store.listed(name("users"), None).await.unwrap().listed.pop().unwrap();
    let Some(LeaseState::Won(lease)) = store.begin(begin("more", 2, &[])).await.unwrap().lease else { panic!() };
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let listing = Some(Listing { tags: vec![name("users")], most: 10 });
    assert!(store.fill(Fill { listing, ..fill("more", lease, "v") }).await.is_err());
    assert_eq!(server.command(&["ZCARD", "test:s:{users}"]).unwrap().trim(), "1");
    let lease = seen.entry.map(|entry| entry.lease);
    let gone = crate::store::listing::Gone { key: seen.key, noted: seen.noted, lease };
    assert_eq!(store.discard(name("users"), vec![gone]).await.unwrap(), 1);
    assert_eq!(names(&store).await, [""; 0]);
}
