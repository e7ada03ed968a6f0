//! The service at a prompt: one question a line, and with each answer how often SQLite was asked for it.

use std::time::Instant;

use examples::Airports;
use examples::report::Failure;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;

use crate::claims;

const HELP: &str = "airport CODE, country CODE, search WORDS, alternates CODE, flight CODE CODE, \
                    rename CODE NAME, crowd COUNT CODE, or quit";

/// Answers the lines of the standard input, until there are no more or one says `quit`.
pub(crate) async fn serve(airports: &Airports) -> Result<(), Failure> {
    println!("{HELP}");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if line.trim() == "quit" {
            break;
        }
        let (asked, start) = (airports.database().asked(), Instant::now());
        let text = answer(airports, line.trim()).await.unwrap_or_else(|failure| format!("no: {failure}"));
        let reply = Reply { asked: airports.database().asked() - asked, text };
        println!("{} in {:.1?}", reply.print(), start.elapsed());
    }
    Ok(())
}

/// What one line was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    /// How often SQLite was asked.
    pub(crate) asked: u64,
    /// The answer, and on a prompt's own line the time that it took.
    pub(crate) text: String,
}

impl Reply {
    fn print(&self) -> String {
        format!("asked {}: {}", self.asked, self.text)
    }

    /// Reads what [`serve`] prints.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (asked, text) = line.strip_prefix("asked ")?.split_once(": ")?;
        Some(Self { asked: asked.parse().ok()?, text: text.to_owned() })
    }
}

async fn answer(airports: &Airports, line: &str) -> Result<String, Failure> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match word {
        "airport" => {
            let airport = claims::known(airports, first).await?;
            format!("{}, {}, {}", airport.name, airport.city, airport.country)
        }
        "country" => format!("{} airports", airports.airports_of(first).await?.len()),
        "search" => format!("{} airports", airports.search(rest).await?.len()),
        "alternates" => airports.alternates(first).await?.into_iter().map(|there| there.code + " ").collect(),
        "flight" => airports
            .flight(first, second)
            .await?
            .map_or_else(|| "no such flight".to_owned(), |flight| format!("{:.0} km", flight.km)),
        "rename" => {
            airports.rename(&claims::known(airports, first).await?, second).await?;
            "renamed".to_owned()
        }
        "crowd" => {
            let asked = claims::crowd_of(first.parse()?, airports, second).await?;
            format!("{first} callers, {asked} loads")
        }
        _ => HELP.to_owned(),
    })
}
