//! The news that there is nothing, stored like a value, on every store.

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Clock;
use cache_runtime::Handle;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::explain::Bypass;
use cache_runtime::explain::Calls;
use cache_runtime::explain::Ending;
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;
use tokio::sync::Semaphore;

use crate::common::filled;
use crate::common::until;

/// A table of a database.
#[derive(Default)]
struct Names {
    rows: Mutex<HashMap<u64, String>>,
    loads: AtomicUsize,
}

impl Names {
    fn read(&self, id: u64) -> Option<String> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.rows.lock().unwrap().get(&id).cloned()
    }

    fn write(&self, id: u64, name: &str) {
        self.rows.lock().unwrap().insert(id, name.to_owned());
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

type Fetched = io::Result<Option<String>>;

#[cached(ttl = "5m", negative_ttl = "30s", jitter = 0, key = "name:{id}", tags = ["names"], skip(names), handle = name_entry)]
async fn name(names: &Names, id: u64) -> Option<String> {
    names.read(id)
}

#[cached(ttl = "5m", negative_ttl = Duration::from_secs(30), key = "fetched:{id}", skip(names))]
async fn fetched(names: &Names, id: u64) -> Fetched {
    let name = names.read(id);
    if id == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(name) }
}

#[cached(ttl = "5m", key = "short:{id}", skip(names))]
async fn looked_for(names: &Names, id: u64) -> Option<String> {
    names.read(id)
}

#[cached(ttl = "5m", key = "greeting:{id}", skip(names))]
async fn greeting(names: &Names, id: u64) -> String {
    name(names, id).await.map_or_else(|| "who are you?".to_owned(), |name| format!("hello, {name}"))
}

/// The same key as `name`, of a function that always has a value.
#[cached(ttl = "5m", key = "name:{id}", tags = ["names"], skip(names))]
async fn invented(names: &Names, id: u64) -> String {
    names.read(id).unwrap_or_else(|| "nobody".to_owned())
}

/// Goes on after it has read when it is let through.
#[cached(ttl = "5m", negative_ttl = "30s", key = "sought:{id}", skip(names, gate))]
async fn sought(names: &Names, gate: &Semaphore, id: u64) -> Option<String> {
    let name = names.read(id);
    gate.acquire().await.unwrap().forget();
    name
}

/// The same key again, of a function that always has a value.
#[cached(ttl = "5m", key = "sought:{id}", skip(names))]
async fn made_up(names: &Names, id: u64) -> String {
    names.read(id).unwrap_or_else(|| "nobody".to_owned())
}

#[cached(ttl = "5m", key = "about:{id}", skip(names))]
async fn about(names: &Names, id: u64) -> String {
    format!("about {}", made_up(names, id).await)
}

#[invalidates(key = "name:{id}")]
async fn rename(names: &Names, id: u64, to: &str) {
    names.write(id, to);
}

#[invalidates(tags = ["names"])]
async fn import(names: &Names, id: u64, name: &str) {
    names.write(id, name);
}

async fn nothing_is_stored_like_a_value(cache: Cache, other: Cache) {
    let names = Names::default();
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    assert_eq!(name(&names, 7).await, None);
    assert_eq!(scope(other, name(&names, 7)).await, None);
    assert_eq!(names.loads(), 1);
    assert_eq!(cache.stats().total.unreadable, 0);
}

async fn nothing_in_a_result_is_stored_and_an_error_is_not(cache: Cache, _: Cache) {
    let names = Names::default();
    assert_eq!(fetched(&names, 7).await.unwrap(), None);
    filled(&cache, "fetched", 1).await;
    assert_eq!(fetched(&names, 7).await.unwrap(), None);
    assert_eq!(names.loads(), 1);
    for _ in 0..2 {
        fetched(&names, 0).await.unwrap_err();
    }
    assert_eq!(names.loads(), 3);
    assert_eq!(cache.stats().function("fetched").fills, 1);
}

