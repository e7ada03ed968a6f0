//! What is claimed of two processes on one store and one database.

use std::process::Stdio;

use examples::Airports;
use examples::report::Failure;
use examples::report::check;
use examples::report::heading;
use examples::setup;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::process::Command;

use crate::claims::crowd_of;
use crate::claims::known;
use crate::prompt::Reply;

/// Two processes share what is stored, what is being loaded, and what is invalidated.
pub(crate) async fn share(airports: &Airports, url: &str) -> Result<(), Failure> {
    heading("6. A second process beside this one");
    if !setup::is_shared(url) {
        println!("  left out: a cache in memory is this process's own; set CACHE_URL=redis://127.0.0.1:6379 to see it");
        return Ok(());
    }
    let mut neighbour = Neighbour::start(airports, url).await?;
    entries(airports, &mut neighbour).await?;
    loads(airports, &mut neighbour).await?;
    invalidations(airports, &mut neighbour).await?;
    neighbour.stop().await
}

async fn entries(airports: &Airports, neighbour: &mut Neighbour) -> Result<(), Failure> {
    let found = airports.search("saint").await?.len();
    let reply = neighbour.ask("search saint").await?;
    println!("  searched here, then there: {}", reply.text);
    let same = reply.asked == 0 && reply.text.starts_with(&format!("{found} airports"));
    check(same, "what one has loaded, the other finds, and asks SQLite nothing")
}

async fn loads(airports: &Airports, neighbour: &mut Neighbour) -> Result<(), Failure> {
    neighbour.tell("crowd 500 EDDF").await?;
    let here = crowd_of(500, airports, "EDDF").await?;
    let there = neighbour.reply().await?.asked;
    println!("  500 callers here and 500 there at one cold key: SQLite was asked {here} + {there} times");
    check(here + there == 1, "one load in all")
}

async fn invalidations(airports: &Airports, neighbour: &mut Neighbour) -> Result<(), Failure> {
    let geneva = known(airports, "LSGG").await?;
    neighbour.ask("airport LSGG").await?;
    for round in 1..=100 {
        let there = format!("Renamed there {round}");
        neighbour.ask(&format!("rename LSGG {there}")).await?;
        if known(airports, "LSGG").await?.name != there {
            return Err(format!("the other process wrote `{there}`, and the next read here did not see it").into());
        }
        let here = format!("Renamed here {round}");
        airports.rename(&geneva, &here).await?;
        if !neighbour.ask("airport LSGG").await?.text.starts_with(&format!("{here},")) {
            return Err(
                format!("`{here}` was written here, and the next read of the other process did not see it").into()
            );
        }
    }
    airports.rename(&geneva, &geneva.name).await?;
    check(true, "100 updates there were seen by the next read here, and 100 here by the next read there")
}

/// A second copy of this program, at its prompt.
struct Neighbour {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Neighbour {
    async fn start(airports: &Airports, url: &str) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--prompt")
            .arg(airports.database().path())
            .env("CACHE_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take().ok_or("the second process has no input")?;
        let output = process.stdout.take().ok_or("the second process has no output")?;
        let mut neighbour = Self { process, input, output: BufReader::new(output).lines() };
        neighbour.line().await?;
        Ok(neighbour)
    }

    async fn ask(&mut self, question: &str) -> Result<Reply, Failure> {
        self.tell(question).await?;
        self.reply().await
    }

    async fn tell(&mut self, question: &str) -> Result<(), Failure> {
        self.input.write_all(format!("{question}\n").as_bytes()).await.map_err(Failure::from)
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        let line = self.line().await?;
        Reply::parse(&line).ok_or_else(|| format!("the second process said `{line}`").into())
    }

    async fn line(&mut self) -> Result<String, Failure> {
        self.output.next_line().await?.ok_or_else(|| "the second process ended".into())
    }

    async fn stop(mut self) -> Result<(), Failure> {
        self.tell("quit").await?;
        let status = self.process.wait().await?;
        if !status.success() {
            return Err(format!("the second process ended with {status}").into());
        }
        Ok(())
    }
}
