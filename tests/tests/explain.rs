//! Every call says why it went as it did.

#[macro_use]
mod common;

use std::future::pending;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Capacity;
use cache_runtime::Clock;
use cache_runtime::Mode;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Calls;
use cache_runtime::explain::Ending;
use cache_runtime::explain::Explanation;
use cache_runtime::explain::Fill;
use cache_runtime::explain::Miss;
use cache_runtime::explain::Refusal;
use cache_runtime::explain::Told;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber;

use crate::common::Row;
use crate::common::SECRET;
use crate::common::connected;
use crate::common::filled;
use crate::common::traced::Span;
use crate::common::traced::Traced;
use crate::common::until;

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row), jitter = 0.0)]
async fn read(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"])]
async fn read_as_text(id: u64) -> String {
    id.to_string()
}

#[cached(ttl = "5m", key = "row:{id}")]
async fn read_without_tags(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "row:{id}", tags = ["rows"], skip(row), in_transaction)]
async fn read_in_transaction(row: &Row, id: u64) -> u64 {
    row.read().await
}

#[cached(ttl = "5m", key = "sum:{id}", skip(row))]
async fn sum(row: &Row, id: u64) -> u64 {
    read(row, id).await + read(row, id + 1).await
}

#[cached(ttl = "5m", key = "result:{id}", handle = fails_entry)]
async fn fails(id: u64) -> Result<u64, String> {
    Err(id.to_string())
}

#[cached(ttl = "5m", key = "option:{id}", handle = nothing_entry)]
async fn finds_nothing(id: u64) -> Option<u64> {
    let _ = id;
    None
}

#[cached(ttl = "5m", negative_ttl = "1m", key = "remembered:{id}")]
async fn remembers_nothing(id: u64) -> Option<u64> {
    let _ = id;
    None
}

#[cached(ttl = "5m", key = "remembered:{id}")]
async fn always_finds(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "versioned:{id}", version = 1)]
async fn first_version(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "versioned:{id}", version = 2)]
async fn second_version(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "odd_only:{id}", unless = |n| n % 2 == 0, handle = odd_entry)]
async fn odd_only(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", name = "orders.get")]
async fn named_otherwise() -> u64 {
    7
}

#[cached(ttl = |_: &u64| Duration::ZERO, key = "short:{id}")]
async fn short(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", key = "large:{size}")]
async fn large(size: u64) -> String {
    "x".repeat(usize::try_from(size).unwrap())
}

/// With one tag or two.
#[cached(ttl = "5m", key = "tagged:{one}:{other}", tags = ["tag:{one}", "tag:{other}"])]
async fn tagged(one: u64, other: u64) -> u64 {
    one + other
}

#[cached(ttl = "5m", key = "odd:{id}")]
async fn odd(id: u64) -> Odd {
    let _ = id;
    Odd
}

/// Cannot be encoded.
#[derive(Clone, Deserialize)]
struct Odd;

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("odd"))
    }
}

mod users {
    #[cache_runtime::cached(ttl = "5m", key = "users:{id}")]
    pub async fn get(id: u64) -> u64 {
        super::orders::get(id).await
    }
}

mod orders {
    #[cache_runtime::cached(ttl = "5m", key = "orders:{id}")]
    pub async fn get(id: u64) -> u64 {
        super::short(id).await
    }
}

#[tokio::test]
async fn functions_of_one_name_are_told_apart_by_their_modules() {
    let (_, calls) = scope(Cache::memory(), users::get(7)).explain().await;
    let said = calls.to_string();
    let lines: Vec<_> = said.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(lines, ["users::get", "  orders::get", "    short"], "{said}");
}

#[invalidates(key = "row:{id}", tags = ["rows", "sums"])]
async fn write<F: Future>(row: &Row, id: u64, then: F) -> F::Output {
    let _ = id;
    row.write();
    then.await
}

#[invalidates(tags = ["rows"], mode = linearizable)]
async fn write_strictly<F: Future>(row: &Row, then: F) -> F::Output {
    row.write();
    then.await
}

/// The calls of `work`, in a scope of `cache`. Its spans say the same.
async fn explained<F: Future>(cache: &Cache, work: F) -> Calls {
    let traced = Traced::default();
    let (_, calls) = scope(cache.clone(), work).explain().with_subscriber(traced.dispatch()).await;
    spans_say_the_same(&traced.spans(), &calls);
    calls
}

