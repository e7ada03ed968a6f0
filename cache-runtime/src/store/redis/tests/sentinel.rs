//! A master that is found and followed through its sentinels.

use super::*;
use crate::store::conformance;
use crate::store::redis::server::SentinelSet;
use crate::store::redis::tests::conformance::Real;

/// How long calls may fail after a new master was agreed on.
const RECOVERY: Duration = Duration::from_secs(4);

fn store_of(set: &SentinelSet) -> Arc<Redis> {
    let settings = settings(&set.url()).unwrap().namespace("test").op_timeout(DEADLINE);
    Arc::new(Redis::new(settings, Handle::current(), breakers()).unwrap())
}

/// Until a whole load is stored, on `server` and nowhere else.
async fn stored_on(store: &Redis, server: &Server, key: &str) -> Duration {
    let began = Instant::now();
    for id in 1.. {
        let begun = store.begin(begin(key, id, &["a"])).await;
        if let Ok(Some(LeaseState::Won(lease))) = begun.map(|begun| begun.lease)
            && store.fill(fill(key, lease, "v")).await == Ok(true)
        {
            break;
        }
        assert!(began.elapsed() < RECOVERY, "nothing is stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let slot = format!("test:e:{{{key}}}");
    assert_eq!(server.command(&["EXISTS", &slot]).unwrap(), "1", "stored on another server");
    began.elapsed()
}

async fn blocking<T: Send>(wait: impl FnOnce() -> T + Send) -> T {
    tokio::task::block_in_place(wait)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_behind_sentinels_conforms() {
    let set = SentinelSet::start();
    conformance::all(&Real::at(&set.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_there_and_back() {
    let set = SentinelSet::start();
    let store = store_of(&set);
    healed(&store).await;
    let mut master = set.master();
    stored_on(&store, &set.servers()[master], "first").await;
    for key in ["second", "third"] {
        // The old one goes on, and takes itself for the master.
        master = blocking(|| set.failover()).await;
        let took = stored_on(&store, &set.servers()[master], key).await;
        assert!(took < RECOVERY, "{took:?}");
        blocking(|| set.until_whole()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_is_replaced_and_may_come_back_as_another() {
    let set = SentinelSet::start();
    let store = store_of(&set);
    healed(&store).await;
    let before = blocking(|| set.kill_master()).await;
    let after = blocking(|| set.master_after(before)).await;
    stored_on(&store, &set.servers()[after], "k").await;
    set.servers()[before].restart();
    blocking(|| set.until_whole()).await;
    let again = blocking(|| set.kill_master()).await;
    let last = blocking(|| set.master_after(again)).await;
    stored_on(&store, &set.servers()[last], "l").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sentinel_is_enough_and_without_any_only_a_warm_cache_stays() {
    let set = SentinelSet::start();
    let master = set.master();
    for sentinel in &set.sentinels()[..2] {
        sentinel.kill();
        let store = store_of(&set);
        store.ready().await;
        stored_on(&store, &set.servers()[master], "k").await;
        store.revoke(targets(&["k"], &[]), None).await.unwrap();
    }
    let cold = store_of(&set);
    let warm = settings(&(set.url() + "?failover=warm")).unwrap().namespace("test").op_timeout(DEADLINE);
    let warm = Arc::new(Redis::new(warm, Handle::current(), breakers()).unwrap());
    cold.ready().await;
    warm.ready().await;
    set.sentinels()[2].stop();
    let began = Instant::now();
    while cold.nodes.away().is_none() {
        assert!(began.elapsed() < Duration::from_secs(8), "it stays with a master that nobody confirms");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let Some(StoreError::Gone(why)) = cold.nodes.away() else { panic!("it is not away") };
    assert!(why.contains("sentinel"), "{why}");
    assert!(warm.nodes.away().is_none());
    stored_on(&warm, &set.servers()[master], "k").await;
    set.sentinels()[2].cont();
    stored_on(&cold, &set.servers()[master], "l").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sentinel_keeps_nobody_waiting() {
    let set = SentinelSet::start();
    set.sentinels()[0].stop();
    let began = Instant::now();
    let store = store_of(&set);
    store.ready().await;
    assert!(store.nodes.away().is_none(), "{:?}", store.nodes.away());
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    set.sentinels()[0].cont();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_was_cut_off_does_not_lead_back() {
    let set = SentinelSet::start();
    let before = set.master();
    set.sentinels()[0].stop();
    let store = store_of(&set);
    store.ready().await;
    set.servers()[before].stop();
    let after = blocking(|| set.master_after(before)).await;
    stored_on(&store, &set.servers()[after], "k").await;
    set.servers()[before].cont();
    // It has not heard of the change, and names the old one at first.
    set.sentinels()[0].cont();
    for round in 0..40 {
        store.revoke(targets(&["k"], &[]), None).await.unwrap();
        stored_on(&store, &set.servers()[after], "k").await;
        assert!(round < 40);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_knows_no_such_master_is_one_sentence() {
    let set = SentinelSet::start();
    let reason = async |url: &str| {
        let store = Redis::new(settings(url).unwrap(), Handle::current(), breakers()).unwrap();
        store.ready().await;
        match store.read(vec![read_of("k", &[])]).await {
            Err(StoreError::Gone(reason)) => reason,
            other => panic!("{url}: {other:?}"),
        }
    };
    let wrong_name = set.url().replace("/main", "/other");
    assert_eq!(reason(&wrong_name).await, "its sentinels know no master called `other`");
    let no_sentinel = format!("redis+sentinel://127.0.0.1:{}/main", set.servers()[0].port());
    let said = reason(&no_sentinel).await;
    assert!(said.starts_with("no sentinel says where the master `main` is: "), "{said}");
    for sentinel in set.sentinels() {
        sentinel.kill();
    }
    let said = reason(&set.url()).await;
    assert!(said.contains("Connection refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_have_users_of_their_own() {
    let set = SentinelSet::start();
    let rules =
        "&+switch-master &+failover-state-reconf-slaves +sentinel|get-master-addr-by-name +sentinel|master +subscribe";
    for sentinel in set.sentinels() {
        sentinel.let_in("seeker", "hunter2", rules);
    }
    for server in set.servers() {
        server.let_in("shop", "hunter3", "~test:* +@all");
    }
    let url = set.url().replace("://", "://shop:hunter3@") + "?sentinel_user=seeker&sentinel_password=hunter2";
    let store = Arc::new(Redis::new(settings(&url).unwrap().namespace("test"), Handle::current(), breakers()).unwrap());
    store.ready().await;
    stored_on(&store, &set.servers()[set.master()], "k").await;
    for sentinel in set.sentinels() {
        assert_eq!(sentinel.command(&["ACL", "LOG"]).unwrap(), "");
    }
    let after = blocking(|| set.failover()).await;
    stored_on(&store, &set.servers()[after], "l").await;

    let wrong = url.replace("hunter2", "hunter4");
    let store = Redis::new(settings(&wrong).unwrap(), Handle::current(), breakers()).unwrap();
    store.ready().await;
    let Err(StoreError::Gone(reason)) = store.read(vec![read_of("k", &[])]).await else { panic!("let in") };
    assert!(reason.contains("is: WRONGPASS"), "{reason}");
}
