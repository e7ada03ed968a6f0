//! A server that is gone, silent, forgetful or full.

use super::*;

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_given_them_again() {
    let server = Server::start();
    let store = patient(&server);
    for round in 0..3 {
        for (what, _, error) in every_operation(&store).await {
            assert_eq!(error, None, "{what} in round {round}");
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
        }
    }
    assert!(load(&store, "k", 7, &["a", "b"], "v").await);
    assert_eq!(seen(&store, read_of("k", &[])).await.0, Some(Bytes::from_static(b"v")));
}

#[tokio::test]
async fn while_the_server_is_gone_every_call_fails_at_once() {
    let server = Server::start();
    let store = store(&server, DEADLINE);
    healed(&store).await;
    server.kill();
    // The call that finds out.
    assert!(store.read(vec![read_of("k", &[])]).await.is_err());
    for _ in 0..5 {
        for (what, took, error) in every_operation(&store).await {
            assert!(is_away(error.as_ref()), "{what}: {error:?}");
            assert!(took < Duration::from_millis(50), "{what} took {took:?}");
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    server.restart();
    let longest = healed(&store).await;
    assert!(longest < DEADLINE + SLACK, "a call waited {longest:?} for the connection");
    assert!(load(&store, "k", 1, &["a"], "v").await);
}

#[tokio::test]
async fn a_store_may_be_made_before_its_server_is_there() {
    let server = Server::start();
    server.kill();
    let store = store(&server, DEADLINE);
    for (what, took, error) in every_operation(&store).await {
        assert!(is_away(error.as_ref()), "{what}: {error:?}");
        assert!(took < DEADLINE + SLACK, "{what} took {took:?}");
    }
    server.restart();
    healed(&store).await;
    assert!(load(&store, "k", 1, &["a"], "v").await);
}

#[tokio::test]
async fn the_first_call_waits_for_the_first_connection() {
    let server = Server::start();
    for _ in 0..20 {
        let store = patient(&server);
        assert!(store.read(vec![read_of("k", &["a"])]).await.is_ok());
    }
}

#[tokio::test]
async fn a_silent_server_costs_a_deadline_and_no_more() {
    let server = Server::start();
    let store = store(&server, DEADLINE);
    healed(&store).await;
    server.stop();
    for _ in 0..3 {
        for (what, took, error) in every_operation(&store).await {
            assert!(is_away(error.as_ref()), "{what}: {error:?}");
            assert!(took < DEADLINE + SLACK, "{what} took {took:?}");
        }
    }
    let began = Instant::now();
    for (what, _, error) in every_operation(&store).await {
        assert!(error.is_some(), "{what}");
    }
    assert!(began.elapsed() < DEADLINE, "calls still wait for a server that missed its deadlines");
    server.cont();
    let longest = healed(&store).await;
    assert!(longest < DEADLINE + SLACK, "a call waited {longest:?}");
    // What the server had in its buffers it may have done by now; none of it may stand in the way.
    store.revoke(targets(&["k"], &["a"]), Some(MarkId(1))).await.unwrap();
    assert!(load(&store, "k", 2, &["a"], "v").await);
}

#[tokio::test]
async fn many_calls_to_a_silent_server_end_together() {
    let server = Server::start();
    let store = store(&server, DEADLINE);
    healed(&store).await;
    server.stop();
    many_calls_end_together(store).await;
    server.cont();
}

#[tokio::test]
async fn a_killed_connection_is_replaced() {
    let server = Server::start();
    let store = store(&server, DEADLINE);
    healed(&store).await;
    for _ in 0..3 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        let longest = healed(&store).await;
        assert!(longest < DEADLINE + SLACK, "a call waited {longest:?}");
    }
    assert!(load(&store, "k", 1, &["a"], "v").await);
}

#[tokio::test]
async fn an_emptied_server_is_a_miss() {
    let server = Server::start();
    let store = patient(&server);
    assert!(load(&store, "k", 1, &["a"], "v").await);
    let (_, before) = seen(&store, read_of("k", &["a"])).await;
    let (lease, states) = won(&store, begin("other", 2, &["a"])).await;
    assert_eq!(states, before);
    server.command(&["FLUSHALL"]).unwrap();
    assert_eq!(seen(&store, read_of("k", &["a"])).await, (None, vec![State::Absent]));
    assert!(!store.fill(fill("other", lease, "old")).await.unwrap());
    assert!(load(&store, "k", 3, &["a"], "v").await);
    assert_ne!(seen(&store, read_of("k", &["a"])).await.1, before);
}

#[tokio::test]
async fn a_full_server_still_invalidates() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = patient(&server);
    assert!(load(&store, "k", 1, &["a"], "v").await);
    assert!(load(&store, "other", 1, &["b"], "v").await);
    let (lease, _) = won(&store, begin("third", 2, &[])).await;
    store.mark(targets(&["marked"], &["marked"]), mark(1)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();

    assert!(matches!(store.fill(fill("third", lease, "v")).await, Err(StoreError::Refused(_))));
    assert!(matches!(store.begin(begin("new", 3, &["new"])).await, Err(StoreError::Refused(_))));
    assert!(seen(&store, read_of("k", &["a"])).await.0.is_some());

    let refused = store.mark(targets(&["k"], &["a"]), mark(2)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(seen(&store, read_of("k", &["a"])).await, (None, vec![State::Absent]));

    store.revoke(targets(&["other", "third"], &["b"]), None).await.unwrap();
    assert_eq!(seen(&store, read_of("other", &["b"])).await, (None, vec![State::Absent]));
    store.revoke(targets(&["marked"], &["marked"]), Some(MarkId(2))).await.unwrap();
    assert!(matches!(seen(&store, read_of("marked", &["marked"])).await.1[..], [State::Pending { .. }]));
    store.revoke(targets(&["marked"], &["marked"]), Some(MarkId(1))).await.unwrap();
    assert_eq!(seen(&store, read_of("marked", &["marked"])).await, (None, vec![State::Absent]));

    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(!store.fill(fill("third", lease, "old")).await.unwrap());
    assert!(load(&store, "k", 4, &["a"], "v").await);
}

#[tokio::test]
async fn a_wrong_password_keeps_the_store_away_and_is_not_shown() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let url = server.url().replace("redis://", "redis://:hunter2@");
    let settings = settings(&url).unwrap().op_timeout(Duration::from_secs(5));
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    for (what, _, error) in every_operation(&store).await {
        let Some(StoreError::Gone(reason)) = error else { panic!("{what}: {error:?}") };
        assert!(!reason.contains("hunter2"), "{reason}");
    }
    let shown = format!("{store:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_change_of_state_is_one_event_without_credentials() {
    let events = Events::default();
    // With one subscriber alone, tracing asks the thread that first meets an event whether anybody listens, and remembers a no of another test's thread.
    let _second = tracing::Dispatch::new(Events::default());
    let _collecting = tracing::subscriber::set_default(events.clone());
    let server = Server::start_with(&["--requirepass", "hunter2"]);
    let url = server.url().replace("redis://", "redis://:hunter2@");
    let settings = settings(&url).unwrap().op_timeout(DEADLINE);
    let store = Redis::new(settings, Handle::current(), breakers()).unwrap();
    healed(&store).await;
    server.kill();
    for _ in 0..10 {
        assert!(store.read(vec![read_of("k", &[])]).await.is_err());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    server.restart();
    healed(&store).await;
    let seen = events.0.lock().unwrap().clone();
    let expected = ["connected to Redis", "lost Redis", "connected to Redis"];
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
    for (event, expected) in seen.iter().zip(expected) {
        assert!(event.contains(expected) && !event.contains("hunter2"), "{event}");
    }
}

/// The text of this crate's events.
#[derive(Clone, Default)]
pub(super) struct Events(pub(super) Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("cache_runtime")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

#[test]
fn a_store_outlives_the_runtimes_of_its_callers() {
    let server = Server::start();
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings = settings(&server.url()).unwrap().op_timeout(Duration::from_secs(5));
    let store = Redis::new(settings, own.handle().clone(), breakers()).unwrap();
    for id in 0..3 {
        let caller = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(id == 1).build().unwrap();
        let filled = caller.block_on(async {
            store.revoke(targets(&["k"], &[]), None).await.unwrap();
            load(&store, "k", id, &["a"], "v").await
        });
        assert!(filled);
        drop(caller);
        // No runtime at all.
        let reading = pollster(store.read(vec![read_of("k", &["a"])])).unwrap();
        assert!(reading[0].entry.is_some());
    }
    drop(own);
    for (what, _, error) in pollster(every_operation(&store)) {
        assert!(is_away(error.as_ref()), "{what}: {error:?}");
    }
}

/// The plainest executor there is.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(ready) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return ready;
        }
        std::thread::park();
    }
}

fn is_away(error: Option<&StoreError>) -> bool {
    matches!(error, Some(StoreError::Away(_) | StoreError::Gone(_) | StoreError::Late))
}
