//! An outbox: a process is killed between its commit and the invalidation, and nothing is lost.
//!
//! Three processes share a SQLite file and a Redis, which this program starts unless `CACHE_URL` names one. This one reads prices through the cache. Another changes them, and is killed as
//! soon as it has committed. It cannot reach Redis, so there is no mark of its mutation either, which would have saved the day. A third is the worker that delivers what the outbox holds.
//!
//! It goes through this twice: without the outbox, where the old price stays, and with it. At last somebody writes past the mutators, and a trigger fills the outbox.

use std::path::Path;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;

use cache_runtime::Delivery;
use cache_runtime::Record;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::testing::settled;
use examples::database::Temporary;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::report::heading;
use examples::server::Server;
use examples::setup;
use rusqlite::Connection;
use rusqlite::Result;
use rusqlite::Transaction;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Command;

#[cached(ttl = "1h", key = "price:{sku}", skip(database))]
async fn price(database: &Connection, sku: &str) -> Result<u32> {
    database.query_row("SELECT cents FROM price WHERE sku = ?", [sku], |row| row.get(0))
}

#[invalidates(key = "price:{sku}", in_transaction)]
async fn set_price(transaction: &Transaction<'_>, sku: &str, cents: u32) -> Result<()> {
    transaction.execute("UPDATE price SET cents = ?2 WHERE sku = ?1", (sku, cents))?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    finish(match *arguments {
        [] => report().await,
        ["--write", path, sku] => write(path.as_ref(), sku, false).await,
        ["--write-and-record", path, sku] => write(path.as_ref(), sku, true).await,
        ["--deliver", path] => deliver(path.as_ref()).await,
        _ => Err("say nothing; this program starts its other processes itself".into()),
    })
}

/// The writer: changes a price, and then waits to be killed.
async fn write(path: &Path, sku: &str, records: bool) -> Result<(), Failure> {
    let cache = setup::install(&setup::cache_url("outbox")).await?;
    let transaction = cache.transaction(async |collected| {
        let mut database = open(path)?;
        let transaction = database.transaction()?;
        set_price(&transaction, sku, 390).await?;
        if records {
            for record in collected.records() {
                transaction.execute("INSERT INTO outbox (record) VALUES (?)", [record.to_string()])?;
            }
        }
        transaction.commit()?;
        println!("committed");
        std::future::pending().await
    });
    transaction.await
}

/// The worker: delivers what there is, and removes what was delivered. It may be killed at any point too.
async fn deliver(path: &Path) -> Result<(), Failure> {
    let cache = setup::install(&setup::cache_url("outbox")).await?;
    let database = open(path)?;
    loop {
        let mut query = database.prepare("SELECT id, record FROM outbox ORDER BY id LIMIT 100")?;
        let rows: Vec<(i64, String)> = query.query_map([], |row| row.try_into())?.collect::<Result<_>>()?;
        if rows.is_empty() {
            // In a service it would wait a little here, and go on.
            return Ok(());
        }
        let records = rows.iter().map(|(_, text)| text.parse()).collect::<Result<Vec<Record>, _>>()?;
        match cache.apply(&records).await? {
            Delivery::Applied => {
                for (id, text) in &rows {
                    database.execute("DELETE FROM outbox WHERE id = ?", [id])?;
                    println!("delivered `{text}`");
                }
            }
            Delivery::Deferred => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The reader, which starts the others.
async fn report() -> Result<(), Failure> {
    let mut url = setup::cache_url(&format!("outbox-{}", std::process::id()));
    let mut own = None;
    if !setup::is_shared(&url) {
        // What lies in the memory of a process is gone with it, and nobody is left to read an old value.
        url = format!("{}?namespace=outbox", own.insert(Server::start().await?).url());
    }
    let cache = setup::install(&url).await?;
    let cut_off = format!("redis://127.0.0.1:1?namespace={}", cache.namespace());
    let file = Temporary::new("outbox");
    let database = open(file.path())?;
    database.execute_batch(SCHEMA)?;
    let path = file.path().to_str().ok_or("the path of the database is not text")?;

    heading("1. Without an outbox");
    check(price(&database, "tea").await? == 350, "tea is 350, in the database and in the cache")?;
    settled(&cache).await;
    write_and_die(&["--write", path, "tea"], &cut_off).await?;
    check(committed(&database, "tea")? == 390, "another process has made it 390, and was killed after its commit")?;
    check(price(&database, "tea").await? == 350, "the cache says 350, and will for an hour: nobody knows any more")?;

    heading("2. With an outbox");
    check(price(&database, "coffee").await? == 350, "coffee is 350 too")?;
    settled(&cache).await;
    write_and_die(&["--write-and-record", path, "coffee"], &cut_off).await?;
    check(committed(&database, "coffee")? == 390, "it is 390 now, and its writer was killed as well")?;
    check(waiting(&database)? == 1, "in the outbox stands what is to be invalidated, committed with the price")?;
    let worker = command(&["--deliver", path], &url)?.status().await?;
    check(worker.success() && waiting(&database)? == 0, "a worker has delivered it")?;
    check(price(&database, "coffee").await? == 390, "the next read says 390")?;

    heading("3. With a trigger");
    settled(&cache).await;
    // The text of a record is a promise, so that others can write it.
    let record = format!("'v1 {} key:price:' || NEW.sku || ' .'", cache.namespace());
    let trigger = format!(
        "CREATE TRIGGER changed AFTER UPDATE ON price BEGIN INSERT INTO outbox (record) VALUES ({record}); END"
    );
    database.execute_batch(&trigger)?;
    database.execute("UPDATE price SET cents = 420 WHERE sku = 'coffee'", [])?;
    check(
        price(&database, "coffee").await? == 390,
        "somebody made it 420 past the mutators, which the cache cannot know",
    )?;
    let worker = command(&["--deliver", path], &url)?.status().await?;
    check(
        worker.success() && price(&database, "coffee").await? == 420,
        "until the worker has delivered what a trigger wrote",
    )
}

/// Starts the writer, and kills it once it has committed.
async fn write_and_die(arguments: &[&str], url: &str) -> Result<(), Failure> {
    let mut writer = command(arguments, url)?.stdout(Stdio::piped()).spawn()?;
    let output = writer.stdout.take().ok_or("the writer has no output")?;
    let said = BufReader::new(output).lines().next_line().await?;
    writer.kill().await?;
    if said.as_deref() == Some("committed") { Ok(()) } else { Err("the writer has not committed".into()) }
}

/// This program once more, with a cache of its own.
fn command(arguments: &[&str], url: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).env("CACHE_URL", url).env_remove("CACHE_NAMESPACE").stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

fn open(path: &Path) -> Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(10))?;
    Ok(database)
}

/// What the database itself says.
fn committed(database: &Connection, sku: &str) -> Result<u32> {
    database.query_row("SELECT cents FROM price WHERE sku = ?", [sku], |row| row.get(0))
}

/// How many rows the outbox has.
fn waiting(database: &Connection) -> Result<u32> {
    database.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
}

const SCHEMA: &str = "
    CREATE TABLE price (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL);
    INSERT INTO price VALUES ('tea', 350), ('coffee', 350);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, record TEXT NOT NULL);";