async fn nothing_is_not_stored_unless_it_has_a_time_to_live(cache: Cache, _: Cache) {
    let names = Names::default();
    for _ in 0..2 {
        assert_eq!(looked_for(&names, 7).await, None);
    }
    assert_eq!(names.loads(), 2);
    assert_eq!(cache.stats().function("looked_for").fills, 0);
}

async fn what_appears_is_seen_once_its_key_was_invalidated(cache: Cache, other: Cache) {
    let names = Names::default();
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    scope(other.clone(), rename(&names, 7, "Ada")).await;
    assert_eq!(name(&names, 7).await.as_deref(), Some("Ada"));
    assert_eq!(scope(other, name(&names, 7)).await.as_deref(), Some("Ada"));
}

async fn what_appears_is_seen_once_its_tag_was_invalidated(cache: Cache, other: Cache) {
    let names = Names::default();
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    scope(other, import(&names, 7, "Ada")).await;
    assert_eq!(name(&names, 7).await.as_deref(), Some("Ada"));
}

async fn what_was_built_on_stored_nothing_goes_with_it(cache: Cache, other: Cache) {
    let names = Names::default();
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    assert_eq!(greeting(&names, 7).await, "who are you?");
    filled(&cache, "greeting", 1).await;
    assert_eq!(greeting(&names, 7).await, "who are you?");
    assert_eq!((names.loads(), cache.stats().function("greeting").loads), (1, 1));
    scope(other.clone(), rename(&names, 7, "Ada")).await;
    assert_eq!(greeting(&names, 7).await, "hello, Ada");

    assert_eq!(greeting(&names, 8).await, "who are you?");
    scope(other, import(&names, 8, "Grace")).await;
    assert_eq!(greeting(&names, 8).await, "hello, Grace");
}

async fn stored_nothing_is_a_miss_where_a_value_is_needed(cache: Cache, _: Cache) {
    let names = Names::default();
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    assert_eq!(invented(&names, 7).await, "nobody");
    filled(&cache, "invented", 1).await;
    assert_eq!(name(&names, 7).await.as_deref(), Some("nobody"), "what is stored under the key");
    assert_eq!(names.loads(), 2);
}

/// Whether a call was given of another's load what it cannot return.
fn was_given_what_it_cannot_return(calls: &Calls) -> bool {
    calls.iter().any(|call| call.ending == Ending::Bypassed(Bypass::OtherOutcome))
}

async fn who_is_given_nothing_of_a_load_and_needs_a_value_loads_for_itself(cache: Cache, other: Cache) {
    let names = Names::default();
    for id in 1.. {
        let gate = Semaphore::new(0);
        let (before, missed) = (names.loads(), cache.stats().function("made_up").misses);
        let both = async {
            let about_it = async {
                until("the other one loads", async || names.loads() > before).await;
                about(&names, id).await
            };
            let open = async {
                until("it has missed", async || cache.stats().function("made_up").misses > missed).await;
                gate.add_permits(1);
            };
            tokio::join!(sought(&names, &gate, id), about_it, open)
        };
        let ((found, about_it, ()), calls) = scope(cache.clone(), both).explain().await;
        assert_eq!((found, about_it.as_str()), (None, "about nobody"));
        if was_given_what_it_cannot_return(&calls) {
            // What rests on it goes with it.
            names.write(id, "Ada");
            assert_eq!(other.invalidate(&format!("sought:{id}")).await, cache_runtime::Delivery::Applied);
            assert_eq!(about(&names, id).await, "about Ada");
            return;
        }
        assert!(id < 100, "no load was shared: {calls}");
    }
}

