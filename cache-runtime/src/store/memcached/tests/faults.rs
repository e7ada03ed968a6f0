//! A server that is gone, silent, forgetful or full; and one of three.

use super::*;

#[tokio::test]
async fn a_lease_from_before_a_restart_fills_nothing_though_the_numbers_come_again() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    let old = won(&*store, begin("k", &[])).await;
    server.restart();
    healed(&*store, read_of("k", &[])).await;
    let new = won(&*store, begin("k", &[])).await;
    assert_eq!(old.0 as u64, new.0 as u64, "the number of the item is another, so this shows nothing");
    assert!(!store.fill(fill("k", old, Bytes::from_static(b"old"))).await.unwrap());
    assert_eq!(seen(&*store, read_of("k", &[])).await.unwrap().0, None);
    assert!(store.fill(fill("k", new, Bytes::from_static(b"new"))).await.unwrap());
}

/// The control: by its number alone the old lease is the new one, and a token is back that was removed.
#[tokio::test]
async fn what_is_bound_to_its_number_alone_comes_back_with_a_restart() {
    let server = server::Memcached::start();
    let settings = settings(&server.url()).unwrap().op_timeout(PATIENT);
    let store = Memcached::all(&settings, &Handle::current()).unwrap().remove(0).by_numbers_alone();
    let (old, tokens) = begun(&store).await;
    server.restart();
    healed(&store, read_of("k", &[])).await;
    let (new, tokens_now) = begun(&store).await;
    assert_eq!((old.0 as u64, tokens), (new.0 as u64, tokens_now));
    assert!(store.fill(fill("k", old, Bytes::from_static(b"old"))).await.unwrap());
}

async fn begun(store: &Memcached) -> (LeaseId, Vec<State>) {
    let begun = store.begin(begin("k", &["a"])).await.unwrap();
    let Some(LeaseState::Won(lease)) = begun.lease else { panic!("{begun:?}") };
    (lease, begun.states)
}

#[tokio::test]
async fn what_is_read_on_one_connection_is_written_on_no_other() {
    let server = server::Memcached::start();
    let settings = settings(&server.url()).unwrap().op_timeout(PATIENT);
    let store = Memcached::all(&settings, &Handle::current()).unwrap().remove(0);
    healed(&store, read_of("k", &[])).await;
    let session = store.link.session().unwrap().unwrap();
    server.restart();
    healed(&store, read_of("k", &[])).await;
    let mut commands = session.commands(1);
    commands.delete("cache:e:k", Some(1));
    let deadline = tokio::time::Instant::now() + PATIENT;
    assert!(matches!(session.ask(commands, deadline).await, Err(StoreError::Gone(_))));
}

