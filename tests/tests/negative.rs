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
use cache_runtime::invalidates;
use cache_runtime::returns;
use cache_runtime::scope;

use crate::common::filled;

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
        nothing_and_an_error_are_told_apart
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
