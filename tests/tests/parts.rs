//! Parts of keys and tags that say how they are written, and types that derive it.

#[macro_use]
mod common;

use std::collections::HashMap;
use std::fmt;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::KeyPart;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::hash_part;
use cache_runtime::invalidates;
use cache_runtime::json_part;
use cache_runtime::returns;
use cache_runtime::scope;
use cache_runtime::sim::Server;
use serde::Serialize;

use crate::common::Row;
use crate::common::filled;

#[derive(Clone, Serialize)]
struct Filter {
    words: HashMap<String, u32>,
    price: Option<f64>,
}

impl Filter {
    fn new(words: &[(&str, u32)], price: Option<f64>) -> Self {
        Self { words: words.iter().map(|(word, weight)| ((*word).to_owned(), *weight)).collect(), price }
    }
}

#[cached(ttl = "5m", key = "found:{filter:json}", tags = ["price:{filter.price:json}"], skip(row))]
async fn found(row: &Row, filter: &Filter) -> u64 {
    row.read().await
}

#[invalidates(key = "found:{filter:json}")]
async fn index(row: &Row, filter: Filter) -> u64 {
    row.write()
}

#[invalidates(tags = ["price:{price:json}"])]
async fn reprice(row: &Row, price: Option<f64>) -> u64 {
    row.write()
}

#[cached(ttl = "5m", key = "mail:{mail:hash}", tags = ["mails", "mail:{mail:hash}"], skip(row))]
async fn by_mail(row: &Row, mail: &str) -> u64 {
    row.read().await
}

#[invalidates(key = "mail:{mail:hash}")]
async fn forget(row: &Row, mail: String) -> u64 {
    row.write()
}

/// Prints as people write it.
struct Locale(&'static str, &'static str);

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

#[cached(ttl = "5m", key = "page:{locale:display}", skip(row))]
async fn page(row: &Row, locale: &Locale) -> u64 {
    row.read().await
}

#[derive(Clone, Copy, KeyPart)]
struct UserId(u64);

#[derive(KeyPart)]
enum Scope<'a, T> {
    All,
    Of { user: UserId, name: &'a str },
    Each(Vec<T>),
}

#[cached(ttl = "5m", key = "orders:{scope}", skip(row))]
async fn orders(row: &Row, scope: Scope<'_, UserId>) -> u64 {
    row.read().await
}

#[invalidates(key = "orders:{scope}")]
async fn order(row: &Row, scope: Scope<'_, UserId>) -> u64 {
    row.write()
}

async fn json_ignores_the_order_of_a_map_and_nothing_else(cache: Cache, other: Cache) {
    let row = Row::new();
    let words = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    for times in 0..8 {
        // Every `HashMap` has an order of its own.
        assert_eq!(found(&row, &Filter::new(&words, None)).await, 1);
        filled(&cache, "found", 1).await;
        assert_eq!(scope(other.clone(), found(&row, &Filter::new(&words, None))).await, 1);
        assert_eq!(row.loads(), 1, "after {times} times");
    }
    found(&row, &Filter::new(&words, Some(0.5))).await;
    found(&row, &Filter::new(&words[1..], None)).await;
    assert_eq!(row.loads(), 3);
}

async fn a_mutator_names_what_a_reader_has_named_by_json(cache: Cache, other: Cache) {
    let row = Row::new();
    let filter = Filter::new(&[("a", 1), ("b", 2), ("c", 3)], Some(2.0));
    assert_eq!(found(&row, &filter).await, 1);
    filled(&cache, "found", 1).await;
    scope(other.clone(), index(&row, Filter::new(&[("c", 3), ("b", 2), ("a", 1)], Some(2.0)))).await;
    assert_eq!(found(&row, &filter).await, 2);
    filled(&cache, "found", 2).await;
    scope(other, reprice(&row, Some(2.0))).await;
    assert_eq!(found(&row, &filter).await, 3);
}

async fn what_does_not_serialize_is_never_shared(cache: Cache, _: Cache) {
    let row = Row::new();
    for (loads, price) in [f64::NAN, f64::NAN, f64::INFINITY].into_iter().enumerate() {
        assert_eq!(
            found(&row, &Filter::new(&[], Some(price))).await,
            row.version.load(std::sync::atomic::Ordering::SeqCst)
        );
        assert_eq!(row.loads(), loads + 1);
    }
    index(&row, Filter::new(&[], Some(f64::NAN))).await;
    let counts = cache.stats().function("found");
    assert_eq!((counts.unnamed, counts.bypassed, counts.fills, counts.hits), (3, 3, 0, 0));
    assert_eq!(cache.stats().function("index").unnamed, 1);
}

async fn what_has_no_name_makes_what_is_around_it_unstorable(cache: Cache, _: Cache) {
    #[cached(ttl = "5m", key = "outer", skip(row, filter))]
    async fn outer(row: &Row, filter: &Filter) -> u64 {
        found(row, filter).await
    }
    let row = Row::new();
    let filter = Filter::new(&[], Some(f64::NAN));
    assert_eq!(outer(&row, &filter).await, 1);
    row.write();
    assert_eq!(outer(&row, &filter).await, 2);
    assert_eq!(cache.stats().function("outer").fills, 0);
}

