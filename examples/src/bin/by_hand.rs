//! Without the attributes: what they print is a public builder, and this is how it is used.

use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::Site;
use cache_runtime::returns;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::setup;

/// What is known of the cached function: its name, and the templates of key and tags.
static GREETING: Site = Site::cached("by_hand", "greeting").key("greeting:{name}").tags(&["greetings"]);

/// What is known of the mutator: what it invalidates.
static CHANGE: Site = Site::invalidates("by_hand", "change").keys(&["greeting:{name}"]);

/// The source of truth: a word, and how often somebody asked for it.
struct Source {
    word: std::sync::Mutex<String>,
    asked: AtomicU32,
}

impl Source {
    fn word(&self) -> String {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.word.lock().expect("nobody panics while holding it").clone()
    }

    fn set(&self, word: &str) {
        *self.word.lock().expect("nobody panics while holding it") = word.to_owned();
    }
}

async fn greeting(cache: &Cache, source: &Source, name: &str) -> Result<String, Failure> {
    cache
        .entry(&GREETING, returns::<Result<String, Failure>>().kind())
        .key(&[&name])
        .ttl(Duration::from_secs(60))
        .get_or_load(async { Ok(format!("{}, {name}", source.word())) })
        .await
}

async fn change(cache: &Cache, source: &Source, name: &str, word: &str) {
    cache.invalidation(&CHANGE).keys(&[&name]).run(async { source.set(word) }).await;
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(run().await)
}

async fn run() -> Result<(), Failure> {
    let cache = Cache::memory();
    let source = Source { word: std::sync::Mutex::new("hello".to_owned()), asked: AtomicU32::new(0) };

    for _ in 0..3 {
        check(greeting(&cache, &source, "ada").await? == "hello, ada", "the greeting is `hello, ada`")?;
    }
    check(source.asked.load(Ordering::Relaxed) == 1, "three reads, one load")?;

    change(&cache, &source, "ada", "good day").await;
    check(greeting(&cache, &source, "ada").await? == "good day, ada", "the read after the change sees the change")?;
    setup::close(&cache).await
}
