//! A cache of its own for every test: two tests of one function never see each other's entries.
//!
//! This program shows it with two tasks; the tests below it are how a service would have them.

use std::process::ExitCode;

use cache_runtime::Cache;
use cache_runtime::cached;
use cache_runtime::scope;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;

/// A function under test. Its key names the city, so `degrees`, which stands for the weather outside, must be skipped by name.
#[cached(ttl = "5m", key = "weather:{city}", skip(degrees))]
async fn weather(city: &str, degrees: i32) -> String {
    format!("{city}: {degrees} degrees")
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(run().await)
}

async fn run() -> Result<(), Failure> {
    let morning = tokio::spawn(scope(Cache::memory(), async { (weather("Bern", 9).await, weather("Bern", 10).await) }));
    let evening =
        tokio::spawn(scope(Cache::memory(), async { (weather("Bern", 20).await, weather("Bern", 19).await) }));
    let (first, second) = morning.await?;
    check(first == "Bern: 9 degrees" && second == first, "one task stores 9 degrees and finds them again")?;
    let (first, second) = evening.await?;
    check(first == "Bern: 20 degrees" && second == first, "another, with its own cache, stores 20 and never sees the 9")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn second_call_is_answered_by_the_cache() {
        let both = async { (weather("Oslo", 1).await, weather("Oslo", 2).await) };
        let (first, second) = scope(Cache::memory(), both).await;
        assert_eq!(first, second);
    }

    #[tokio::test]
    async fn another_test_starts_empty() {
        assert_eq!(scope(Cache::memory(), weather("Oslo", 3)).await, "Oslo: 3 degrees");
    }
}
