//! Testing a service with cached functions: that it uses the cache as meant, and that it works without it.
//!
//! The program shows one outage of the cache; the tests below it are how a service would have them. `docs/testing.md` explains them.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use cache_runtime::testing::Faults;
use cache_runtime::testing::Watch;
use cache_runtime::testing::settled;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::setup;

/// The service under test: prices in a database, here a map.
#[derive(Default)]
struct Prices {
    database: Mutex<HashMap<String, u32>>,
}

impl Prices {
    #[cached(ttl = "5m", key = "price:{sku}", tags = ["prices"])]
    async fn price(&self, sku: &str) -> Option<u32> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).get(sku).copied()
    }

    /// The dearer of two, which depends on both.
    #[cached(ttl = "5m", key = "dearer:{one}:{other}")]
    async fn dearer(&self, one: &str, other: &str) -> Option<u32> {
        self.price(one).await.max(self.price(other).await)
    }

    #[invalidates(key = "price:{sku}")]
    async fn set(&self, sku: &str, price: u32) {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).insert(sku.to_owned(), price);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(run().await)
}

async fn run() -> Result<(), Failure> {
    let faults = Faults::new();
    let cache = Cache::builder().faults(&faults).build()?;
    scope(cache.clone(), outage(&cache, &faults)).await?;
    setup::close(&cache).await
}

async fn outage(cache: &Cache, faults: &Faults) -> Result<(), Failure> {
    let prices = Prices::default();
    prices.set("tea", 350).await;
    prices.price("tea").await;
    settled(cache).await;
    let mut watch = Watch::new(cache);
    let warm = prices.price("tea").await;
    check(warm == Some(350) && watch.function("price").counts().hits == 1, "the price of tea is in the cache")?;

    faults.fail();
    watch.restart();
    prices.set("tea", 390).await;
    let down = prices.price("tea").await;
    check(down == Some(390), "with the cache down, the new price is read from the database")?;
    check(watch.function("price").counts().loads == 1 && cache.pending() == 1, "and one invalidation waits")?;

    faults.heal();
    settled(cache).await;
    prices.price("tea").await;
    settled(cache).await;
    watch.restart();
    let healed = prices.price("tea").await;
    check(healed == Some(390) && watch.function("price").counts().hits == 1, "once it is back, the new price is cached")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_runtime::Clock;

    use super::*;

    #[tokio::test]
    async fn second_call_is_answered_by_the_cache() {
        let cache = Cache::memory();
        scope(cache.clone(), async {
            let prices = Prices::default();
            prices.set("tea", 350).await;
            prices.price("tea").await;
            prices.price("tea").await;
            Watch::new(&cache).function("price").assert_loads(0);
            assert_eq!(cache.stats().function("price").loads, 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_price_is_kept_for_five_minutes() {
        let clock = Clock::held();
        let cache = Cache::builder().clock(clock.clone()).jitter(0.0).build().unwrap();
        scope(cache.clone(), async {
            let prices = Prices::default();
            prices.set("tea", 350).await;
            prices.price("tea").await;
            let mut watch = Watch::new(&cache);
            clock.advance(Duration::from_secs(299));
            prices.price("tea").await;
            watch.function("price").assert_hits(1).assert_loads(0);
            watch.restart();
            clock.advance(Duration::from_secs(1));
            prices.price("tea").await;
            watch.function("price").assert_loads(1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_new_price_reaches_what_was_made_of_the_old_one() {
        let cache = Cache::memory();
        scope(cache.clone(), async {
            let prices = Prices::default();
            prices.set("tea", 350).await;
            prices.set("coffee", 300).await;
            assert_eq!(prices.dearer("tea", "coffee").await, Some(350));
            let watch = Watch::new(&cache);
            prices.set("coffee", 420).await;
            assert_eq!(prices.dearer("tea", "coffee").await, Some(420));
            watch.function("price").assert_loads(1).assert_hits(1);
        })
        .await;
    }

    #[tokio::test]
    async fn the_service_works_while_the_cache_is_down() {
        let faults = Faults::new();
        let cache = Cache::builder().faults(&faults).build().unwrap();
        scope(cache.clone(), async {
            let prices = Prices::default();
            faults.fail();
            prices.set("tea", 350).await;
            assert_eq!(prices.price("tea").await, Some(350));
            prices.set("tea", 390).await;
            assert_eq!(prices.price("tea").await, Some(390));
            Watch::new(&cache).total().assert_hits(0);
        })
        .await;
    }
}
