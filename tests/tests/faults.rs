//! A Redis that is gone, silent, forgetful, full or full of what others wrote.

#[allow(unused_macros, reason = "all of it is about Redis")]
mod common;

use std::env;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::global;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::common::Row;
use crate::common::connected;
use crate::common::filled;
use crate::common::settled;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows", "row:{id}"], skip(row))]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[invalidates(key = "row:{id}")]
async fn write(row: &Row, id: u64) -> u64 {
    let _ = id;
    row.write()
}

/// Reads row 7, and says whether that was a load.
async fn loads(row: &Row) -> bool {
    let before = row.loads();
    read(row, 7).await;
    row.loads() > before
}

/// A dead store may cost a call a few deadlines of 100 ms, never a wait for something else.
const QUICKLY: Duration = Duration::from_secs(2);

async fn quickly<F: Future>(call: F) -> F::Output {
    let began = Instant::now();
    let output = call.await;
    assert!(began.elapsed() < QUICKLY, "a call took {:?}", began.elapsed());
    output
}

/// Takes the server away and brings it back; meanwhile everything works, and afterwards everything is as before.
async fn heals(away: fn(&Server), back: fn(&Server)) {
    let server = Server::start();
    let cache = Cache::connect(&server.url()).await.unwrap();
    let in_cache = async {
        let row = Row::new();
        until("it is stored", async || !loads(&row).await).await;
        away(&server);
        for id in 0..20 {
            assert_eq!(quickly(read(&row, id)).await, row.version.load(Ordering::SeqCst));
        }
        assert!(cache.stats().total.store_failures > 0);
        let written = quickly(write(&row, 7)).await;
        assert!(cache.pending() > 0, "nobody could be told");
        assert_eq!(quickly(cache.invalidate("row:8")).await, Delivery::Deferred);
        assert_eq!(quickly(cache.invalidate_tags(["rows"])).await, Delivery::Deferred);
        assert_eq!(quickly(read(&row, 7)).await, written);
        back(&server);
        until("what was deferred is delivered", async || cache.pending() == 0).await;
        assert_eq!(read(&row, 7).await, written);
        until("it is stored again", async || !loads(&row).await).await;
        let written = write(&row, 7).await;
        assert_eq!(read(&row, 7).await, written);
        let counts = cache.stats().total;
        assert_eq!(counts.failures, 0);
        assert!(counts.deferred >= 3, "{counts:?}");
    };
    scope(cache.clone(), in_cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_done_without_until_it_is_back() {
    heals(Server::kill, Server::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_done_without_until_it_speaks() {
    heals(Server::stop, Server::cont).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_share_loads_without_a_server() {
    for away in [Server::kill, Server::stop] {
        let server = Server::start();
        let cache = Cache::connect(&server.url()).await.unwrap();
        away(&server);
        let row = Row::with_gate(0);
        let mut callers = JoinSet::new();
        for _ in 0..1000 {
            let row = row.clone();
            callers.spawn(scope(cache.clone(), async move { read(&row, 7).await }));
        }
        row.has_loads(1).await;
        // Time for all of them to come, and for their deadlines.
        tokio::time::sleep(Duration::from_millis(500)).await;
        row.gate.add_permits(1000);
        assert!(callers.join_all().await.into_iter().all(|value| value == 1));
        assert!(row.most_loading() <= 2, "{} loads at one time", row.most_loading());
        assert!(row.loads() <= 4, "{} loads", row.loads());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_and_lost_connections_cost_nothing_but_time() {
    let server = Server::start();
    let cache = connected(&server).await;
    scope(cache.clone(), async {
        let row = Row::new();
        for fault in [["SCRIPT", "FLUSH"].as_slice(), &["CLIENT", "KILL", "TYPE", "normal"]].repeat(5) {
            server.command(fault).unwrap();
            let written = write(&row, 7).await;
            server.command(fault).unwrap();
            assert_eq!(read(&row, 7).await, written);
            until("what was deferred is delivered", async || cache.pending() == 0).await;
            until("it is stored", async || !loads(&row).await).await;
            server.command(fault).unwrap();
            assert_eq!(read(&row, 7).await, written);
        }
    })
    .await;
}

/// Puts row 7 into the store, does `damage` to it, and reads it again.
async fn is_a_miss(cache: &Cache, row: &Row, counted: bool, what: &str, damage: impl Fn()) {
    until("it is stored", async || !loads(row).await).await;
    let before = cache.stats().total;
    // What is stored is out of date from here on, so that a hit on it would be seen.
    let version = row.write();
    damage();
    assert_eq!(read(row, 7).await, version, "{what}");
    until("it is replaced", async || cache.stats().total.fills > before.fills).await;
    assert!(!loads(row).await, "{what} was not replaced");
    assert_eq!(cache.stats().total.unreadable > before.unreadable, counted, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_an_entry_of_the_key_are_a_miss_and_are_replaced() {
    let server = Server::start();
    let cache = connected(&server).await;
    let run = |script: &str, argument: usize| {
        server.command(&["EVAL", script, "1", ENTRY, &argument.to_string()]).unwrap();
    };
    scope(cache.clone(), async {
        let (row, another) = (Row::new(), Row::new());
        let whole = async || {
            until("it is stored", async || !loads(&row).await).await;
            server.command(&["STRLEN", ENTRY]).unwrap().parse::<usize>().unwrap()
        };
        let zeros = "0".repeat(500);
        for garbage in ["", "x", "garbage", &zeros[..40], &"\u{0}\u{ff}".repeat(500)] {
            let set = || drop(server.command(&["SET", ENTRY, garbage]).unwrap());
            is_a_miss(&cache, &row, true, &format!("{garbage:?}"), set).await;
        }
        let set = || drop(server.command(&["SET", ENTRY, &zeros]).unwrap());
        is_a_miss(&cache, &row, false, "what another run of a server might have stored", set).await;
        read(&another, 8).await;
        settled(8).await;
        let copy = || drop(server.command(&["COPY", "cache:e:{row:8}", ENTRY, "REPLACE"]).unwrap());
        is_a_miss(&cache, &row, true, "the entry of another key", copy).await;
        let zeros = || run("redis.call('SET', KEYS[1], string.rep('\\0', 1048576))", 0);
        is_a_miss(&cache, &row, true, "a megabyte of zeros", zeros).await;
        let list = || {
            server.command(&["DEL", ENTRY]).unwrap();
            server.command(&["RPUSH", ENTRY, "one", "two"]).unwrap();
        };
        is_a_miss(&cache, &row, false, "a list", list).await;
        for length in 0..whole().await {
            let cut = || run("redis.call('SET', KEYS[1], string.sub(redis.call('GET', KEYS[1]), 1, ARGV[1]))", length);
            is_a_miss(&cache, &row, true, &format!("the first {length} bytes"), cut).await;
        }
        // Before it stand the id of its lease, which says nothing of the value, and the incarnation of the server.
        for byte in BEFORE..whole().await {
            let flip = || run(FLIP, byte);
            is_a_miss(&cache, &row, true, &format!("a flipped bit of byte {byte}"), flip).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_lie_under_a_valid_checksum_are_a_miss() {
    let server = Server::start();
    let cache = connected(&server).await;
    scope(cache.clone(), async {
        let row = Row::new();
        until("it is stored", async || !loads(&row).await).await;
        for (what, lie) in LIES {
            let lied = || {
                let mut entry = bytes_of(&server);
                lie(&mut entry);
                let bytes: String = entry.iter().map(|byte| format!("{byte:02x}")).collect();
                server.command(&["EVAL", PUT, "1", ENTRY, &bytes]).unwrap();
            };
            is_a_miss(&cache, &row, true, what, lied).await;
        }
        // The control: sealed again without a lie, it is served.
        let mut entry = bytes_of(&server);
        seal(&mut entry);
        let bytes: String = entry.iter().map(|byte| format!("{byte:02x}")).collect();
        server.command(&["EVAL", PUT, "1", ENTRY, &bytes]).unwrap();
        assert!(!loads(&row).await, "an honest one is not read either");
    })
    .await;
}

/// What an entry is made to claim, and how.
type Lie = (&'static str, fn(&mut Vec<u8>));

const LIES: [Lie; 9] = [
    ("no dependencies", |entry| lie(entry, DEPENDENCIES, &0_u16.to_le_bytes())),
    ("one dependency more", |entry| lie(entry, DEPENDENCIES, &3_u16.to_le_bytes())),
    ("as many dependencies as can be said", |entry| lie(entry, DEPENDENCIES, &u16::MAX.to_le_bytes())),
    ("a name of no length", |entry| lie(entry, DEPENDENCIES + 3, &[0])),
    ("a name longer than the entry", |entry| lie(entry, DEPENDENCIES + 3, &[255])),
    ("no payload", |entry| lie(entry, payload_length(entry), &0_u32.to_le_bytes())),
    ("a payload of a byte less", |entry| {
        let (at, length) = (payload_length(entry), payload_of(entry) - 1);
        lie(entry, at, &length.to_le_bytes());
    }),
    ("a payload of a byte more", |entry| {
        let (at, length) = (payload_length(entry), payload_of(entry) + 1);
        lie(entry, at, &length.to_le_bytes());
    }),
    ("a payload of four gigabytes", |entry| lie(entry, payload_length(entry), &u32::MAX.to_le_bytes())),
];

/// Writes `said` into an entry, and seals it again.
fn lie(entry: &mut Vec<u8>, at: usize, said: &[u8]) {
    let honest = payload_length(entry);
    entry.splice(at..at + said.len(), said.iter().copied());
    seal_at(entry, honest);
}

fn seal(entry: &mut Vec<u8>) {
    let honest = payload_length(entry);
    seal_at(entry, honest);
}

fn seal_at(entry: &mut Vec<u8>, length: usize) {
    let (before, payload) = (&entry[BEFORE..length + 4], &entry[length + 4 + 8..]);
    let checksum = xxh3_64_with_seed(payload, xxh3_64(before));
    entry.splice(length + 4..length + 4 + 8, checksum.to_le_bytes());
}

/// Where an entry says how long its payload is.
fn payload_length(entry: &[u8]) -> usize {
    let count = u16::from_le_bytes([entry[DEPENDENCIES], entry[DEPENDENCIES + 1]]);
    (0..count).fold(DEPENDENCIES + 2, |at, _| at + 2 + usize::from(entry[at + 1]) + 16)
}

fn payload_of(entry: &[u8]) -> u32 {
    let at = payload_length(entry);
    u32::from_le_bytes(entry[at..at + 4].try_into().unwrap())
}

fn bytes_of(server: &Server) -> Vec<u8> {
    let digits = server.command(&["EVAL", GET, "1", ENTRY]).unwrap();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

const GET: &str =
    "return (redis.call('GET', KEYS[1]):gsub('.', function(byte) return string.format('%02x', byte:byte()) end))";
const PUT: &str = "return redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)))";
const ENTRY: &str = "cache:e:{row:7}";
/// What the store puts before an entry.
const BEFORE: usize = 32 + 16;
/// Where an entry says how many dependencies it has.
const DEPENDENCIES: usize = BEFORE + 2 + 1 + 1 + 16 + 8 + 4 + 8 + 8 + 4 + 16;

/// Flips a bit of one byte of a string.
const FLIP: &str = "local value = redis.call('GET', KEYS[1]) local at = tonumber(ARGV[1]) + 1
    local flipped = string.char(bit.bxor(string.byte(value, at), 2 ^ (at % 8)))
    redis.call('SET', KEYS[1], string.sub(value, 1, at - 1) .. flipped .. string.sub(value, at + 1))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_leases_that_others_overwrote_heal() {
    let server = Server::start();
    let cache = connected(&server).await;
    let long = "0".repeat(10_000);
    scope(cache, async {
        let row = Row::new();
        for slot in ["cache:t:{rows}", "cache:t:{row:7}", "cache:l:{row:7}", "cache:k:{row:7}"] {
            for text in ["", "garbage", "t", "!", "l", &long] {
                until("it is stored", async || !loads(&row).await).await;
                server.command(&["SET", slot, text]).unwrap();
                assert_eq!(loads(&row).await, slot.starts_with("cache:t:"), "{slot} {text:?}");
                server.command(&["SET", slot, text]).unwrap();
                let written = write(&row, 7).await;
                server.command(&["SET", slot, text]).unwrap();
                assert_eq!(read(&row, 7).await, written, "{slot} {text:?}");
            }
        }
        until("it is stored", async || !loads(&row).await).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_read_and_invalidated() {
    let server = Server::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let cache = connected(&server).await;
    scope(cache.clone(), async {
        let row = Row::new();
        until("it is stored", async || !loads(&row).await).await;
        for size in [200_000, 20_000, 2_000, 200] {
            while server.command(&["APPEND", &format!("ballast:{size}"), &"x".repeat(size)]).is_ok() {}
        }
        assert!(!loads(&row).await, "what is there is served");
        let before = cache.stats().total;
        for id in 100..103 {
            assert_eq!((read(&row, id).await, read(&row, id).await), (1, 1));
        }
        assert_eq!(cache.stats().total.loads - before.loads, 6, "what does not fit is loaded every time");
        assert_eq!(cache.stats().total.fills, before.fills);
        let written = write(&row, 7).await;
        assert_eq!(cache.pending(), 0);
        assert_eq!(read(&row, 7).await, written);
        assert_eq!(cache.invalidate_tags(["rows"]).await, Delivery::Applied);
        row.write();
        assert_eq!(read(&row, 7).await, written + 1);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        until("it is stored again", async || !loads(&row).await).await;
    })
    .await;
}

#[tokio::test]
async fn a_value_over_the_limit_is_not_stored() {
    #[cached(ttl = "5m", key = "text:{length}")]
    async fn text(length: usize) -> String {
        "x".repeat(length)
    }
    let server = Server::start();
    let cache = Cache::builder().url(&server.url()).op_timeout(Duration::from_secs(5)).max_entry(1000);
    let cache = cache.connect().await.unwrap();
    scope(cache.clone(), async {
        for length in [10, 2000, 2000] {
            assert_eq!(text(length).await.len(), length);
        }
        filled(&cache, "text", 1).await;
    })
    .await;
    let counts = cache.stats().function("text");
    assert_eq!((counts.loads, counts.fills, counts.unstorable), (3, 1, 2));
    assert_eq!(server.command(&["EXISTS", "cache:e:{text:10}", "cache:e:{text:2000}"]).unwrap(), "1");
}

#[cached(ttl = "5m", key = "tagged:{id}", tags = ["one", "two", "three"], skip(row))]
async fn tagged(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[tokio::test]
async fn a_hit_is_one_command_and_a_miss_two_round_trips_and_a_fill() {
    let server = Server::start();
    let cache = connected(&server).await;
    let asked = || (server.calls("mget"), server.calls("evalsha"));
    scope(cache.clone(), async {
        let row = Row::new();
        tagged(&row, 1).await;
        filled(&cache, "tagged", 1).await;

        let before = asked();
        for _ in 0..10 {
            tagged(&row, 1).await;
        }
        assert_eq!(asked(), (before.0 + 10, before.1), "the tags come with the entry");

        // The tags have tokens, so all that is asked for is the lease; the scripts themselves look at one slot each.
        let (before, row) = (asked(), Row::with_gate(0));
        let miss = tokio::spawn(scope(cache.clone(), {
            let row = row.clone();
            async move { tagged(&row, 2).await }
        }));
        row.has_loads(1).await;
        assert_eq!(asked(), (before.0 + 2, before.1 + 1));
        row.gate.add_permits(1);
        miss.await.unwrap();
        filled(&cache, "tagged", 2).await;
        assert_eq!(server.calls("evalsha"), before.1 + 3, "the fill, and the lives of the tokens in the same write");

        write(&row, 7).await;
        cache.defer_invalidations(write(&row, 7)).await;
        let _ = cache.invalidate_tags(["one", "two"]).await;
        assert_eq!((server.calls("multi"), server.calls("exec"), server.calls("eval")), (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn slots_are_readable() {
    let server = Server::start();
    let cache = connected(&server).await;
    scope(cache, async {
        read(&Row::new(), 7).await;
        settled(7).await;
    })
    .await;
    let slots = server.command(&["KEYS", "*"]).unwrap();
    let mut slots: Vec<_> = slots.lines().collect();
    slots.sort_unstable();
    assert_eq!(slots, ["cache:e:{row:7}", "cache:t:{#epoch}", "cache:t:{row:7}", "cache:t:{rows}"]);
}

#[tokio::test]
async fn namespaces_are_strangers() {
    let server = Server::start();
    let named = async |name: &str| {
        let builder = Cache::builder().url(&server.url()).namespace(name).op_timeout(Duration::from_secs(5));
        builder.connect().await.unwrap()
    };
    let (one, two) = (named("shop:one").await, named("shop:two").await);
    let (here, there) = (Row::new(), Row::new());
    there.write();
    for (cache, row, value) in [(&one, &here, 1), (&two, &there, 2)] {
        assert_eq!(scope(cache.clone(), read(row, 7)).await, value);
        scope(cache.clone(), settled(7)).await;
    }
    assert_eq!(one.invalidate_tags(["rows"]).await, Delivery::Applied);
    assert_eq!(one.invalidate("row:7").await, Delivery::Applied);
    assert!(!scope(two, loads(&there)).await);
    assert!(scope(one, loads(&here)).await);
}

/// A process of the test below, which knows nothing of any cache: it prints its loads and its fills.
#[tokio::test]
#[ignore = "a process of the test below"]
#[expect(clippy::print_stdout, reason = "the test reads it")]
async fn a_process_without_set_up() {
    if env::var("ROLE").is_err() {
        return;
    }
    let row = Row::new();
    for _ in 0..5 {
        assert_eq!(read(&row, 7).await, 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let counts = global().stats().total;
    println!("\nasked five times: {} loads, {} fills", counts.loads, counts.fills);
}

#[test]
fn the_environment_says_which_store() {
    let server = Server::start();
    let asked = |url: Option<&str>| {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["a_process_without_set_up", "--exact", "--nocapture", "--ignored"]);
        process.env_remove("CACHE_URL").env_remove("CACHE_NAMESPACE").env("ROLE", "child").stderr(Stdio::inherit());
        let output = url.into_iter().fold(&mut process, |process, url| process.env("CACHE_URL", url)).output().unwrap();
        assert!(output.status.success());
        let output = String::from_utf8(output.stdout).unwrap();
        output.lines().find(|line| line.starts_with("asked")).expect("a line").to_owned()
    };
    let stored = "asked five times: 1 loads, 1 fills";
    assert_eq!(asked(None), stored);
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
    assert_eq!(asked(Some(&server.url())), stored);
    assert_eq!(server.command(&["EXISTS", "cache:e:{row:7}"]).unwrap(), "1");
    let shared = "asked five times: 0 loads, 0 fills";
    assert_eq!(asked(Some(&server.url())), shared, "another process finds it");
    for wrong in ["redis://127.0.0.1:port", "rediss://127.0.0.1", "nonsense"] {
        assert_eq!(asked(Some(wrong)), "asked five times: 5 loads, 0 fills", "{wrong}");
    }
}

/// A process of the test below: it prints what is wrong with its environment.
#[tokio::test]
#[ignore = "a process of the test below"]
#[expect(clippy::print_stdout, reason = "the test reads it")]
async fn a_process_that_asks_the_environment() {
    if env::var("ROLE").is_ok() {
        println!(
            "\nsaid: {}",
            Cache::from_env().await.map_or_else(|error| error.to_string(), |_| "nothing".to_owned())
        );
    }
}

#[test]
fn the_variable_that_is_wrong_is_named() {
    let said = |variables: &[(&str, &str)]| {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["a_process_that_asks_the_environment", "--exact", "--nocapture", "--ignored"]);
        for name in ["CACHE_URL", "CACHE_NAMESPACE", "CACHE_SECRET"] {
            process.env_remove(name);
        }
        process.env("ROLE", "child").envs(variables.iter().copied()).stderr(Stdio::inherit());
        let output = String::from_utf8(process.output().unwrap().stdout).unwrap();
        output.lines().find(|line| line.starts_with("said: ")).expect("a line")[6..].to_owned()
    };
    for (name, value, expected) in [
        ("CACHE_URL", "ftp://cache", "`CACHE_URL`: no store is named by `ftp:`"),
        ("CACHE_URL", "memory:?namespace=a+b", "`CACHE_URL`: `a+b` is not a namespace"),
        ("CACHE_NAMESPACE", "a b", "`CACHE_NAMESPACE`: `a b` is not a namespace"),
        ("CACHE_SECRET", "short", "`CACHE_SECRET`: a secret of less than 16 bytes"),
    ] {
        let said = said(&[(name, value)]);
        assert!(said.starts_with(expected), "{said}");
    }
    assert_eq!(said(&[("CACHE_URL", "memory:?namespace=shop"), ("CACHE_NAMESPACE", "stall")]), "nothing");
}

#[test]
fn the_namespace_of_the_environment_comes_before_that_of_its_url() {
    let server = Server::start();
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["a_process_without_set_up", "--exact", "--nocapture", "--ignored"]).env("ROLE", "child");
    process.env("CACHE_URL", format!("{}?namespace=url", server.url())).env("CACHE_NAMESPACE", "variable");
    assert!(process.output().unwrap().status.success());
    assert_eq!(server.command(&["EXISTS", "variable:e:{row:7}"]).unwrap(), "1");
    assert_eq!(server.command(&["EXISTS", "url:e:{row:7}"]).unwrap(), "0");
}

#[tokio::test]
async fn a_wrong_url_is_named_without_its_credentials() {
    let wrong = [
        ("rediss://ann:hunter2@host?ca=/no/such/file", "`ca=/no/such/file` cannot be used"),
        ("redis+cluster://ann:hunter2@a,b/3", "database"),
        ("redis+sentinel://ann:hunter2@a,b", "no name of a master"),
        ("memcached://hunter2@a", "without a user"),
        ("http://ann:hunter2@host", "`http:`"),
        ("redis://ann:hunter2@host/one", "database"),
        ("redis://ann:hunter2@host:99999", "not a URL"),
        ("redis://ann:hunter2@host?ttl=1", "unknown parameter `ttl`"),
        ("redis://ann:hunter2@host?namespace=a%20b", "`a b` is not a namespace"),
        ("memory:?hunter=1", "write `memory:`"),
        ("hunter2@host:6379", "redis://host:port"),
        (":hunter2@host:6379", "redis://host:port"),
        ("hunter2", "redis://host:port"),
        ("", "redis://host:port"),
    ];
    for (url, expected) in wrong {
        let error = Cache::connect(url).await.unwrap_err();
        assert_eq!(Cache::builder().url(url).build().unwrap_err(), error);
        let error = error.to_string();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
    }
    let in_url = Cache::builder().url("redis://ann:hunter2@127.0.0.1:1");
    let beside = Cache::builder().url("redis://127.0.0.1:1").credentials("ann", "hunter2");
    for builder in [in_url, beside] {
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("ann"), "{shown}");
    }
    let error = Cache::builder().url("memory:").credentials("ann", "hunter2").build().unwrap_err().to_string();
    assert!(error.contains("outside of this process") && !error.contains("hunter2"), "{error}");
}
