//! What others left in our slots counts as nothing and stands in nobody's way.

use super::*;

/// The slots of key `k` and tag `a`.
const SLOTS: [&str; 4] = ["test:e:{k}", "test:l:{k}", "test:k:{k}", "test:t:{a}"];

async fn counts_as_nothing(store: &Redis, server: &Server, put: impl Fn(&str)) {
    let registers = vec![tag("a"), Register::Key(name("k"))];
    for slot in SLOTS {
        put(slot);
    }
    let (_, states) = seen(store, Read { entry: Some(name("k")), registers: registers.clone() }).await;
    assert_eq!(states, [State::Absent, State::Absent]);
    assert!(!store.renew(name("k"), asker(1), Generation(1), LONG).await.unwrap());
    assert!(!store.fill(fill("k", asker(1), "v")).await.unwrap());
    store.release(name("k"), asker(1)).await.unwrap();

    let (lease, states) = won(store, Begin { registers: registers.clone(), ..begin("k", 1, &[]) }).await;
    assert!(states.iter().all(|state| matches!(state, State::Token(_))), "{states:?}");
    assert!(store.fill(fill("k", lease, "v")).await.unwrap());
    let read = Read { entry: Some(name("k")), registers };
    assert_eq!(seen(store, read).await, (Some(Bytes::from_static(b"v")), states));

    for slot in SLOTS {
        put(slot);
    }
    store.revoke(targets(&["k"], &["a"]), Some(MarkId(9))).await.unwrap();
    for slot in SLOTS {
        assert_eq!(server.command(&["EXISTS", slot]).unwrap(), "0", "{slot}");
        put(slot);
    }
    store.mark(targets(&["k"], &["a"]), mark(1)).await.unwrap();
    assert!(
        matches!(seen(store, read_of("k", &["a"])).await, (None, states) if matches!(states[..], [State::Pending { .. }]))
    );
    for slot in SLOTS {
        put(slot);
    }
    store.mark(targets(&["k"], &["a"]), Mark { renew: true, ..mark(1) }).await.unwrap();
    assert!(
        matches!(seen(store, read_of("k", &["a"])).await, (None, states) if matches!(states[..], [State::Pending { .. }]))
    );
    store.revoke(targets(&["k"], &["a"]), Some(MarkId(1))).await.unwrap();
    for slot in SLOTS {
        assert_eq!(server.command(&["EXISTS", slot]).unwrap(), "0", "{slot}");
    }
}

#[tokio::test]
async fn values_of_another_type() {
    let server = Server::start();
    let store = patient(&server);
    counts_as_nothing(&store, &server, |slot| {
        server.command(&["DEL", slot]).unwrap();
        server.command(&["RPUSH", slot, "one", "two"]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn text_that_nobody_wrote() {
    let server = Server::start();
    let store = patient(&server);
    let hex = "00112233445566778899aabbccddeeff";
    let texts = [
        String::new(),
        "t".into(),
        "!".into(),
        "l".into(),
        "nonsense".into(),
        format!("t{hex}-1-x"),
        format!("t{hex}-1-2-3"),
        format!("t{hex}-1-{}", "2".repeat(99)),
        format!("!{hex}-1-2;"),
        format!("!{hex}-1-2;{hex},o,5"),
        format!("!{hex}-1-2;{hex},o,5;x"),
        format!("!{hex}-1-2;x{hex},o,5;"),
        format!("!{hex}-1-2;{}*,o,5;", &hex[1..]),
        format!("!{hex}-1-2;{hex},x,5;"),
        format!("!{hex}-1-2;{hex},o,99999999999999999999;"),
        format!("l{hex}:1"),
        format!("l{hex}"),
        "\u{e9}\u{0}\r\n".into(),
    ];
    for text in texts {
        counts_as_nothing(&store, &server, |slot| {
            server.command(&["SET", slot, &text]).unwrap();
        })
        .await;
    }
}
