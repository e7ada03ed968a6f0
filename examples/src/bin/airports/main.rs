//! The world's airports, asked of SQLite through a cache: what the cache saves, and that it never shows what has changed.
//!
//! ```text
//! cargo run --release -p examples --bin airports                    in the memory of one process
//! CACHE_URL=redis://127.0.0.1:6379 cargo run … --bin airports       on Redis, with a second process beside it
//! CACHE_URL=redis://127.0.0.1:6379 cargo run … --bin airports -- --prompt    by hand, in as many terminals as you like
//! cargo run … --bin airports -- --catalog                           its cached functions and mutators, and a picture of them
//! ```
//!
//! It checks every claim that it prints, and ends with code 1 and a sentence when one does not hold.

mod claims;
mod prompt;
mod side_by_side;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use cache_runtime::Cache;
use examples::Airports;
use examples::Database;
use examples::database::Temporary;
use examples::report::Failure;
use examples::report::finish;
use examples::report::heading;
use examples::setup;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        None => report().await,
        Some("--prompt") => prompt(arguments.next().map(PathBuf::from)).await,
        Some("--catalog") => {
            let catalog = cache_runtime::catalog();
            println!("{catalog}\n{}", catalog.to_mermaid());
            Ok(())
        }
        Some(other) => Err(format!("`{other}` is not known; say nothing, `--prompt [FILE]` or `--catalog`").into()),
    };
    finish(outcome)
}

/// The claims one after the other, over a database and a namespace of this run alone.
async fn report() -> Result<(), Failure> {
    let url = setup::cache_url(&format!("airports-{}", std::process::id()));
    let cache = setup::install(&url).await?;
    let file = Temporary::new("airports");
    let airports = Airports::new(Database::open(file.path()).await?);
    let (count, runways) = airports.size().await?;
    println!("{count} airports and {runways} runways in SQLite, cached at {url}");

    claims::cold_and_warm(&airports).await?;
    claims::crowd(&airports).await?;
    claims::update(&airports).await?;
    claims::tag(&airports).await?;
    claims::inner_and_outer(&airports).await?;
    side_by_side::share(&airports, &url).await?;

    counts(&cache, &airports);
    setup::close(&cache).await
}

/// What the cache counted in this process, function by function.
fn counts(cache: &Cache, airports: &Airports) {
    heading("What was counted in this process");
    let row = |name: &str, cells: [&dyn Display; 5]| {
        println!("  {name:34}{:>9}{:>9}{:>9}{:>9}{:>13}", cells[0], cells[1], cells[2], cells[3], cells[4]);
    };
    row("", [&"hits", &"misses", &"loads", &"joined", &"invalidated"]);
    let stats = cache.stats();
    let total = ("in total".to_owned(), stats.total);
    for (name, counts) in stats.functions.into_iter().map(|function| (function.name, function.counts)).chain([total]) {
        row(&name, [&counts.hits, &counts.misses, &counts.loads, &counts.joined, &counts.applied]);
    }
    println!("  SQLite was asked {} times", airports.database().asked());
}

/// A prompt over the database in `path`, else in one that every prompt on this machine shares.
async fn prompt(path: Option<PathBuf>) -> Result<(), Failure> {
    let url = setup::cache_url("airports");
    let cache = setup::install(&url).await?;
    let path = path.unwrap_or_else(|| std::env::temp_dir().join("cache-examples-airports.sqlite"));
    prompt::serve(&Airports::new(Database::open(&path).await?)).await?;
    setup::close(&cache).await
}