#[track_caller]
fn spans_say_the_same(spans: &[Span], calls: &Calls) {
    let of_calls: Vec<_> = (0..spans.len()).filter(|at| is_of_a_call(&spans[*at])).collect();
    assert_eq!(of_calls.len(), calls.len() + calls.left_out(), "{spans:#?} {calls}");
    for (call, at) in calls.iter().zip(&of_calls) {
        let span = &spans[*at];
        assert_eq!(called(span), called_as_explained(call), "{span:#?} {call:#?}");
        if let Ending::Mutated { mode, keys, tags, .. } = call.ending {
            let mutation = ["mode", "keys", "tags"].map(|name| span.field(name).unwrap().to_owned());
            assert_eq!(mutation, [format!("{mode:?}").to_lowercase(), keys.to_string(), tags.to_string()], "{call:#?}");
        }
        let around = around(spans, *at).map(|at| of_calls.binary_search(&at).unwrap());
        assert_eq!(around, call.parent, "{spans:#?} {calls}");
        let fill = spans.iter().find(|fill| fill.name == "cache_fill" && fill.parent == Some(*at));
        assert_eq!(fill.map_or((None, None), filled_as_traced), filled_as_explained(call), "{spans:#?} {call:#?}");
        let loads = spans.iter().filter(|load| load.name == "cache_load" && load.parent == Some(*at)).count();
        assert!(loads <= 1 && (loads == 1 || !has_loaded(call)), "{spans:#?} {call:#?}");
    }
}

fn is_of_a_call(span: &Span) -> bool {
    matches!(span.name, "cache_access" | "cache_mutation")
}

/// The call that the span is inside of.
fn around(spans: &[Span], at: usize) -> Option<usize> {
    let parent = spans[at].parent?;
    if is_of_a_call(&spans[parent]) { Some(parent) } else { around(spans, parent) }
}

/// What the span of a call says.
fn called(span: &Span) -> [Option<String>; 5] {
    ["module", "function", "missed", "bypassed", "outcome"].map(|name| span.field(name).map(str::to_owned))
}

fn called_as_explained(call: &Explanation) -> [Option<String>; 5] {
    let (module, function) = (Some(call.module.to_owned()), Some(call.function.to_owned()));
    let missed = call.missed.map(|why| why.name().to_owned());
    let bypassed = if let Ending::Bypassed(why) = call.ending { Some(why.name().to_owned()) } else { None };
    let outcome = match call.ending {
        Ending::Running => None,
        Ending::Mutated { told, .. } => Some(told.name().to_owned()),
        ending => Some(ending.name().to_owned()),
    };
    [module, function, missed, bypassed, outcome]
}

fn filled_as_traced(span: &Span) -> (Option<&str>, Option<&str>) {
    (span.field("outcome"), span.field("refused"))
}

fn filled_as_explained(call: &Explanation) -> (Option<&str>, Option<&str>) {
    match call.fill {
        None | Some(Fill::Pending | Fill::Nothing | Fill::Failed) => (None, None),
        Some(Fill::Refused(why)) => (Some("refused"), Some(why.name())),
        Some(fill) => (Some(fill.name()), None),
    }
}

fn has_loaded(call: &Explanation) -> bool {
    call.ending == Ending::Loaded || matches!(call.ending, Ending::Bypassed(_)) && call.missed.is_some()
}

/// The only call of `work`, of which nothing is said to `tracing` where it spawns tasks.
async fn only_in_tasks<F: Future>(cache: &Cache, work: F) -> Explanation {
    sole(&scope(cache.clone(), work).explain().await.1)
}

/// The only call of `work`.
async fn only<F: Future>(cache: &Cache, work: F) -> Explanation {
    sole(&explained(cache, work).await)
}

#[track_caller]
fn sole(calls: &Calls) -> Explanation {
    assert_eq!(calls.len(), 1, "{calls}");
    calls[0].clone()
}

#[track_caller]
fn is(call: &Explanation, missed: Option<Miss>, ending: Ending, fill: Option<Fill>) {
    assert_eq!((call.missed, call.ending, call.fill), (missed, ending, fill), "{call}");
}

const STORED: Option<Fill> = Some(Fill::Stored);
const ABSENT: Option<Miss> = Some(Miss::Absent);

fn refused(why: Refusal) -> Option<Fill> {
    Some(Fill::Refused(why))
}

async fn a_first_call_loads_and_a_second_hits(cache: Cache, _: Cache) {
    let row = Row::new();
    is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Loaded, STORED);
    let call = only(&cache, read(&row, 7)).await;
    is(&call, None, Ending::Hit, None);
    assert_eq!((call.function, call.module, call.depth, call.parent), ("read", module_path!(), 0, None));
}

async fn an_invalidated_entry_says_so(cache: Cache, _: Cache) {
    let row = Row::new();
    let calls = explained(&cache, async {
        read(&row, 7).await;
        filled(&cache, "read", 1).await;
        let _ = cache.invalidate_tags(["rows"]).await;
        read(&row, 7).await;
        read(&row, 8).await;
        filled(&cache, "read", 3).await;
        let _ = cache.invalidate_tags(["rows"]).await;
        read(&row, 7).await;
        read(&row, 8).await;
        filled(&cache, "read", 5).await;
        let _ = cache.invalidate("row:7").await;
        read(&row, 7).await;
    });
    let calls = calls.await;
    let missed: Vec<_> = calls.iter().filter(|call| call.function == "read").filter_map(|call| call.missed).collect();
    let expected = [Miss::Absent, Miss::TokenGone, Miss::Absent, Miss::TokenGone, Miss::Invalidated, Miss::Absent];
    assert_eq!(missed, expected, "{calls}");
}

