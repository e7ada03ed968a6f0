//! A mutator inside a transaction returns before the commit, so its invalidations wait for it.
//!
//! - `in_transaction` says that a function takes a transaction, and that this was thought of;
//! - `transaction` collects what the mutators inside it invalidate, and invalidates it at the end, or drops it when it is told of a rollback;
//! - `no_fill` lets cached functions be called inside, and stores nothing: a transaction may see an old state.

use std::process::ExitCode;

use cache_runtime::Cache;
use cache_runtime::Delivery;
use cache_runtime::cached;
use cache_runtime::invalidates;
use cache_runtime::scope;
use examples::report::Failure;
use examples::report::check;
use examples::report::finish;
use examples::setup;

use rusqlite::Connection;
use rusqlite::Result;
use rusqlite::Transaction;
use tokio::sync::Mutex;

/// SQLite in memory, asked on the one thread that there is; `airports` shows how to ask from many.
struct Bank {
    connection: Mutex<Connection>,
}

#[cached(ttl = "5m", key = "balance:{account}", skip(bank))]
async fn balance(bank: &Bank, account: i64) -> Result<i64> {
    let connection = bank.connection.lock().await;
    connection.query_row("SELECT cents FROM account WHERE id = ?", [account], |row| row.get(0))
}

/// Changes one account, in a transaction that its caller commits.
#[invalidates(key = "balance:{account}", in_transaction)]
async fn add(transaction: &Transaction<'_>, account: i64, cents: i64) -> Result<()> {
    transaction.execute("UPDATE account SET cents = cents + ?2 WHERE id = ?1", [account, cents])?;
    Ok(())
}

/// Moves money, if there is enough of it; says whether there was. Both accounts are invalidated once, after the commit.
async fn transfer(cache: &Cache, bank: &Bank, from: i64, to: i64, cents: i64) -> Result<bool> {
    let moving = cache.transaction(async |collected| {
        let mut connection = bank.connection.lock().await;
        let transaction = connection.transaction()?;
        add(&transaction, from, -cents).await?;
        add(&transaction, to, cents).await?;
        let left: i64 = transaction.query_row("SELECT cents FROM account WHERE id = ?", [from], |row| row.get(0))?;
        if left < 0 {
            transaction.rollback()?;
            collected.rolled_back().await;
            return Ok(false);
        }
        transaction.commit()?;
        Ok(true)
    });
    moving.await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cache = Cache::memory();
    let outcome = scope(cache.clone(), run(&cache)).await;
    finish(outcome.and(setup::close(&cache).await))
}

async fn run(cache: &Cache) -> Result<(), Failure> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, cents INTEGER); INSERT INTO account VALUES (1, 500), (2, 0);",
    )?;
    let bank = Bank { connection: Mutex::new(connection) };
    let both = async || Ok::<_, Failure>((balance(&bank, 1).await?, balance(&bank, 2).await?));

    check(both().await? == (500, 0), "both balances are stored")?;
    check(transfer(cache, &bank, 1, 2, 200).await?, "there is enough money to transfer")?;
    check(both().await? == (300, 200), "after the commit, the next reads see both sides of the transfer")?;

    let invalidated = cache.stats().total.applied;
    check(!transfer(cache, &bank, 1, 2, 999).await?, "there is not enough for another, which is rolled back")?;
    check(cache.stats().total.applied == invalidated, "nothing was invalidated for it")?;
    check(both().await? == (300, 200), "and both balances are what they were")?;

    // Somebody writes past the mutators, as another service might. The cache cannot know.
    let write_past = async |cents: i64| {
        let connection = bank.connection.lock().await;
        connection.execute("UPDATE account SET cents = ?", [cents])
    };
    check(cache.invalidate("balance:1").await == Delivery::Applied, "an entry can also be invalidated by its key")?;
    write_past(7).await?;
    check(cache.no_fill(balance(&bank, 1)).await? == 7, "inside `no_fill` a miss is loaded")?;
    write_past(8).await?;
    check(balance(&bank, 1).await? == 8, "and nothing was stored, so the read after it loads again")
}