async fn stored_nothing_is_told_from_a_miss(cache: Cache, _: Cache) {
    static NAME: Site = Site::cached("by hand", "name").key("name:{id}").tags(&["names"]);
    let names = Names::default();
    let by_hand = || cache.entry(&NAME, returns::<Option<String>>().kind()).key(&[&7]);
    assert_eq!(by_hand().lookup().await, None);
    assert_eq!(name_entry(&7).get().await, None);
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    assert_eq!(by_hand().lookup().await, Some(None));
    assert_eq!(by_hand().get().await, None);
    assert_eq!(name_entry(&7).get().await, Some(None));
    assert!(name_entry(&7).remaining_ttl().await.is_some_and(|left| left <= Duration::from_secs(30)));
    rename(&names, 7, "Ada").await;
    assert_eq!(by_hand().lookup().await, None);
    assert_eq!(name(&names, 7).await.as_deref(), Some("Ada"));
    filled(&cache, "name", 2).await;
    assert_eq!(by_hand().lookup().await, Some(Some("Ada".to_owned())));
}

async fn looking_by_hand_at_stored_nothing_can_be_depended_on_and_a_miss_cannot(cache: Cache, other: Cache) {
    static LOOKED: Site = Site::cached("by hand", "looked").key("looked:{id}");
    let names = Names::default();
    let looked = async |id: u64, handle: &Handle<Option<String>>| {
        let entry = cache.entry(&LOOKED, returns::<bool>().kind()).key(&[&id]).ttl(Duration::from_secs(60));
        entry.get_or_load(async { handle.get().await.flatten().is_some() }).await
    };
    assert!(!looked(1, &name_entry(&7)).await, "a miss");
    common::until("it was refused", async || cache.stats().function("looked").refused == 1).await;
    assert_eq!(cache.stats().function("looked").fills, 0);
    assert_eq!(name(&names, 7).await, None);
    filled(&cache, "name", 1).await;
    assert!(!looked(2, &name_entry(&7)).await);
    filled(&cache, "looked", 1).await;
    scope(other, rename(&names, 7, "Ada")).await;
    assert_eq!(name(&names, 7).await.as_deref(), Some("Ada"));
    filled(&cache, "name", 2).await;
    assert!(looked(2, &name_entry(&7)).await);
}

on_every_store! {
    nothing_is_stored_like_a_value
    nothing_in_a_result_is_stored_and_an_error_is_not
    nothing_is_not_stored_unless_it_has_a_time_to_live
    what_appears_is_seen_once_its_key_was_invalidated
    what_appears_is_seen_once_its_tag_was_invalidated
    what_was_built_on_stored_nothing_goes_with_it
    stored_nothing_is_a_miss_where_a_value_is_needed
    who_is_given_nothing_of_a_load_and_needs_a_value_loads_for_itself
    stored_nothing_is_told_from_a_miss
    looking_by_hand_at_stored_nothing_can_be_depended_on_and_a_miss_cannot
}

#[tokio::test]
async fn nothing_lives_for_its_own_time() {
    let clock = Clock::held();
    let cache = Cache::builder().clock(clock.clone()).build().unwrap();
    scope(cache, async {
        let names = Names::default();
        names.write(1, "Ada");
        for _ in 0..2 {
            let _ = (name(&names, 1).await, name(&names, 7).await);
        }
        assert_eq!(names.loads(), 2);
        clock.advance(Duration::from_secs(29));
        let _ = (name(&names, 1).await, name(&names, 7).await);
        assert_eq!(names.loads(), 2);
        clock.advance(Duration::from_secs(2));
        let _ = (name(&names, 1).await, name(&names, 7).await);
        assert_eq!(names.loads(), 3, "the value is still there");
    })
    .await;
}

mod errors {
    //! Errors that are stored, because they are answers.

    use serde::Deserialize;
    use serde::Serialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum DbError {
        NotFound,
        Forbidden { by: String },
        Timeout,
        Overloaded,
    }

    impl From<cache_runtime::Error> for DbError {
        fn from(_: cache_runtime::Error) -> Self {
            Self::Overloaded
        }
    }

    #[cached(ttl = "5m", key = "row:{id}", skip(names), negative = DbError::NotFound | DbError::Forbidden { .. }, negative_ttl = "30s", jitter = 0, tags = ["rows"], handle = row_entry)]
    async fn row(names: &Names, id: u64) -> Result<String, DbError> {
        answer(names, id)
    }