async fn an_entry_of_another_function_says_so(cache: Cache, _: Cache) {
    let row = Row::new();
    is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Loaded, STORED);
    is(&only(&cache, read_as_text(7)).await, Some(Miss::OtherType), Ending::Loaded, STORED);
    is(&only(&cache, read_without_tags(7)).await, Some(Miss::OtherType), Ending::Loaded, STORED);
    is(&only(&cache, read(&row, 7)).await, Some(Miss::OtherTags), Ending::Loaded, STORED);
}

async fn nested_calls_stand_under_theirs(cache: Cache, _: Cache) {
    let row = Row::new();
    let calls = explained(&cache, async { write(&row, 1, sum(&row, 7)).await }).await;
    let shape: Vec<_> = calls.iter().map(|call| (call.function, call.depth, call.parent)).collect();
    assert_eq!(shape, [("write", 0, None), ("sum", 1, Some(0)), ("read", 2, Some(1)), ("read", 2, Some(1))]);
    assert_eq!(
        calls.to_string(),
        "write: mutation of 1 keys and 2 tags, guarded: applied\n  \
         sum: there is no entry; loaded; stored\n    \
         read: there is no entry; loaded; stored\n    \
         read: there is no entry; loaded; stored\n"
    );
}

async fn spawned_tasks_that_carry_the_scope_are_listed(cache: Cache, _: Cache) {
    let row = Row::new();
    let task = async {
        let row = row.clone();
        tokio::spawn(scope::current().carry(async move { read(&row, 7).await })).await.unwrap()
    };
    is(&only_in_tasks(&cache, task).await, ABSENT, Ending::Loaded, STORED);
    assert!(explained(&cache, async { tokio::spawn(async {}).await }).await.is_empty());
}

async fn who_joins_says_so(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let both = async {
        let open = async {
            until("both have missed", async || cache.stats().function("read").misses == 2).await;
            row.gate.add_permits(2);
        };
        tokio::join!(read(&row, 7), read(&row, 7), open)
    };
    let calls = explained(&cache, both).await;
    let endings: Vec<_> = calls.iter().map(|call| call.ending).collect();
    assert!(endings.contains(&Ending::Loaded) && endings.contains(&Ending::Joined), "{calls}");
}

async fn a_load_under_a_mark_of_its_key_is_bypassed(cache: Cache, _: Cache) {
    let row = Row::new();
    let calls = explained(&cache, write(&row, 7, read(&row, 7))).await;
    is(&calls[1], ABSENT, Ending::Bypassed(Bypass::Mutating), None);
    let calls = explained(&cache, write_strictly(&row, read(&row, 8))).await;
    is(&calls[1], ABSENT, Ending::Bypassed(Bypass::Mutating), None);
    let Ending::Mutated { mode, keys, tags, told, .. } = calls[0].ending else { panic!("{calls}") };
    assert_eq!((mode, keys, tags, told), (Mode::Linearizable, 0, 1, Told::Applied));
}

async fn an_entry_under_a_strict_mark_says_so(cache: Cache, _: Cache) {
    let row = Row::new();
    is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Loaded, STORED);
    let calls = explained(&cache, write_strictly(&row, read(&row, 7))).await;
    is(&calls[1], Some(Miss::Mutating), Ending::Bypassed(Bypass::Mutating), None);
}

async fn transactions_are_bypassed(cache: Cache, _: Cache) {
    let row = Row::new();
    let in_transaction = only(&cache, read_in_transaction(&row, 7)).await;
    is(&in_transaction, ABSENT, Ending::Bypassed(Bypass::InTransaction), None);
    is(
        &only(&cache, async { cache.no_fill(read(&row, 7)).await }).await,
        ABSENT,
        Ending::Bypassed(Bypass::NoFill),
        None,
    );
    let deferred = || {
        cache.defer_invalidations(async {
            write(&row, 7, ready(())).await;
            let _ = cache.invalidate("row:9").await;
            read(&row, 7).await
        })
    };
    let calls = explained(&cache, async { deferred().await }).await;
    for call in &calls[..2] {
        assert!(matches!(call.ending, Ending::Mutated { told: Told::AtTheEnd, .. }), "{calls}");
    }
    is(&calls[2], None, Ending::Bypassed(Bypass::InTransaction), None);
}

