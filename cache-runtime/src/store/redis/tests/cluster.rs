//! A Cluster of three masters: where things are, and what becomes of them when they move or their server goes.

use std::collections::BTreeSet;

use super::conformance::Real;
use super::*;
use crate::store::conformance;
use crate::store::redis::QUARTERS;
use crate::store::redis::server::Cluster;
use crate::store::redis::slots::SLOTS;
use crate::store::redis::slots::slot_of;
use crate::store::witnesses;
use crate::store::witnesses::Witnessed;

fn store_of(cluster: &Cluster, op_timeout: Duration) -> Arc<Redis> {
    let settings = settings(&cluster.url()).unwrap().namespace("test").op_timeout(op_timeout);
    Arc::new(Redis::new(settings, Handle::current(), breakers()).unwrap())
}

/// What blocks is done where it keeps nobody waiting.
async fn blocking<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    tokio::task::block_in_place(work)
}

/// A key of each of the three masters.
fn one_of_each(cluster: &Cluster) -> [String; 3] {
    [0, 1, 2].map(|node| {
        let mut names = (0..).map(|number| format!("k{number}"));
        names.find(|name| cluster.owner(slot_of(name)) == node).unwrap()
    })
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn held(store: &Redis, key: &str) -> Option<Bytes> {
    seen(store, read_of(key, &[])).await.0
}

/// Loads, however often that has to be tried while servers change.
async fn stored(store: &Redis, key: &str, text: &'static str) {
    eventually(&format!("{key} is stored"), async || {
        let _ = store.revoke(targets(&[key], &[]), None).await;
        let Ok(begun) = store.begin(begin(key, 7, &[])).await else { return false };
        let Some(LeaseState::Won(lease)) = begun.lease else { return false };
        store.fill(Fill { touch: Vec::new(), ..fill(key, lease, text) }).await.unwrap_or(false)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_conforms() {
    let cluster = blocking(Cluster::start).await;
    conformance::all(&Real::at(&cluster.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_in_the_slots_that_the_servers_say() {
    let cluster = blocking(Cluster::start).await;
    for name in ["foo", "user:7", "123456789", "a"] {
        assert_eq!(cluster.slot_of(&format!("test:e:{{{name}}}")), slot_of(name), "{name}");
    }
    let store = store_of(&cluster, Duration::from_secs(5));
    for key in one_of_each(&cluster) {
        stored(&store, &key, "v").await;
    }
    let counts = cluster.nodes()[..3].iter().map(|node| node.command(&["DBSIZE"]).unwrap());
    assert_eq!(counts.collect::<Vec<_>>(), ["1", "1", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_all_is_asked_at_once_and_of_masters_alone() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, Duration::from_secs(5));
    let keys = one_of_each(&cluster);
    for key in &keys {
        stored(&store, key, "v").await;
    }
    for node in cluster.nodes() {
        node.command(&["CONFIG", "RESETSTAT"]).unwrap();
    }
    let reads: Vec<Read> = keys.iter().map(|key| read_of(key, &[&keys[0], &keys[1], &keys[2]])).collect();
    let readings = store.read(reads).await.unwrap();
    assert!(readings.iter().all(|reading| reading.entry.is_some() && reading.states.len() == 3));
    let asked: Vec<u64> = cluster.nodes().iter().map(|node| node.calls("mget")).collect();
    assert_eq!(asked, [1, 1, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_away_costs_what_it_holds_and_nothing_else() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, DEADLINE);
    let keys = one_of_each(&cluster);
    for key in &keys {
        stored(&store, key, "v").await;
    }
    cluster.nodes()[0].stop();
    eventually("the silent one is noticed", async || store.read(vec![read_of(&keys[0], &[])]).await.is_err()).await;
    let began = Instant::now();
    let (of_others, of_it) = (AtomicReads::default(), AtomicReads::default());
    while began.elapsed() < Duration::from_millis(400) {
        let (store, keys) = (&store, &keys);
        let one = async |key: &str, counts: &AtomicReads| {
            let began = Instant::now();
            let answered = store.read(vec![read_of(key, &[])]).await.is_ok();
            counts.note(answered, began.elapsed());
        };
        tokio::join!(one(&keys[0], &of_it), one(&keys[1], &of_others), one(&keys[2], &of_others));
    }
    assert_eq!(of_others.failed(), 0, "what others hold was not read");
    assert_eq!(of_it.answered(), 0, "a server that is stopped has answered");
    assert!(of_it.failed() > 8, "each call waits for it: {} calls in 400 ms", of_it.failed());
    cluster.nodes()[0].cont();
}

/// Reads again and again for that long, and says whether `key` was ever read and whether the others mostly were: on a busy machine some answers are late.
async fn read_for(store: &Redis, key: &str, others: &[&str], time: Duration) -> (bool, bool) {
    let (began, mut was_read) = (Instant::now(), false);
    let of_others = AtomicReads::default();
    while began.elapsed() < time {
        was_read |= store.read(vec![read_of(key, &[])]).await.is_ok();
        for other in others {
            let asked = Instant::now();
            let answered = store.read(vec![read_of(other, &[])]).await.is_ok();
            of_others.note(answered, asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (was_read, of_others.answered() > of_others.failed())
}

/// Owes what `key` names, until a server has been told.
async fn told_before_it_is_read(store: &Redis, keys: &[String; 3], time: Duration) {
    let (was_read, others_were) = read_for(store, &keys[0], &[&keys[1], &keys[2]], time).await;
    assert!(!was_read, "it was read before it was told");
    assert!(others_were, "what others hold was held back too");
    let debts = store.debts().unwrap();
    eventually("it is told", async || store.revoke(targets(&[&keys[0]], &[]), None).await.is_ok()).await;
    debts.pay(&Register::Key(name(&keys[0])));
    eventually("it is read again", async || store.read(vec![read_of(&keys[0], &[])]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_back_is_told_what_it_is_owed_before_it_is_read_and_so_is_who_took_its_place() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, DEADLINE);
    let keys = one_of_each(&cluster);
    for key in &keys {
        stored(&store, key, "v").await;
    }
    let owe = || {
        let (debts, register) = (store.debts().unwrap(), Register::Key(name(&keys[0])));
        debts.owe(&register, debts.part(&register));
    };
    owe();
    cluster.nodes()[0].stop();
    eventually("the silent one is noticed", async || store.read(vec![read_of(&keys[0], &[])]).await.is_err()).await;
    cluster.nodes()[0].cont();
    // For longer than it takes until the next probe.
    told_before_it_is_read(&store, &keys, Duration::from_millis(1500)).await;

    owe();
    blocking(|| {
        let replica = cluster.replica_of(0);
        cluster.nodes()[0].stop();
        cluster.failover(replica, "TAKEOVER");
    })
    .await;
    eventually("the silent one is noticed", async || store.read(vec![read_of(&keys[0], &[])]).await.is_err()).await;
    // For longer than it takes until somebody is asked who has what.
    told_before_it_is_read(&store, &keys, Duration::from_secs(8)).await;
    cluster.nodes()[0].cont();
}

#[test]
fn however_many_masters_have_equal_parts_a_witness_is_with_another_than_the_epoch() {
    let of = |masters: usize, name: &Name| usize::from(slot_of(name.as_str())) * masters / SLOTS;
    let names = witnesses::names(QUARTERS, |name| usize::from(slot_of(name.as_str())) * QUARTERS / SLOTS);
    assert_eq!(names.len(), 3);
    for masters in 2..=1000 {
        let home = of(masters, &Name::epoch());
        assert!(names.iter().any(|name| of(masters, name) != home), "{masters}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_is_vouched_for_while_its_home_is_away_and_not_after_it_was_removed() {
    let cluster = blocking(Cluster::start).await;
    let witnessed = |store: Arc<Redis>| {
        let names = store.witnesses();
        Witnessed::new(store, names)
    };
    let epoch = || Register::Tag(Name::epoch());
    let home = cluster.owner(slot_of(Name::epoch().as_str()));
    let keys = one_of_each(&cluster);
    // A tag that is where the key is, so that only the epoch is away.
    let read =
        || Read { entry: Some(name(&keys[(home + 1) % 3])), registers: vec![tag(&keys[(home + 1) % 3]), epoch()] };
    let inner = store_of(&cluster, Duration::from_millis(300));
    for key in &keys {
        stored(&inner, key, "v").await;
    }
    let store = witnessed(Arc::clone(&inner));
    let begin = Begin { lease: None, registers: vec![epoch()], token_life: LONG };
    let first = store.begin(begin).await.unwrap().states[0];
    let epoch_of = async |store: &Witnessed| {
        let mut reading = store.read(vec![read()]).await?;
        Ok::<_, StoreError>(reading.pop().and_then(|mut reading| reading.states.pop()))
    };
    // The witness is made, known, and then seen to stand from before the epoch was read.
    for _ in 0..3 {
        assert_eq!(epoch_of(&store).await, Ok(Some(first)));
    }
    blocking(|| cluster.nodes()[cluster.replica_of(home)].kill()).await;
    cluster.nodes()[home].stop();
    for _ in 0..5 {
        assert_eq!(epoch_of(&store).await, Ok(Some(first)));
    }
    // Another process, which reaches its home, empties the namespace.
    cluster.nodes()[home].cont();
    let other = witnessed(store_of(&cluster, PATIENT));
    other.revoke(Targets::everything(), None).await.unwrap();
    cluster.nodes()[home].kill();
    assert!(epoch_of(&store).await.is_err(), "the epoch is used after it was removed");
    let stranger = witnessed(store_of(&cluster, DEADLINE));
    assert!(epoch_of(&stranger).await.is_err(), "whoever read neither knows nothing");
}

#[derive(Default)]
struct AtomicReads(std::sync::Mutex<(u64, u64, Duration)>);

impl AtomicReads {
    fn note(&self, answered: bool, took: Duration) {
        let mut counts = self.0.lock().unwrap();
        if answered {
            counts.0 += 1
        } else {
            counts.1 += 1
        }
        counts.2 = counts.2.max(took);
    }

    fn answered(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    fn failed(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_in_each_of_its_forms_is_followed_and_brings_nothing_back() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, Duration::from_secs(1));
    let key = &one_of_each(&cluster)[0];
    for how in ["", "FORCE", "TAKEOVER"] {
        stored(&store, key, "old").await;
        let before = cluster.owner(slot_of(key));
        let replica = blocking(|| {
            let replica = cluster.replica_of(before);
            cluster.failover(replica, how);
            cluster.until_master(replica);
            replica
        })
        .await;
        // From the new one nothing counts that it had heard of from the one before it.
        eventually("the new master is asked", async || {
            let read = store.read(vec![read_of(key, &[])]).await;
            read.is_ok_and(|readings| !matches!(&readings[0].entry, Some((_, Blob::Bytes(_)))))
        })
        .await;
        stored(&store, key, "new").await;
        assert_eq!(held(&store, key).await.as_deref(), Some(b"new".as_slice()), "{how}");
        assert_eq!(cluster.owner(slot_of(key)), replica);
        blocking(|| cluster.until_whole()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_is_replaced() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, Duration::from_secs(1));
    let keys = one_of_each(&cluster);
    for key in &keys {
        stored(&store, key, "old").await;
    }
    cluster.nodes()[1].kill();
    stored(&store, &keys[1], "new").await;
    assert_eq!(held(&store, &keys[1]).await.as_deref(), Some(b"new".as_slice()));
    for key in [&keys[0], &keys[2]] {
        assert_eq!(held(&store, key).await.as_deref(), Some(b"old".as_slice()), "that one stayed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_is_read_written_and_invalidated() {
    let cluster = blocking(Cluster::start).await;
    let store = store_of(&cluster, Duration::from_secs(1));
    let key = &one_of_each(&cluster)[0];
    let slot = slot_of(key);
    stored(&store, key, "old").await;
    let from = blocking(|| cluster.begin_migration(slot, 1)).await;
    // What is nowhere yet is asked for where the slot goes.
    store.revoke(targets(&[key], &[]), None).await.unwrap();
    assert_eq!(held(&store, key).await, None);
    stored_in_parts(&cluster, key, from);
    blocking(|| cluster.move_keys(slot, from, 1, 1)).await;
    // Half of it is here, and half of it is there.
    store.revoke(targets(&[key], &[]), None).await.unwrap();
    let left: BTreeSet<String> = cluster.nodes()[..3].iter().map(|node| keys_of(node, key)).collect();
    assert_eq!(left, BTreeSet::from([String::new()]), "something outlived its invalidation");
    blocking(|| cluster.end_migration(slot, from, 1)).await;
    stored(&store, key, "new").await;
    assert_eq!(held(&store, key).await.as_deref(), Some(b"new".as_slice()));
    assert_eq!(keys_of(&cluster.nodes()[1], key), format!("test:e:{{{key}}}\n"));
}

/// Puts a lease and an entry where the slot comes from, of which the first to be moved is one.
fn stored_in_parts(cluster: &Cluster, key: &str, from: usize) {
    // A server takes what is new only where the slot goes, unless it has it already; so the slot is fixed for a moment.
    let node = &cluster.nodes()[from];
    let slot = slot_of(key).to_string();
    node.command(&["CLUSTER", "SETSLOT", &slot, "STABLE"]).unwrap();
    for what in ["e", "l", "k"] {
        node.command(&["SET", &format!("test:{what}:{{{key}}}"), "something"]).unwrap();
    }
    let to = cluster.nodes()[1].command(&["CLUSTER", "MYID"]).unwrap();
    node.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]).unwrap();
}

fn keys_of(node: &Server, key: &str) -> String {
    node.command(&["KEYS", &format!("test:*:{{{key}}}")]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_old_is_read_while_slots_move() {
    let cluster = Arc::new(blocking(Cluster::start).await);
    let store = store_of(&cluster, Duration::from_secs(1));
    let keys: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    for key in &keys {
        stored(&store, key, "v").await;
    }
    let moving = {
        let (cluster, keys) = (Arc::clone(&cluster), keys.clone());
        tokio::task::spawn_blocking(move || {
            for key in keys.iter().take(40) {
                let slot = slot_of(key);
                cluster.migrate(slot, (cluster.owner(slot) + 1) % 3);
            }
        })
    };
    let mut rounds = 0;
    while !moving.is_finished() || rounds == 0 {
        for key in keys.iter().take(40) {
            if store.revoke(targets(&[key], &[]), None).await.is_ok()
                && let Ok(readings) = store.read(vec![read_of(key, &[])]).await
            {
                assert!(readings[0].entry.is_none(), "{key} outlived its invalidation");
            }
            if let Ok(begun) = store.begin(begin(key, 9, &["a"])).await
                && let Some(LeaseState::Won(lease)) = begun.lease
            {
                let _ = store.fill(fill(key, lease, "v")).await;
            }
        }
        rounds += 1;
    }
    moving.await.unwrap();
    for key in &keys {
        eventually("all of it can be read", async || store.read(vec![read_of(key, &["a"])]).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_no_cluster_are_said() {
    let server = Server::start();
    let url = server.url().replace("redis://", "redis+cluster://");
    let store = Redis::new(settings(&url).unwrap(), Handle::current(), breakers()).unwrap();
    store.ready().await;
    let error = store.read(vec![read_of("k", &[])]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Gone(reason) if reason.contains("cluster support disabled")), "{error:?}");
}
