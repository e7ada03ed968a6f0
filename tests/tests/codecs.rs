//! What one process stores, another reads, whatever codec each writes with.

#[allow(unused_macros, reason = "all of it is about Redis")]
mod common;

use std::collections::HashMap;

use cache_runtime::Builder;
use cache_runtime::Cache;
use cache_runtime::Codec;
use cache_runtime::Counts;
use cache_runtime::cached;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use cache_runtime::testing::settled;
use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    title: String,
    amounts: Vec<f64>,
    lines: String,
    notes: HashMap<String, Option<u64>>,
}

fn report(lines: usize) -> Report {
    Report {
        title: "Q3 \u{2014} \"final\"".into(),
        amounts: vec![0.1 + 0.2, -0.0, 1e300],
        lines: "a line of a report\n".repeat(lines),
        notes: HashMap::from([("one".into(), Some(u64::MAX)), ("none".into(), None)]),
    }
}

#[cached(ttl = "5m", key = "report:{lines}", tags = ["reports"])]
async fn load(lines: usize) -> Report {
    report(lines)
}

#[cached(ttl = "5m", key = "by-pair:{id}")]
async fn by_pair(id: u64) -> HashMap<(u64, u64), String> {
    HashMap::from([((id, id + 1), "a pair".into())])
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Odd {
    ratio: Option<f64>,
    nested: Option<Option<u32>>,
}

#[cached(ttl = "5m", key = "odd:{id}", skip(value))]
async fn odd(id: u64, value: Odd) -> Odd {
    value
}

async fn built(server: &Server, settings: impl FnOnce(Builder) -> Builder) -> Cache {
    let builder = Cache::builder().url(&server.url());
    let builder = builder.op_timeout(std::time::Duration::from_secs(5));
    settings(builder).connect().await.unwrap()
}

/// Loads through one cache, and says what was counted when it is read through another.
async fn stored_and_read(writer: &Cache, reader: &Cache, lines: usize) -> Counts {
    assert_eq!(scope(writer.clone(), load(lines)).await, report(lines));
    settled(writer).await;
    let before = reader.stats();
    assert_eq!(scope(reader.clone(), load(lines)).await, report(lines));
    settled(reader).await;
    reader.stats().since(&before).total
}

fn entry(server: &Server, lines: usize) -> String {
    server.command(&["GETRANGE", &format!("cache:e:{{report:{lines}}}"), "0", "-1"]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_with_different_codecs_read_each_others_entries() {
    let server = Server::start();
    let json = built(&server, |builder| builder.codec(Codec::Json)).await;
    let packed = built(&server, |builder| builder.codec(Codec::MessagePack)).await;
    let by_url = Cache::connect(&format!("{}?codec=msgpack", server.url())).await.unwrap();
    // Of more than the threshold too, where it is compressed.
    for (lines, size) in [(1, "short"), (1000, "long")] {
        for (writer, from) in [(&json, "JSON"), (&packed, "MessagePack"), (&by_url, "MessagePack by URL")] {
            for (reader, to) in [(&json, "JSON"), (&packed, "MessagePack")] {
                server.command(&["DEL", &format!("cache:e:{{report:{lines}}}")]).unwrap();
                let counts = stored_and_read(writer, reader, lines).await;
                assert_eq!((counts.hits, counts.loads, counts.unreadable), (1, 0, 0), "{size}, {from} to {to}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_in_the_form_that_its_writer_was_told() {
    let server = Server::start();
    let json = built(&server, |builder| builder.compress_above(usize::MAX)).await;
    let packed = built(&server, |builder| builder.codec(Codec::MessagePack).compress_above(usize::MAX)).await;
    let small = built(&server, |builder| builder.compress_above(100)).await;
    let of = async |cache: &Cache| {
        server.command(&["FLUSHALL"]).unwrap();
        scope(cache.clone(), load(1000)).await;
        settled(cache).await;
        entry(&server, 1000)
    };
    let (json, packed, small) = (of(&json).await, of(&packed).await, of(&small).await);
    assert!(json.contains(r#""lines":"a line of a report\n"#), "JSON is readable in the store");
    assert!(packed.contains("lines") && !packed.contains(r#""lines""#) && packed.len() < json.len());
    assert!(small.len() < json.len() / 10, "{} bytes of {}", small.len(), json.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_codec_cannot_write_is_not_stored() {
    let server = Server::start();
    for (codec, unstorable) in [(Codec::Json, 1), (Codec::MessagePack, 0)] {
        server.command(&["FLUSHALL"]).unwrap();
        let cache = built(&server, |builder| builder.codec(codec)).await;
        let read = async || {
            let value = scope(cache.clone(), by_pair(7)).await;
            settled(&cache).await;
            value
        };
        assert_eq!(read().await, read().await);
        let counts = cache.stats().total;
        assert_eq!((counts.unstorable > 0, counts.hits), (unstorable > 0, 1 - unstorable), "{codec:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_read_as_another_value_is_not_stored() {
    let server = Server::start();
    let (nothing, infinity) =
        (Odd { ratio: None, nested: Some(None) }, Odd { ratio: Some(f64::INFINITY), nested: None });
    for (codec, stored) in [(Codec::Json, [false, false, true]), (Codec::MessagePack, [false, true, true])] {
        server.command(&["FLUSHALL"]).unwrap();
        let cache = built(&server, |builder| builder.codec(codec)).await;
        let values = [nothing.clone(), infinity.clone(), Odd { ratio: Some(0.5), nested: None }];
        for ((id, value), stored) in (0_u64..).zip(values).zip(stored) {
            let before = cache.stats();
            for _ in 0..2 {
                assert_eq!(scope(cache.clone(), odd(id, value.clone())).await, value, "{codec:?}");
                settled(&cache).await;
            }
            let counts = cache.stats().since(&before).total;
            assert_eq!((counts.hits == 1, counts.unstorable == 0), (stored, stored), "{codec:?} {value:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_would_be_larger_than_the_reader_takes_is_a_miss() {
    let server = Server::start();
    let writer = built(&server, |builder| builder).await;
    let reader = built(&server, |builder| builder.max_entry(10_000)).await;
    let counts = stored_and_read(&writer, &reader, 1000).await;
    assert_eq!((counts.hits, counts.loads, counts.unreadable, counts.unstorable), (0, 1, 1, 1));
    // What is no larger is read.
    let counts = stored_and_read(&writer, &reader, 400).await;
    assert_eq!((counts.hits, counts.loads, counts.unreadable), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_nobody_knows_is_a_miss_and_is_replaced() {
    // Behind the id of the lease, "cr" and the format stand the flags.
    const SET_FLAGS: &str = "local value = redis.call('GET', KEYS[1])
        redis.call('SET', KEYS[1], string.sub(value, 1, 35) .. string.char(tonumber(ARGV[1])) .. string.sub(value, 37))";
    let server = Server::start();
    let cache = built(&server, |builder| builder).await;
    scope(cache.clone(), async {
        for flags in [1_u8, 2, 3, 4, 5, 7, 8, 16, 32, 64, 128, 255] {
            load(1).await;
            settled(&cache).await;
            let before = cache.stats();
            server.command(&["EVAL", SET_FLAGS, "1", "cache:e:{report:1}", &flags.to_string()]).unwrap();
            assert_eq!(load(1).await, report(1));
            settled(&cache).await;
            assert_eq!(load(1).await, report(1));
            let counts = cache.stats().since(&before).total;
            assert_eq!((counts.unreadable, counts.loads, counts.hits), (1, 1, 1), "flags {flags:b}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_codec_that_is_none_is_an_error() {
    for url in ["memory:?codec=yaml", "redis://127.0.0.1:1?codec=yaml"] {
        let error = Cache::builder().url(url).build().unwrap_err().to_string();
        assert!(error.contains("`json` or `msgpack`"), "{url}: {error}");
    }
    for url in ["memory:?codec=msgpack", "memory:?codec=json&namespace=shop", "redis://127.0.0.1:1?codec=msgpack"] {
        Cache::builder().url(url).build().unwrap();
    }
}