async fn recursion_is_bypassed(cache: Cache, _: Cache) {
    static SAME: Site = Site::cached("explain", "same").key("same");
    let entry = || cache.entry(&SAME, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    let calls = explained(&cache, entry().get_or_load(entry().get_or_load(ready(7)))).await;
    is(&calls[0], ABSENT, Ending::Loaded, STORED);
    is(&calls[1], None, Ending::Bypassed(Bypass::Recursion), None);
}

async fn a_name_that_two_functions_have_is_bypassed(cache: Cache, _: Cache) {
    twin_of_one().await;
    is(&only(&cache, twin_of_another()).await, None, Ending::Bypassed(Bypass::NameClash), None);
    static ONE: Site = Site::cached("explain", "twins");
    static ANOTHER: Site = Site::cached("explain", "twins");
    let entry = |site| cache.entry(site, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    entry(&ONE).get().await;
    is(&only(&cache, entry(&ANOTHER).get()).await, Some(Miss::NameClash), Ending::Missed, None);
}

fn twin_of_one() -> impl Future<Output = u64> {
    #[cached(ttl = "5m")]
    async fn twin() -> u64 {
        1
    }
    twin()
}

fn twin_of_another() -> impl Future<Output = u64> {
    #[cached(ttl = "5m")]
    async fn twin() -> u64 {
        2
    }
    twin()
}

async fn what_is_not_stored_says_why(cache: Cache, _: Cache) {
    is(&only(&cache, fails(7)).await, ABSENT, Ending::Loaded, Some(Fill::Failed));
    is(&only(&cache, finds_nothing(7)).await, ABSENT, Ending::Loaded, Some(Fill::Nothing));
    is(&only(&cache, short(7)).await, ABSENT, Ending::Loaded, refused(Refusal::Unwanted));
    is(&only(&cache, odd_only(8)).await, ABSENT, Ending::Loaded, refused(Refusal::Unwanted));
    is(&only(&cache, async { odd_entry(&8).put(8).await }).await, None, Ending::Put, refused(Refusal::Unwanted));
    is(&only(&cache, odd_only(7)).await, ABSENT, Ending::Loaded, STORED);
    assert_eq!((cache.stats().total.unwanted, cache.stats().total.refused), (3, 0));
    let failed = only(&cache, async { fails_entry(&7).put(Err(String::new())).await });
    is(&failed.await, None, Ending::Put, Some(Fill::Failed));
    let nothing = only(&cache, async { nothing_entry(&7).put(None).await });
    is(&nothing.await, None, Ending::Put, Some(Fill::Nothing));
}

async fn a_stored_nothing_is_stored_and_hit(cache: Cache, _: Cache) {
    is(&only(&cache, remembers_nothing(7)).await, ABSENT, Ending::Loaded, STORED);
    is(&only(&cache, remembers_nothing(7)).await, None, Ending::Hit, None);
    is(&only(&cache, always_finds(7)).await, Some(Miss::OtherOutcome), Ending::Loaded, STORED);
}

async fn an_entry_of_another_version_says_so(cache: Cache, _: Cache) {
    is(&only(&cache, first_version(7)).await, ABSENT, Ending::Loaded, STORED);
    is(&only(&cache, second_version(7)).await, Some(Miss::OtherVersion), Ending::Loaded, STORED);
    is(&only(&cache, second_version(7)).await, None, Ending::Hit, None);
}

async fn a_refresh_says_what_it_stored(cache: Cache, _: Cache) {
    let row = Row::new();
    let calls = explained(&cache, async { odd_entry(&7).refresh(read(&row, 7)).await }).await;
    is(&calls[0], None, Ending::Loaded, STORED);
    is(&calls[1], ABSENT, Ending::Loaded, STORED);
    assert_eq!(calls[1].parent, Some(0));
    let bypassed = only(&cache, async { cache.no_fill(odd_entry(&7).refresh(ready(9))).await }).await;
    is(&bypassed, None, Ending::Bypassed(Bypass::NoFill), None);
}

async fn a_call_whose_when_says_no_is_bypassed(cache: Cache, _: Cache) {
    static CHOSEN: Site = Site::cached("explain", "chosen").key("chosen");
    let entry = || cache.entry(&CHOSEN, returns::<Result<u64, ()>>().kind()).ttl(Duration::from_secs(60));
    let calls = explained(&cache, entry().when(false).get_or_load(entry().get_or_load(ready(Ok(7))))).await;
    is(&calls[0], None, Ending::Bypassed(Bypass::Unused), None);
    // It is no recursion, because the call around it loads nothing for the cache.
    is(&calls[1], ABSENT, Ending::Loaded, STORED);
    assert_eq!(calls[1].parent, Some(0));
    let counts = cache.stats().function("chosen");
    assert_eq!((counts.loads, counts.bypassed, counts.misses, counts.fills), (2, 1, 1, 1));
    let calls = explained(&cache, entry().when(false).get_or_load(ready(Err(())))).await;
    is(&calls[0], None, Ending::Bypassed(Bypass::Unused), None);
    assert_eq!(cache.stats().function("chosen").failures, 1);
    is(&only(&cache, entry().when(false).get()).await, Some(Miss::Unused), Ending::Missed, None);
    is(&only(&cache, entry().when(false).put(7)).await, None, Ending::Bypassed(Bypass::Unused), None);
    let refreshed = only(&cache, entry().when(false).handle().refresh(ready(Ok(8)))).await;
    is(&refreshed, None, Ending::Bypassed(Bypass::Unused), None);
}

async fn a_load_around_a_call_whose_when_says_no_is_refused(cache: Cache, _: Cache) {
    static OUTER: Site = Site::cached("explain", "around").key("around");
    static CHOSEN: Site = Site::cached("explain", "chosen").key("chosen");
    let inner = cache.entry(&CHOSEN, returns::<u64>().kind()).ttl(Duration::from_secs(60)).when(false);
    let outer = cache.entry(&OUTER, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    let calls = explained(&cache, outer.get_or_load(inner.get_or_load(ready(7)))).await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::Undependable));
    is(&calls[1], None, Ending::Bypassed(Bypass::Unused), None);
}

async fn what_a_transaction_reads_past_the_cache_is_not_stored(cache: Cache, _: Cache) {
    static CHOSEN: Site = Site::cached("explain", "chosen").key("chosen");
    let row = Row::new();
    let entry = cache.entry(&CHOSEN, returns::<u64>().kind()).ttl(Duration::from_secs(60)).when(false).in_transaction();
    scope(cache.clone(), entry.get_or_load(read(&row, 7))).await;
    let counts = cache.stats().function("read");
    assert_eq!((counts.loads, counts.bypassed, counts.fills), (1, 1, 0));
}

async fn a_mutation_of_entries_is_one_with_all_its_keys(cache: Cache, _: Cache) {
    static WRITE: Site = Site::invalidates("explain", "write_entries").keys(&["row:{id}"]).tags(&["rows", "sums"]);
    let other = Cache::memory();
    let entry = async |id: u64| odd_entry(&id);
    let (here, there) = (scope(cache.clone(), entry(7)).await, scope(other.clone(), entry(8)).await);
    let mutation = || cache.invalidation(&WRITE).keys(&[&7]).tags(&[]).entries(&[&here, &there, &here]);
    let row = Row::new();
    let calls = explained(&cache, mutation().run(read(&row, 9))).await;
    assert_eq!(calls[0].to_string(), "write_entries: mutation of 3 keys and 2 tags, guarded: applied");
    assert_eq!((calls.len(), calls[1].parent), (2, Some(0)), "{calls}");
    let applied = only(&cache, async { mutation().apply().await }).await;
    assert_eq!(applied.to_string(), "write_entries: mutation of 3 keys and 2 tags, after: applied");
    let deferred = only(&cache, async { cache.defer_invalidations(async { mutation().apply().await }).await }).await;
    assert!(matches!(deferred.ending, Ending::Mutated { keys: 3, told: Told::AtTheEnd, .. }), "{deferred}");
    let uncommitted = only(&cache, mutation().in_transaction().run(ready(()))).await;
    assert!(matches!(uncommitted.ending, Ending::Mutated { keys: 3, told: Told::Uncommitted, .. }), "{uncommitted}");
}

async fn a_name_stands_for_the_function(cache: Cache, _: Cache) {
    let call = only(&cache, named_otherwise()).await;
    assert_eq!((call.module, call.function), (module_path!(), "orders.get"));
    assert_eq!(call.to_string(), "orders.get: there is no entry; loaded; stored");
}

async fn a_load_that_is_invalidated_meanwhile_is_refused(cache: Cache, _: Cache) {
    static ROW: Site = Site::cached("explain", "by_hand").key("row:{id}");
    let load = async {
        let _ = cache.invalidate("row:7").await;
        7
    };
    let call = cache.entry(&ROW, returns::<u64>().kind()).key(&[&7]).ttl(Duration::from_secs(60)).get_or_load(load);
    let calls = explained(&cache, call).await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::LeaseLost));
    assert_eq!(calls[1].parent, Some(0));
}

