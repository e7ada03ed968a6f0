//! What is claimed of one process.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use examples::Airport;
use examples::Airports;
use examples::report::Failure;
use examples::report::check;
use examples::report::heading;
use examples::report::median;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// A second call is answered without the database, and where the query is dear it is much faster.
pub(crate) async fn cold_and_warm(airports: &Airports) -> Result<(), Failure> {
    heading("1. Cold and warm: the median of 50 first calls, and of the same 50 again");
    let codes = airports.some_codes(50).await?;
    let words: Vec<_> = ('a'..='z').flat_map(|first| [format!("{first}an"), format!("{first}or")]).take(50).collect();
    println!("  {:24}{:>12}{:>12}{:>20}", "", "cold", "warm", "SQLite was asked");
    compare("one airport", airports, &codes, async |code| airports.airport(code).await.map(drop)).await?;
    compare("a search by name", airports, &words, async |words| airports.search(words).await.map(drop)).await?;
    let (cold, warm) =
        compare("the nearest alternates", airports, &codes, async |code| airports.alternates(code).await.map(drop))
            .await?;
    check(warm < cold, "a warm call of a dear query is faster than a cold one")
}

async fn compare(
    what: &str,
    airports: &Airports,
    inputs: &[String],
    mut call: impl AsyncFnMut(&String) -> Result<(), examples::database::Error>,
) -> Result<(Duration, Duration), Failure> {
    let start = airports.database().asked();
    let cold = median(inputs, &mut call).await?;
    let asked_cold = airports.database().asked() - start;
    let warm = median(inputs, &mut call).await?;
    let asked_warm = airports.database().asked() - start - asked_cold;
    println!("  {what:24}{cold:>12.1?}{warm:>12.1?}{:>20}", format!("{asked_cold}, then {asked_warm}"));
    if asked_warm > 0 {
        return Err(format!("a second call asked the database: {what}").into());
    }
    Ok((cold, warm))
}

/// However many ask at once for what nobody has loaded yet, the database is asked once.
pub(crate) async fn crowd(airports: &Airports) -> Result<(), Failure> {
    heading("2. A crowd at a cold key: 1,000 callers at once");
    let start = Instant::now();
    let asked = crowd_of(1_000, airports, "LSZH").await?;
    println!("  all answered after {:.1?}; questions to SQLite: {asked}", start.elapsed());
    check(asked == 1, "one caller asked, the others were given its answer")
}

/// Lets `count` callers ask for the alternates of `code` together, and returns how often the database was asked.
pub(crate) async fn crowd_of(count: usize, airports: &Airports, code: &str) -> Result<u64, Failure> {
    let before = airports.database().asked();
    let gate = Arc::new(Barrier::new(count));
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let (airports, code, gate) = (airports.clone(), code.to_owned(), Arc::clone(&gate));
        callers.spawn(async move {
            gate.wait().await;
            airports.alternates(&code).await
        });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(answer) = callers.join_next().await {
        answers.push(answer??);
    }
    if answers.iter().any(|answer| answer != &answers[0]) {
        return Err("two callers of one crowd got different answers".into());
    }
    Ok(airports.database().asked() - before)
}

/// Once a change has returned, the next read sees it.
pub(crate) async fn update(airports: &Airports) -> Result<(), Failure> {
    heading("3. An update that the very next read sees");
    let before = known(airports, "LSZH").await?;
    for round in 1..=100 {
        let name = format!("{} {round}", before.name);
        airports.rename(&before, &name).await?;
        let after = known(airports, "LSZH").await?;
        if after.name != name {
            return Err(format!("`{name}` was written, and the next read said `{}`", after.name).into());
        }
    }
    println!("  {} was renamed 100 times, and read after each", before.name);
    airports.rename(&before, &before.name).await?;
    check(known(airports, "LSZH").await? == before, "every read saw the name that was written before it")
}

/// A tag names many entries: clearing it empties the listing, and no other.
pub(crate) async fn tag(airports: &Airports) -> Result<(), Failure> {
    heading("4. A tag that empties a listing");
    let swiss = airports.airports_of("CH").await?.len();
    let austrian = airports.airports_of("AT").await?.len();
    println!("  {swiss} airports in Switzerland and {austrian} in Austria, both listings stored");
    let new =
        Airport { code: "XX01".to_owned(), name: "Sankt Gallen City".to_owned(), ..known(airports, "LSZH").await? };
    airports.add(&new).await?;

    let before = airports.database().asked();
    let listing = airports.airports_of("CH").await?;
    let asked = airports.database().asked() - before;
    check(listing.len() == swiss + 1 && asked == 1, "with one added, the Swiss listing is read again, and has it")?;
    let listing = airports.airports_of("AT").await?;
    let asked = airports.database().asked() - before - asked;
    check(listing.len() == austrian && asked == 0, "the Austrian listing has another tag, and is still stored")
}

/// A result made of other cached results goes when one of them goes, though it names neither.
pub(crate) async fn inner_and_outer(airports: &Airports) -> Result<(), Failure> {
    heading("5. An outer result that goes with an inner one");
    let zurich = known(airports, "LSZH").await?;
    for _ in 0..2 {
        flight(airports).await?;
    }
    let before = airports.database().asked();
    println!("  stored: {}", flight(airports).await?);
    check(airports.database().asked() == before, "the flight is stored, and asks nothing")?;

    airports.rename(&zurich, "Zurich Kloten").await?;
    let before = airports.database().asked();
    let text = flight(airports).await?;
    let asked = airports.database().asked() - before;
    println!("  after the change: {text}, {asked} airport read");
    check(text.starts_with("Zurich Kloten"), "one airport was renamed, and the flight says so at once")?;
    check(asked == 1, "only that airport was read again, the other was still stored")?;
    airports.rename(&zurich, &zurich.name).await.map_err(Failure::from)
}

async fn flight(airports: &Airports) -> Result<String, Failure> {
    let flight = airports.flight("LSZH", "KJFK").await?.ok_or("no such flight")?;
    Ok(format!("{} to {}, {:.0} km", flight.from, flight.to, flight.km))
}

pub(crate) async fn known(airports: &Airports, code: &str) -> Result<Airport, Failure> {
    airports.airport(code).await?.ok_or_else(|| format!("there is no airport {code}").into())
}