    #[cached(ttl = "5m", key = "row:{id}", skip(names), tags = ["rows"])]
    async fn row_without(names: &Names, id: u64) -> Result<String, DbError> {
        answer(names, id)
    }

    #[cached(ttl = "5m", key = "maybe:{id}", skip(names), negative = |error| *error == DbError::NotFound, negative_ttl = "30s")]
    async fn maybe(names: &Names, id: u64) -> Result<Option<String>, DbError> {
        answer(names, id).map(|name| Some(name).filter(|name| !name.is_empty()))
    }

    /// Whatever can be said of what is stored, at once.
    #[cached(
        ttl = "5m", jitter = 0, key = "picked:{id}", skip(names), unless = |name: &String| name.is_empty(),
        negative = DbError::NotFound | DbError::Overloaded, negative_ttl = "30s", overload = reject, handle = picked_entry
    )]
    async fn picked(names: &Names, id: u64) -> Result<String, DbError> {
        answer(names, id)
    }

    /// Goes on after it has read when it is let through.
    #[cached(ttl = "5m", key = "asked:{id}", skip(names, gate), negative = DbError::NotFound, negative_ttl = "30s")]
    async fn asked(names: &Names, gate: &Semaphore, id: u64) -> Result<String, DbError> {
        let answer = answer(names, id);
        gate.acquire().await.unwrap().forget();
        answer
    }

    /// The same key, of a function that stores no errors.
    #[cached(ttl = "5m", key = "asked:{id}", skip(names))]
    async fn asked_without(names: &Names, id: u64) -> Result<String, DbError> {
        answer(names, id).or_else(|_| Ok("nobody".to_owned()))
    }

    fn answer(names: &Names, id: u64) -> Result<String, DbError> {
        let found = names.read(id);
        match id {
            2 => Err(DbError::Forbidden { by: "law".to_owned() }),
            3 => Err(DbError::Timeout),
            _ => found.ok_or(DbError::NotFound),
        }
    }

    async fn an_error_that_is_an_answer_is_stored(cache: Cache, _: Cache) {
        let names = Names::default();
        for (id, error) in [(1, DbError::NotFound), (2, DbError::Forbidden { by: "law".to_owned() })] {
            assert_eq!(row(&names, id).await, Err(error.clone()));
            filled(&cache, "row", id).await;
            let loads = names.loads();
            assert_eq!(row(&names, id).await, Err(error.clone()));
            assert_eq!(names.loads(), loads, "it was loaded again");
            assert_eq!(row_entry(&id).get().await, Some(Err(error)));
        }
        assert_eq!(cache.stats().function("row").failures, 0);
    }

    async fn any_other_error_is_its_callers_own(_: Cache, _: Cache) {
        let names = Names::default();
        for loads in 1..=3 {
            assert_eq!(row(&names, 3).await, Err(DbError::Timeout));
            assert_eq!(names.loads(), loads);
        }
    }

    async fn a_stored_error_goes_with_its_tags_and_its_key(cache: Cache, other: Cache) {
        let names = Names::default();
        assert_eq!(row(&names, 1).await, Err(DbError::NotFound));
        filled(&cache, "row", 1).await;
        names.write(1, "Ada");
        assert_eq!(other.invalidate_tags(["rows"]).await, cache_runtime::Delivery::Applied);
        assert_eq!(row(&names, 1).await, Ok("Ada".to_owned()));
    }

    async fn a_function_that_stores_no_errors_is_not_given_one(cache: Cache, _: Cache) {
        let names = Names::default();
        assert_eq!(row(&names, 1).await, Err(DbError::NotFound));
        filled(&cache, "row", 1).await;
        names.write(1, "Ada");
        assert_eq!(row_without(&names, 1).await, Ok("Ada".to_owned()));
    }

    async fn who_is_given_an_error_of_a_load_and_stores_none_loads_for_itself(cache: Cache, _: Cache) {
        let names = Names::default();
        for id in 10.. {
            let gate = Semaphore::new(0);
            let (before, missed) = (names.loads(), cache.stats().function("asked_without").misses);
            let both = async {
                let made_up = async {
                    until("the other one loads", async || names.loads() > before).await;
                    asked_without(&names, id).await
                };
                let open = async {
                    until("it has missed", async || cache.stats().function("asked_without").misses > missed).await;
                    gate.add_permits(1);
                };
                tokio::join!(asked(&names, &gate, id), made_up, open)
            };
            let ((found, made_up, ()), calls) = scope(cache.clone(), both).explain().await;
            assert_eq!((found, made_up), (Err(DbError::NotFound), Ok("nobody".to_owned())));
            if was_given_what_it_cannot_return(&calls) {
                return;
            }
            assert!(id < 110, "no load was shared: {calls}");
        }
    }

    async fn beside_errors_that_are_stored_values_are_but_for_those_that_unless_says(cache: Cache, _: Cache) {
        let names = Names::default();
        names.write(5, "Ada");
        names.write(6, "");
        let all = async || (picked(&names, 1).await, picked(&names, 5).await, picked(&names, 6).await);
        let answers = (Err(DbError::NotFound), Ok("Ada".to_owned()), Ok(String::new()));
        assert_eq!(all().await, answers);
        filled(&cache, "picked", 2).await;
        assert_eq!(all().await, answers);
        assert_eq!((names.loads(), cache.stats().function("picked").fills), (4, 2));
        assert_eq!(picked(&names, 3).await, Err(DbError::Timeout));
        assert_eq!((picked_entry(&1).get().await, picked_entry(&3).get().await), (Some(answers.0), None));
    }

    async fn said_in_either_order_unless_and_negative_are_both_heeded(cache: Cache, _: Cache) {
        static FIRST: Site = Site::cached("negative", "first").key("first:{id}");
        static LAST: Site = Site::cached("negative", "last").key("last:{id}");
        for (id, answer, is_stored) in
            [(1, Ok(1), true), (2, Ok(0), false), (3, Err(DbError::NotFound), true), (4, Err(DbError::Timeout), false)]
        {
            let entry = |site| cache.entry(site, returns::<Result<u64, DbError>>().kind()).key(&[&id]);
            let (minute, none) = (Duration::from_secs(60), |error: &DbError| *error == DbError::NotFound);
            let first = || entry(&FIRST).ttl(minute).unless(|number| *number == 0).negative(none, minute);
            let last = || entry(&LAST).ttl(minute).negative(none, minute).unless(|number| *number == 0);
            let put = (first().handle().put(answer.clone()).await, last().handle().put(answer.clone()).await);
            assert_eq!(put, (is_stored, is_stored), "{answer:?}");
            let stored = is_stored.then_some(answer);
            assert_eq!((first().handle().get().await, last().handle().get().await), (stored.clone(), stored));
        }
    }

    async fn a_handle_puts_and_refreshes_the_errors_that_are_stored_and_no_others(cache: Cache, other: Cache) {
        let names = Names::default();
        let entry = picked_entry(&1);
        assert!(entry.put(Err(DbError::NotFound)).await);
        assert_eq!(entry.get().await, Some(Err(DbError::NotFound)));
        assert!(entry.remaining_ttl().await.is_some_and(|left| left <= Duration::from_secs(30)));
        assert_eq!(scope(other, picked(&names, 1)).await, Err(DbError::NotFound));
        assert!(!entry.put(Err(DbError::Timeout)).await && !entry.put(Ok(String::new())).await);
        assert_eq!(entry.refresh(async { Err(DbError::Timeout) }).await, Err(DbError::Timeout));
        assert_eq!(entry.get().await, Some(Err(DbError::NotFound)), "it is left as it is");
        assert_eq!(entry.refresh(async { Ok("Ada".to_owned()) }).await, Ok("Ada".to_owned()));
        assert_eq!(picked(&names, 1).await, Ok("Ada".to_owned()));
        assert_eq!(entry.refresh(async { Err(DbError::NotFound) }).await, Err(DbError::NotFound));
        assert_eq!(picked(&names, 1).await, Err(DbError::NotFound));
        assert_eq!((names.loads(), cache.stats().function("picked").failures), (0, 1));
    }

    async fn an_answer_is_no_failure_where_nothing_is_stored_either(cache: Cache, _: Cache) {
        static UNUSED: Site = Site::cached("negative", "unused").key("unused");
        for (error, failures) in [(DbError::NotFound, 0), (DbError::Timeout, 1)] {
            let entry = cache.entry(&UNUSED, returns::<Result<u64, DbError>>().kind()).ttl(Duration::from_secs(60));
            let entry = entry.negative(|error| *error == DbError::NotFound, Duration::from_secs(60)).when(false);
            assert_eq!(entry.get_or_load(async { Err(error.clone()) }).await, Err(error));
            assert_eq!(cache.stats().function("unused").failures, failures);
        }
    }

    async fn nothing_and_an_error_are_told_apart(cache: Cache, _: Cache) {
        let names = Names::default();
        names.write(4, "");
        assert_eq!((maybe(&names, 1).await, maybe(&names, 4).await), (Err(DbError::NotFound), Ok(None)));
        filled(&cache, "maybe", 2).await;
        let loads = names.loads();
        assert_eq!((maybe(&names, 1).await, maybe(&names, 4).await), (Err(DbError::NotFound), Ok(None)));
        assert_eq!(names.loads(), loads);
    }

    on_every_store! {
        an_error_that_is_an_answer_is_stored
        any_other_error_is_its_callers_own
        a_stored_error_goes_with_its_tags_and_its_key
        a_function_that_stores_no_errors_is_not_given_one
        who_is_given_an_error_of_a_load_and_stores_none_loads_for_itself
        beside_errors_that_are_stored_values_are_but_for_those_that_unless_says
        said_in_either_order_unless_and_negative_are_both_heeded
        a_handle_puts_and_refreshes_the_errors_that_are_stored_and_no_others
        an_answer_is_no_failure_where_nothing_is_stored_either
        nothing_and_an_error_are_told_apart
    }

    #[tokio::test]
    async fn a_rejection_is_no_answer_and_an_answer_needs_no_place() {
        let cache = Cache::builder().max_loads(1).load_queue(0, Duration::from_secs(60)).build().unwrap();
        scope(cache.clone(), async {
            let (names, gate) = (Names::default(), Semaphore::new(0));
            assert_eq!(picked(&names, 1).await, Err(DbError::NotFound));
            let meanwhile = async {
                until("there is no place", async || cache.stats().function("asked").loads == 1).await;
                assert_eq!(picked(&names, 1).await, Err(DbError::NotFound));
                assert_eq!(picked(&names, 2).await, Err(DbError::Overloaded));
                gate.add_permits(1);
            };
            let _ = tokio::join!(asked(&names, &gate, 1), meanwhile);
            assert_eq!(picked(&names, 2).await, Err(DbError::Forbidden { by: "law".to_owned() }));
            assert_eq!((cache.stats().total.overloaded, names.loads()), (1, 3));
        })
        .await;
    }

    #[tokio::test]
    async fn a_stored_error_lives_for_its_own_time() {
        let clock = Clock::held();
        let cache = Cache::builder().clock(clock.clone()).build().unwrap();
        scope(cache, async {
            let names = Names::default();
            assert_eq!(row(&names, 1).await, Err(DbError::NotFound));
            names.write(1, "Ada");
            clock.advance(Duration::from_secs(29));
            assert_eq!(row(&names, 1).await, Err(DbError::NotFound));
            clock.advance(Duration::from_secs(1));
            assert_eq!(row(&names, 1).await, Ok("Ada".to_owned()));
        })
        .await;
    }
}