async fn what_rests_on_something_odd_is_refused(cache: Cache, _: Cache) {
    static OUTER: Site = Site::cached("explain", "outer").key("outer:{id}");
    let row = Row::new();
    let outer = |id: u64| cache.entry(&OUTER, returns::<u64>().kind()).key(&[&id]).ttl(Duration::from_secs(60));
    let calls = explained(&cache, outer(1).get_or_load(async { cache.no_fill(read(&row, 7)).await })).await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::Undependable));
    let calls = explained(&cache, outer(2).get_or_load(async { scope(Cache::memory(), read(&row, 7)).await })).await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::OtherCache));
    let changing = async {
        read(&row, 8).await;
        let _ = cache.invalidate_tags(["rows"]).await;
        read(&row, 9).await
    };
    let calls = explained(&cache, outer(3).get_or_load(changing)).await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::InnerChanged));
}

async fn a_dropped_call_says_so(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let dropped = async {
        tokio::select! {
            biased;
            _ = read(&row, 7) => {}
            () = row.has_loads(1) => {}
        }
        tokio::select! {
            biased;
            () = write(&row, 8, pending::<()>()) => {}
            () = until("the mutation runs", async || row.version.load(std::sync::atomic::Ordering::SeqCst) > 1) => {}
        }
    };
    let calls = explained(&cache, dropped).await;
    is(&calls[0], ABSENT, Ending::Dropped, None);
    is(&calls[1], None, Ending::Dropped, None);
}

