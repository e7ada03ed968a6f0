//! What goes over the wire, as the server counts it.

use super::*;

#[tokio::test]
async fn a_read_is_one_command_whatever_its_tags() {
    let server = Server::start();
    let store = patient(&server);
    assert!(load(&store, "k", 1, &["a", "b", "c"], "v").await);
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let (entry, states) = seen(&store, read_of("k", &["a", "b", "c"])).await;
    assert!(entry.is_some() && states.iter().all(|state| matches!(state, State::Token(_))));
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    assert_eq!(server.calls("mget"), 1, "{stats}");
    assert_eq!(server.calls("get") + server.calls("evalsha"), 0, "{stats}");
}

#[tokio::test]
async fn reads_that_wait_together_share_commands_and_keep_their_answers() {
    let server = Server::start();
    let store = patient(&server);
    for number in 0..200_u128 {
        let (key, tag) = (format!("k{number}"), format!("t{number}"));
        assert!(load(&store, &key, number + 1, &[&tag], "v").await);
        server.command(&["SET", &format!("test:e:{{{key}}}"), &key]).unwrap();
    }
    let registers: Vec<Register> = (0..200).map(|number| tag(&format!("t{number}"))).collect();
    let begun = store.begin(Begin { lease: None, registers, token_life: LONG }).await.unwrap();
    let tokens = Arc::new(begun.states);
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let mut reads = tokio::task::JoinSet::new();
    for round in 0..5 {
        for number in 0..200 {
            let (store, tokens) = (Arc::clone(&store), Arc::clone(&tokens));
            reads.spawn(async move {
                let (key, other) = (format!("k{number}"), (number + round) % 200);
                let (entry, states) = seen(&store, read_of(&key, &[&format!("t{other}"), "nobody's"])).await;
                assert_eq!(entry.as_deref(), Some(key.as_bytes()));
                assert_eq!(states, [tokens[other], State::Absent]);
            });
        }
    }
    reads.join_all().await;
    let calls = server.calls("mget");
    assert!(calls < 500, "1000 reads took {calls} commands");
}

#[tokio::test]
async fn a_large_read_is_answered_in_order() {
    let server = Server::start();
    let store = patient(&server);
    let reads: Vec<Read> = (0..2000).map(|number| read_of(&format!("k{number}"), &["a"])).collect();
    assert!(load(&store, "k1999", 1, &["a"], "v").await);
    let readings = store.read(reads).await.unwrap();
    assert_eq!(readings.len(), 2000);
    let filled: Vec<usize> = (0..2000).filter(|&at| readings[at].entry.is_some()).collect();
    assert_eq!(filled, [1999]);
}

#[tokio::test]
async fn operations_are_scripts_by_hash_and_never_a_transaction() {
    let server = Server::start();
    let store = patient(&server);
    for (what, _, error) in every_operation(&store).await {
        assert_eq!(error, None, "{what}");
    }
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    for never in ["multi", "exec", "eval", "watch", "keys", "flushall"] {
        assert_eq!(server.calls(never), 0, "{never} in {stats}");
    }
    assert!(server.calls("evalsha") > 0);
}

#[tokio::test]
async fn what_is_stored_expires_and_can_be_read_by_eye() {
    let server = Server::start();
    let store = patient(&server);
    let (lease, _) = won(&store, begin("user:7", 0xab, &["users"])).await;
    assert!(lease.is_asked_by(asker(0xab)) && lease != asker(0xab), "{lease:?}");
    let held = server.command(&["GET", "test:l:{user:7}"]).unwrap();
    assert!(held.starts_with(&format!("l{:016x}", 0xab)) && held.ends_with(':') && held.len() == 34, "{held}");
    assert!(store.fill(fill("user:7", lease, "{\"id\":7}")).await.unwrap());
    store.mark(targets(&["user:8"], &[]), Mark { strict: true, ..mark(0xcd) }).await.unwrap();
    let entry = server.command(&["GET", "test:e:{user:7}"]).unwrap();
    let (digits, bytes) = entry.split_at(32 + 16);
    assert!(held.contains(&digits[..32]) && bytes == "{\"id\":7}", "{entry} under {held}");
    assert!(server.command(&["GET", "test:l:{user:8}"]).unwrap().contains(&format!(";{:032x},s,", 0xcd)));
    let slots = server.command(&["KEYS", "*"]).unwrap();
    let mut slots: Vec<&str> = slots.lines().collect();
    slots.sort_unstable();
    assert_eq!(slots, ["test:e:{user:7}", "test:k:{user:8}", "test:l:{user:8}", "test:t:{users}"]);
    for slot in slots {
        let left: i64 = server.command(&["PTTL", slot]).unwrap().parse().unwrap();
        assert!((1..=60_000).contains(&left), "{slot} lives {left} ms");
    }
}

#[tokio::test]
async fn lives_that_redis_cannot_hold_are_cut() {
    let server = Server::start();
    let store = patient(&server);
    for life in [Duration::ZERO, Duration::MAX] {
        let begun = store.begin(Begin { lease: None, registers: vec![tag("a")], token_life: life }).await.unwrap();
        assert!(matches!(begun.states[..], [State::Token(_)]));
        store.mark(targets(&["k"], &["b"]), Mark { life, ..mark(1) }).await.unwrap();
        store.mark(targets(&["k"], &["b"]), Mark { life, renew: true, ..mark(1) }).await.unwrap();
        store.revoke(targets(&["k"], &["a", "b"]), Some(MarkId(1))).await.unwrap();
        let (lease, _) = won(&store, begin("k", 1, &[])).await;
        assert!(store.fill(Fill { life, token_life: life, ..fill("k", lease, "v") }).await.unwrap());
    }
}