async fn a_hidden_part_is_the_same_for_all_who_have_the_secret(cache: Cache, other: Cache) {
    let row = Row::new();
    let mail = "ada@example.org";
    assert_eq!(by_mail(&row, mail).await, 1);
    filled(&cache, "by_mail", 1).await;
    row.write();
    assert_eq!(scope(other.clone(), by_mail(&row, mail)).await, 1);
    assert_eq!(by_mail(&row, "grace@example.org").await, 2);
    scope(other.clone(), forget(&row, mail.to_owned())).await;
    assert_eq!(by_mail(&row, mail).await, 3);
    filled(&cache, "by_mail", 3).await;
    row.write();
    let by_hand = format!("mail:{}", other.key_part(&hash_part(&mail)));
    assert!(!by_hand.contains("ada"));
    assert_eq!(other.invalidate(by_hand).await, Delivery::Applied);
    assert_eq!(by_mail(&row, mail).await, 4);
}

async fn a_part_as_it_prints_is_escaped(cache: Cache, _: Cache) {
    let row = Row::new();
    assert_eq!(page(&row, &Locale("de", "AT")).await, 1);
    filled(&cache, "page", 1).await;
    assert_eq!(page(&row, &Locale("de/AT", "")).await, 1);
    assert_eq!(row.loads(), 2);
    row.write();
    assert_eq!(cache.invalidate("page:de%2FAT").await, Delivery::Applied);
    assert_eq!(page(&row, &Locale("de", "AT")).await, 2);
}

async fn a_derived_part_tells_calls_apart(cache: Cache, other: Cache) {
    let row = Row::new();
    let one = || Scope::Of { user: UserId(1), name: "x" };
    assert_eq!(orders(&row, Scope::All).await, 1);
    assert_eq!(orders(&row, one()).await, 1);
    assert_eq!(orders(&row, Scope::Of { user: UserId(1), name: "" }).await, 1);
    assert_eq!(orders(&row, Scope::Each(vec![])).await, 1);
    assert_eq!(orders(&row, Scope::Each(vec![UserId(1)])).await, 1);
    assert_eq!(row.loads(), 5);
    filled(&cache, "orders", 5).await;
    scope(other, order(&row, one())).await;
    assert_eq!(orders(&row, one()).await, 2);
    assert_eq!(orders(&row, Scope::All).await, 1, "nobody has invalidated it");
}

on_every_store! {
    json_ignores_the_order_of_a_map_and_nothing_else
    a_mutator_names_what_a_reader_has_named_by_json
    what_does_not_serialize_is_never_shared
    what_has_no_name_makes_what_is_around_it_unstorable
    a_hidden_part_is_the_same_for_all_who_have_the_secret
    a_part_as_it_prints_is_escaped
    a_derived_part_tells_calls_apart
}

#[tokio::test]
async fn without_a_secret_nothing_is_hidden_on_a_store_that_others_read() {
    let server = Server::start();
    let cache = Cache::connect(&server.url()).await.unwrap();
    let row = Row::new();
    scope(cache.clone(), async {
        for loads in 1..4 {
            by_mail(&row, "ada@example.org").await;
            assert_eq!(row.loads(), loads);
        }
        forget(&row, "ada@example.org".to_owned()).await;
    })
    .await;
    let counts = cache.stats().function("by_mail");
    assert_eq!((counts.unnamed, counts.fills), (3, 0));
    assert_eq!(cache.stats().function("forget").unnamed, 1);
}

#[tokio::test]
async fn what_cannot_be_named_is_not_said_to_be_invalidated() {
    static BY_MAIL: Site = Site::cached("parts", "by_hand").key("mail:{mail:hash}");
    static FORGET: Site = Site::invalidates("parts", "forget_by_hand").keys(&["mail:{mail:json}"]);
    let server = Server::start();
    let cache = Cache::connect(&server.url()).await.unwrap();
    let entry = || {
        cache.entry(&BY_MAIL, returns::<u64>().kind()).key(&[&hash_part("ada")]).ttl(std::time::Duration::from_secs(60))
    };
    assert!(!entry().put(7).await);
    assert_eq!(entry().get().await, None);
    assert_eq!(entry().remaining_ttl().await, None);
    assert_eq!(entry().invalidate().await, Delivery::Deferred);
    assert_eq!(cache.invalidation(&FORGET).keys(&[&json_part(&f64::NAN)]).apply().await, Delivery::Deferred);
    assert_eq!(cache.stats().total.unnamed, 5);
}

#[tokio::test]
async fn caches_with_different_secrets_hide_differently() {
    let [one, other] =
        ["0123456789abcdef", "fedcba9876543210"].map(|secret| Cache::builder().secret(secret).build().unwrap());
    assert_ne!(one.key_part(&hash_part("ada")), other.key_part(&hash_part("ada")));
    let again = Cache::builder().secret("0123456789abcdef").build().unwrap();
    assert_eq!(one.key_part(&hash_part("ada")), again.key_part(&hash_part("ada")));
    assert!(
        scope(one.clone(), async { cache_runtime::key_part(&hash_part("ada")) }).await
            == one.key_part(&hash_part("ada"))
    );
}

#[test]
fn a_secret_is_long_enough_and_never_shown() {
    assert!(Cache::builder().secret("0123456789abcde").build().is_err());
    let builder = Cache::builder().secret("do not show this");
    assert!(!format!("{builder:?}").contains("do not show"), "{builder:?}");
    let cache = builder.build().unwrap();
    assert!(!format!("{cache:?}").contains("do not show"), "{cache:?}");
}