async fn what_is_still_running_says_so(cache: Cache, _: Cache) {
    let row = Row::with_gate(0);
    let task = async {
        let loading = row.clone();
        drop(tokio::spawn(scope::current().carry(async move { read(&loading, 7).await })));
        row.has_loads(1).await;
    };
    is(&only_in_tasks(&cache, task).await, ABSENT, Ending::Running, None);
}

async fn records_that_are_applied_are_a_mutation(cache: Cache, _: Cache) {
    let transaction = cache.transaction(async |collected| {
        let _ = cache.invalidate("row:7").await;
        collected.records()
    });
    let records = transaction.await;
    let call = only(&cache, async { cache.apply(&records).await.unwrap() }).await;
    assert!(matches!(call.ending, Ending::Mutated { keys: 1, tags: 0, told: Told::Applied, .. }), "{call}");
}

async fn entries_by_hand_are_listed(cache: Cache, _: Cache) {
    static ROW: Site = Site::cached("explain", "by_hand").key("row:{id}");
    let entry = || cache.entry(&ROW, returns::<u64>().kind()).key(&[&7]).ttl(Duration::from_secs(60));
    is(&only(&cache, entry().get()).await, ABSENT, Ending::Missed, None);
    is(&only(&cache, entry().put(7)).await, None, Ending::Put, STORED);
    is(&only(&cache, entry().get()).await, None, Ending::Hit, None);
    is(
        &only(&cache, async { cache.no_fill(entry().put(7)).await }).await,
        None,
        Ending::Bypassed(Bypass::NoFill),
        None,
    );
}

async fn no_argument_is_in_an_explanation(cache: Cache, _: Cache) {
    static ROW: Site = Site::cached("explain", "secret").key("secret:{id}").tags(&["{id}"]);
    let entry = cache.entry(&ROW, returns::<String>().kind()).key(&[&"hunter2"]).tags(&[&"hunter2"]);
    let calls = explained(&cache, async {
        entry.ttl(Duration::from_secs(60)).get_or_load(async { "hunter2".to_owned() }).await;
        let _ = cache.invalidate("secret:hunter2").await;
    });
    assert!(!format!("{0} {0:?}", calls.await).contains("hunter2"));
}

on_every_store! {
    a_first_call_loads_and_a_second_hits
    an_invalidated_entry_says_so
    an_entry_of_another_function_says_so
    nested_calls_stand_under_theirs
    spawned_tasks_that_carry_the_scope_are_listed
    who_joins_says_so
    a_load_under_a_mark_of_its_key_is_bypassed
    an_entry_under_a_strict_mark_says_so
    transactions_are_bypassed
    recursion_is_bypassed
    a_name_that_two_functions_have_is_bypassed
    what_is_not_stored_says_why
    a_stored_nothing_is_stored_and_hit
    an_entry_of_another_version_says_so
    a_refresh_says_what_it_stored
    a_call_whose_when_says_no_is_bypassed
    a_load_around_a_call_whose_when_says_no_is_refused
    what_a_transaction_reads_past_the_cache_is_not_stored
    a_mutation_of_entries_is_one_with_all_its_keys
    a_name_stands_for_the_function
    a_load_that_is_invalidated_meanwhile_is_refused
    what_rests_on_something_odd_is_refused
    a_dropped_call_says_so
    what_is_still_running_says_so
    records_that_are_applied_are_a_mutation
    entries_by_hand_are_listed
    no_argument_is_in_an_explanation
}

/// On either store, built with settings of its own.
async fn with<F: AsyncFn(Cache)>(build: impl Fn() -> cache_runtime::Builder, law: F) {
    law(build().build().unwrap()).await;
    let server = Server::start();
    let builder = build().url(&server.url()).op_timeout(Duration::from_secs(5)).connect_timeout(Duration::from_secs(5));
    law(builder.connect().await.unwrap()).await;
}

#[tokio::test]
async fn a_hit_that_nobody_explains_has_its_span_too() {
    let row = Row::new();
    let cache = Cache::memory();
    scope(cache.clone(), read(&row, 7)).await;
    let traced = Traced::default();
    scope(cache, read(&row, 7)).with_subscriber(traced.dispatch()).await;
    let [span] = &traced.spans()[..] else { panic!("{:#?}", traced.spans()) };
    let said = [Some(module_path!()), Some("read"), None, None, Some("hit")].map(|said| said.map(str::to_owned));
    assert_eq!((span.name, called(span)), ("cache_access", said));
}

#[tokio::test]
async fn an_expired_entry_says_so() {
    let clock = Clock::held();
    with(
        || Cache::builder().clock(clock.clone()),
        async |cache| {
            let row = Row::new();
            is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Loaded, STORED);
            clock.advance(Duration::from_secs(300));
            is(&only(&cache, read(&row, 7)).await, Some(Miss::Expired), Ending::Loaded, STORED);
        },
    )
    .await;
}