#[tokio::test]
async fn while_the_server_is_gone_every_call_fails_at_once() {
    let server = server::Memcached::start();
    let store = store(&server, DEADLINE);
    healed(&*store, read_of("k", &[])).await;
    server.kill();
    // The call that finds out.
    assert!(store.read(vec![read_of("k", &[])]).await.is_err());
    for _ in 0..10 {
        let began = Instant::now();
        assert!(matches!(store.read(vec![read_of("k", &["a"])]).await, Err(StoreError::Gone(_))));
        assert!(matches!(store.begin(begin("k", &["a"])).await, Err(StoreError::Gone(_))));
        assert!(matches!(store.revoke(targets(&["k"], &["a"]), None).await, Err(StoreError::Gone(_))));
        assert!(began.elapsed() < Duration::from_millis(50), "they took {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.restart();
    let longest = healed(&*store, read_of("k", &["a"])).await;
    assert!(longest < DEADLINE + SLACK, "a call waited {longest:?} for the connection");
    assert!(load(&*store, "k", &["a"], "v").await);
}

#[tokio::test]
async fn a_silent_server_costs_a_deadline_and_no_more() {
    let server = server::Memcached::start();
    let store = store(&server, DEADLINE);
    healed(&*store, read_of("k", &[])).await;
    server.stop();
    many_calls_end_together(Arc::clone(&store)).await;
    let began = Instant::now();
    assert!(store.mark(targets(&["k"], &["a"]), mark(1)).await.is_err());
    assert!(began.elapsed() < DEADLINE + SLACK, "it took {:?}", began.elapsed());
    server.cont();
    healed(&*store, read_of("k", &["a"])).await;
    store.revoke(targets(&["k"], &["a"]), Some(MarkId(1))).await.unwrap();
    assert!(load(&*store, "k", &["a"], "v").await);
}

#[tokio::test]
async fn callers_that_leave_harm_nobody() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    for number in 0..20 {
        assert!(load(&*store, &format!("k{number}"), &[], Box::leak(format!("v{number}").into_boxed_str())).await);
    }
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..2000 {
        let (store, key) = (Arc::clone(&store), number % 20);
        calls.spawn(async move {
            let read = seen(&*store, read_of(&format!("k{key}"), &[]));
            let limit = Duration::from_micros(number * 2);
            if let Ok(answer) = tokio::time::timeout(limit, read).await {
                assert_eq!(answer.unwrap().0, Some(Bytes::from(format!("v{key}"))));
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn an_entry_over_the_limit_is_refused_and_leaves_nothing_behind() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    assert!(load(&*store, "k", &[], "old").await);
    store.revoke(targets(&["k"], &[]), None).await.unwrap();
    let lease = won(&*store, begin("k", &[])).await;
    let refused = store.fill(fill("k", lease, vec![0; 2 << 20])).await;
    assert_eq!(refused, Err(StoreError::Refused("object too large for cache".into())));
    assert_eq!(seen(&*store, read_of("k", &[])).await.unwrap().0, None);
    store.release(name("k"), lease).await.unwrap();
    assert!(load(&*store, "k", &[], "new").await);
}

#[tokio::test]
async fn a_full_server_still_invalidates() {
    let server = server::Memcached::start_with(&["-m", "2", "-M"]);
    let store = store(&server, PATIENT);
    assert!(load(&*store, "k", &["a"], "v").await);
    let mut refused = 0;
    for number in 0..2000 {
        let key = format!("filling{number}");
        let Ok(begun) = store.begin(begin(&key, &[])).await else { break };
        let Some(LeaseState::Won(lease)) = begun.lease else { panic!("{begun:?}") };
        match store.fill(fill(&key, lease, vec![0; 100_000])).await {
            Ok(filled) => assert!(filled),
            Err(error) => {
                assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
                refused += 1;
            }
        }
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 0, "it was never full");
    assert!(seen(&*store, read_of("k", &["a"])).await.unwrap().0.is_some());
    store.revoke(targets(&["k"], &["a"]), None).await.unwrap();
    assert_eq!(seen(&*store, read_of("k", &["a"])).await.unwrap(), (None, vec![State::Absent]));
}

#[tokio::test]
async fn a_touch_does_not_end_a_mark_before_its_time() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    store.mark(targets(&["k"], &["a"]), mark(1)).await.unwrap();
    store.touch(name("k"), Duration::from_millis(1)).await.unwrap();
    store.live_on(vec![tag("a")], Duration::from_millis(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(matches!(store.begin(begin("k", &[])).await.unwrap().lease, Some(LeaseState::Marked { .. })));
    assert!(matches!(seen(&*store, read_of("k", &["a"])).await.unwrap().1[..], [State::Pending { .. }]));
}

#[tokio::test]
async fn an_old_entry_is_read_while_it_is_refreshed_and_after_that_was_given_up() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    assert!(load(&*store, "k", &[], "old").await);
    let filled_under = store.read(vec![read_of("k", &[])]).await.unwrap()[0].entry.as_ref().unwrap().0;
    let mut begin = begin("k", &[]);
    begin.lease.as_mut().unwrap().seen = Some(filled_under);
    let lease = won(&*store, begin).await;
    let old = Some(Bytes::from_static(b"old"));
    assert_eq!(seen(&*store, read_of("k", &[])).await.unwrap().0, old);
    store.release(name("k"), lease).await.unwrap();
    assert_eq!(seen(&*store, read_of("k", &[])).await.unwrap().0, old);
    assert!(!store.fill(fill("k", lease, Bytes::from_static(b"new"))).await.unwrap());
}

#[tokio::test]
async fn an_emptied_server_is_a_miss() {
    let server = server::Memcached::start();
    let store = store(&server, PATIENT);
    assert!(load(&*store, "k", &["a"], "v").await);
    let before = seen(&*store, read_of("k", &["a"])).await.unwrap().1;
    let lease = won(&*store, begin("other", &["a"])).await;
    server.flush();
    assert_eq!(seen(&*store, read_of("k", &["a"])).await.unwrap(), (None, vec![State::Absent]));
    assert!(!store.fill(fill("other", lease, Bytes::from_static(b"old"))).await.unwrap());
    assert!(load(&*store, "k", &["a"], "v").await);
    assert_ne!(seen(&*store, read_of("k", &["a"])).await.unwrap().1, before);
}

/// A key that is placed on the server at `place`.
fn keys_on(ring: &Ring, place: usize) -> String {
    let key = |number: &usize| ring.place(&name(&format!("k{number}"))) == place;
    format!("k{}", (0..).find(key).unwrap())
}

#[tokio::test]
async fn one_of_three_away_makes_its_names_unknown_and_no_others() {
    let servers = [(); 3].map(|()| server::Memcached::start());
    let (store, ring) = fleet(&servers, DEADLINE);
    let keys: Vec<String> = (0..3).map(|place| keys_on(&ring, place)).collect();
    for key in &keys {
        healed(&*store, read_of(key, &[])).await;
        assert!(load(&*store, key, &[], "v").await);
    }
    servers[1].kill();
    for _ in 0..3 {
        for (place, key) in keys.iter().enumerate() {
            let answer = seen(&*store, read_of(key, &[])).await;
            assert_eq!(answer.is_ok(), place != 1, "{place}: {answer:?}");
        }
        // A key that rests on a tag of the server that is away is not known either.
        assert!(store.read(vec![read_of(&keys[0], &[&keys[1]])]).await.is_err());
        assert!(store.revoke(targets(&[&keys[0], &keys[1]], &[]), None).await.is_err());
    }
    servers[1].restart();
    healed(&*store, read_of(&keys[1], &[])).await;
    assert!(load(&*store, &keys[1], &[], "new").await);
    let stands = seen(&*store, read_of(&keys[2], &[])).await.unwrap().0;
    assert_eq!(stands, Some(Bytes::from_static(b"v")));
    assert_eq!(seen(&*store, read_of(&keys[0], &[])).await.unwrap().0, None, "its part was invalidated");
}

#[tokio::test]
async fn the_epoch_is_vouched_for_while_its_home_is_away_and_not_after_it_was_removed() {
    let servers = [(); 3].map(|()| server::Memcached::start());
    let (store, ring) = fleet(&servers, DEADLINE);
    let home = ring.place(&Name::epoch());
    let key = keys_on(&ring, (home + 1) % 3);
    let epoch = || Register::Tag(Name::epoch());
    let read = || Read { entry: Some(name(&key)), registers: vec![epoch()] };
    for place in 0..3 {
        healed(&*store, read_of(&keys_on(&ring, place), &[])).await;
    }
    let begin = Begin { lease: None, registers: vec![epoch()], token_life: LONG };
    let first = store.begin(begin).await.unwrap().states[0];
    // The witness is made, known, and then seen to stand from before the epoch was read.
    for _ in 0..3 {
        assert_eq!(seen(&*store, read()).await.unwrap().1, [first]);
    }
    servers[home].stop();
    assert_eq!(seen(&*store, read()).await.unwrap().1, [first]);
    // Another process, which reaches its home, empties the namespace.
    servers[home].cont();
    let (other, _) = fleet(&servers, PATIENT);
    other.revoke(Targets::everything(), None).await.unwrap();
    servers[home].kill();
    assert!(store.read(vec![read()]).await.is_err(), "the epoch is used after it was removed");
    let (stranger, _) = fleet(&servers, DEADLINE);
    assert!(stranger.read(vec![read()]).await.is_err(), "whoever read neither knows nothing");
}

/// The control of [`one_of_three_away_makes_its_names_unknown_and_no_others`].
#[cfg(feature = "sim")]
#[tokio::test]
async fn if_others_took_the_names_of_a_server_that_is_away_it_would_bring_back_what_was_invalidated() {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    let servers = [(); 3].map(|()| server::Memcached::start());
    let settings = settings(&server::Memcached::url_of(&servers)).unwrap().op_timeout(PATIENT);
    let nodes = Memcached::all(&settings, &Handle::current()).unwrap();
    let mut ring = Ring::new(&settings.servers);
    let key = keys_on(&ring, 0);
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    ring.ejects.push(Box::new(move || away.load(Ordering::SeqCst)));
    let store = Fleet::new(nodes.into_iter().map(|node| Arc::new(node) as _).collect(), Arc::new(ring));
    assert!(load(&store, &key, &[], "old").await);
    is_away.store(true, Ordering::SeqCst);
    store.revoke(targets(&[&key], &[]), None).await.unwrap();
    is_away.store(false, Ordering::SeqCst);
    assert_eq!(seen(&store, read_of(&key, &[])).await.unwrap().0, Some(Bytes::from_static(b"old")));
}