#[tokio::test]
async fn a_load_that_outlives_its_time_to_live_says_so() {
    static SLOW: Site = Site::cached("explain", "slow").key("slow");
    let clock = Clock::held();
    with(
        || Cache::builder().clock(clock.clone()),
        async |cache| {
            let load = async {
                clock.advance(Duration::from_secs(1));
                7
            };
            let entry = cache.entry(&SLOW, returns::<u64>().kind()).ttl(Duration::from_secs(1)).jitter(0.0);
            let call = only(&cache, entry.get_or_load(load)).await;
            is(&call, ABSENT, Ending::Loaded, refused(Refusal::NoTimeToLive));
        },
    )
    .await;
}

#[tokio::test]
async fn limits_say_so() {
    let server = Server::start();
    let few = || Cache::builder().max_dependencies(1).max_entry(100);
    let memory = few().capacity(Capacity::Bytes(1 << 20)).build().unwrap();
    let redis = few().url(&server.url()).op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    for cache in [memory, redis] {
        let row = Row::new();
        let calls = explained(&cache, sum(&row, 7)).await;
        is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::TooManyDependencies));
        is(&only(&cache, large(1000)).await, ABSENT, Ending::Loaded, refused(Refusal::TooLarge));
        is(&only(&cache, odd(7)).await, ABSENT, Ending::Loaded, refused(Refusal::NotEncoded));
        assert_eq!((cache.stats().total.unstorable, cache.stats().total.refused), (2, 1));
        static LARGE: Site = Site::cached("explain", "put_large").key("put_large");
        let put = || cache.entry(&LARGE, returns::<String>().kind()).ttl(Duration::from_secs(60)).put("x".repeat(1000));
        is(&only(&cache, put()).await, None, Ending::Put, refused(Refusal::TooLarge));
        assert_eq!(cache.stats().function("put_large").unstorable, 1);
        is(&only(&cache, tagged(7, 7)).await, ABSENT, Ending::Loaded, STORED);
        is(&only(&cache, tagged(7, 8)).await, ABSENT, Ending::Loaded, refused(Refusal::TooManyDependencies));
    }
}

#[tokio::test]
async fn a_wait_that_is_over_says_so() {
    with(
        || Cache::builder().max_wait(Duration::ZERO),
        async |cache| {
            let row = Row::new();
            is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Bypassed(Bypass::Late), None);
        },
    )
    .await;
}

/// A load of `other`, which has begun.
async fn loading(other: Cache, row: &Arc<Row>) -> JoinHandle<u64> {
    let loading = tokio::spawn({
        let row = row.clone();
        scope(other, async move { read(&row, 7).await })
    });
    row.has_loads(1).await;
    loading
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_another_process_says_so() {
    let server = Server::start();
    let (cache, other) = (connected(&server).await, connected(&server).await);
    let row = Row::with_gate(0);
    let loading = loading(other, &row).await;
    let open = async {
        until("it has missed", async || cache.stats().function("read").misses == 1).await;
        row.gate.add_permits(1);
    };
    let call = only(&cache, async { tokio::join!(read(&row, 7), open) }).await;
    is(&call, ABSENT, Ending::Waited, None);
    assert_eq!((cache.stats().total.waited, cache.stats().total.joined), (1, 0));
    assert_eq!(loading.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_waited_for_another_process_as_long_as_it_may_says_so() {
    let server = Server::start();
    let other = connected(&server).await;
    let hurried = Cache::builder().url(&server.url()).secret(SECRET).max_wait(Duration::from_millis(100));
    let cache = hurried.op_timeout(Duration::from_secs(5)).connect().await.unwrap();
    let row = Row::with_gate(0);
    let loading = loading(other, &row).await;
    let open = async {
        row.has_loads(2).await;
        row.gate.add_permits(2);
    };
    let call = only(&cache, async { tokio::join!(read(&row, 7), open) }).await;
    is(&call, ABSENT, Ending::Bypassed(Bypass::Late), None);
    assert_eq!(loading.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_says_so() {
    let server = Server::start();
    let cache = Cache::connect(&server.url()).await.unwrap();
    let row = Row::new();
    is(&only(&cache, read(&row, 7)).await, ABSENT, Ending::Loaded, STORED);
    server.kill();
    let away = (Some(Miss::StoreAway), Ending::Bypassed(Bypass::StoreAway));
    is(&only(&cache, read(&row, 7)).await, away.0, away.1, None);
    let told = only(&cache, cache.invalidate("row:7")).await;
    assert!(matches!(told.ending, Ending::Mutated { told: Told::Undelivered, .. }), "{told}");
    let both =
        [scope(Cache::memory(), async { odd_entry(&7) }).await, scope(cache.clone(), async { odd_entry(&8) }).await];
    static WRITE: Site = Site::invalidates("explain", "write_two");
    let told = only(&cache, Cache::memory().invalidation(&WRITE).entries(&[&both]).run(ready(()))).await;
    assert!(matches!(told.ending, Ending::Mutated { keys: 2, told: Told::Undelivered, .. }), "{told}");
    let undelivered = (Some(Miss::Undelivered), Ending::Bypassed(Bypass::Undelivered));
    is(&only(&cache, read(&row, 7)).await, undelivered.0, undelivered.1, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_during_a_load_says_so() {
    let server = Server::start();
    let cache = Cache::connect(&server.url()).await.unwrap();
    let (row, server) = (Row::with_gate(0), Arc::new(server));
    let load = async {
        let kill = async {
            row.has_loads(1).await;
            server.kill();
            row.gate.add_permits(1);
        };
        tokio::join!(read(&row, 7), kill)
    };
    is(&only(&cache, load).await, ABSENT, Ending::Loaded, refused(Refusal::StoreAway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_cannot_be_read_say_so() {
    let server = Server::start();
    let cache = connected(&server).await;
    server.command(&["SET", "cache:e:{row:7}", &"garbage".repeat(10)]).unwrap();
    let row = Row::new();
    is(&only(&cache, read(&row, 7)).await, Some(Miss::Unreadable), Ending::Loaded, STORED);
}

#[tokio::test]
async fn the_list_is_bounded() {
    let cache = Cache::memory();
    let row = Row::new();
    let calls = explained(&cache, async {
        for _ in 0..Calls::MOST + 3 {
            read(&row, 7).await;
        }
    });
    let calls = calls.await;
    assert_eq!((calls.len(), calls.left_out()), (Calls::MOST, 3));
    assert!(calls.to_string().ends_with("and 3 more\n"));
}

#[tokio::test]
async fn a_load_after_two_that_failed_says_so() {
    static ROW: Site = Site::cached("explain", "failing").key("failing");
    let cache = Cache::memory();
    let go_on = Notify::new();
    let call = || {
        let load = async {
            go_on.notified().await;
            Err::<u64, ()>(())
        };
        cache.entry(&ROW, returns::<Result<u64, ()>>().kind()).ttl(Duration::from_secs(60)).get_or_load(load)
    };
    let open = async {
        until("all have come", async || cache.stats().total.misses == 3).await;
        for loads in 1..=3 {
            until("one more loads", async || cache.stats().total.loads == loads).await;
            go_on.notify_one();
        }
    };
    let calls = explained(&cache, async { tokio::join!(call(), call(), call(), open) }).await;
    let alone = calls.iter().filter(|call| call.ending == Ending::Bypassed(Bypass::OthersFailed));
    assert_eq!(alone.count(), 1, "{calls}");
}

mod unnamed {
    use super::*;

    #[cached(ttl = "1m", key = "unnamed:{share:json}", handle = share_entry)]
    pub async fn share(share: f64) -> u64 {
        share as u64
    }

    #[cached(ttl = "1m", key = "reported:{share:json}", handle = reported_entry)]
    pub async fn reported(share: f64) -> u64 {
        share as u64
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_written_is_reported_once() {
    let traced = Traced::default();
    let _heard = traced.hear();
    scope(Cache::memory(), async {
        unnamed::reported(f64::NAN).await;
        unnamed::reported(f64::NAN).await;
        assert_eq!(unnamed::reported_entry(&f64::NAN).get().await, None);
    })
    .await;
    let said = traced.events();
    assert_eq!(traced.said("such calls pass by the cache"), 1, "{said:?}");
    assert!(said[0].starts_with("ERROR") && said[0].contains("reported"), "{said:?}");
}

#[tokio::test]
async fn a_load_around_a_look_that_has_no_name_is_refused() {
    static AROUND: Site = Site::cached("explain", "around_unnamed").key("around_unnamed");
    let cache = Cache::memory();
    let look = async { unnamed::share_entry(&f64::NAN).get().await.unwrap_or(7) };
    let around = cache.entry(&AROUND, returns::<u64>().kind()).ttl(Duration::from_secs(60));
    let (_, calls) = scope(cache.clone(), around.get_or_load(look)).explain().await;
    is(&calls[0], ABSENT, Ending::Loaded, refused(Refusal::Undependable));
    assert_eq!(calls[1].missed, Some(Miss::Unnamed), "{calls}");
}

#[tokio::test]
async fn a_part_that_cannot_be_written_is_told() {
    let (_, calls) = scope(Cache::memory(), async {
        unnamed::share(f64::NAN).await;
        unnamed::share_entry(&f64::NAN).get().await
    })
    .explain()
    .await;
    assert_eq!(calls[0].ending, Ending::Bypassed(Bypass::Unnamed), "{calls}");
    assert_eq!(calls[1].missed, Some(Miss::Unnamed), "{calls}");
}

#[tokio::test]
async fn a_mutation_tells_what_its_result_named_or_that_nothing_changed() {
    #[invalidates(keys = ["told:{result}", "all"])]
    async fn make() -> Result<u64, ()> {
        Ok(7)
    }

    #[invalidates(key = "all", mode = after, when = |changed| *changed)]
    async fn touch() -> bool {
        false
    }

    let (_, calls) = scope(Cache::memory(), async {
        let _ = make().await;
        touch().await
    })
    .explain()
    .await;
    assert!(matches!(calls[0].ending, Ending::Mutated { keys: 2, tags: 0, told: Told::Applied, .. }), "{calls}");
    assert!(matches!(calls[1].ending, Ending::Mutated { told: Told::Unchanged, .. }), "{calls}");
}
