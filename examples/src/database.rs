//! The source of truth: one SQLite file, asked on blocking threads, that counts how often it was asked.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use tokio::task;

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite refused, or found no such row.
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be made.
    #[error("the database file: {0}")]
    File(#[from] std::io::Error),
    /// The thread that asked was lost.
    #[error("the query was lost: {0}")]
    Lost(#[from] task::JoinError),
    /// The data files are not as expected.
    #[error("line {line} of {table} has not the columns that the table has")]
    Data {
        /// Which table.
        table: &'static str,
        /// Which line, from 1.
        line: usize,
    },
}

/// A SQLite file. Clones share it, and its count.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    asked: AtomicU64,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens the file at `path`, and loads the airports into it when it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`] when the file cannot be opened or written.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let shared = Shared { path: path.to_owned(), asked: AtomicU64::new(0), idle: Mutex::default() };
        let database = Self { shared: Arc::new(shared) };
        database.run(load).await?;
        Ok(database)
    }

    /// Runs `question` on a blocking thread, and counts it.
    ///
    /// # Errors
    ///
    /// Those of `question`, and [`Error::Lost`] when it panicked.
    pub async fn ask<T, F>(&self, question: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        self.run(|connection| question(connection).map_err(Error::from)).await
    }

    /// How often this process asked.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    async fn run<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let answer = task::spawn_blocking(move || {
            let mut connection = shared.take()?;
            let answer = job(&mut connection);
            shared.put(connection);
            answer
        });
        answer.await?
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path()).field("asked", &self.asked()).finish_non_exhaustive()
    }
}

impl Shared {
    fn take(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| connect(&self.path), Ok)
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// A database file of this process alone, removed when dropped.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A path in the directory for temporary files that no other process uses.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cache-examples-{name}-{}.sqlite", std::process::id()));
        let temporary = Self { path };
        temporary.remove();
        temporary
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut file = self.path.clone().into_os_string();
            file.push(suffix);
            // A file that is not there needs no removing.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.remove();
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("distance_km", 4, flags, |arguments| {
        Ok(distance_km((arguments.get(0)?, arguments.get(1)?), (arguments.get(2)?, arguments.get(3)?)))
    })?;
    Ok(connection)
}

/// The length of the shortest way over the globe between two points, each a latitude and a longitude in degrees.
pub fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let ((latitude, longitude), (to_latitude, to_longitude)) = (from, to);
    let half_chord = ((to_latitude - latitude).to_radians() / 2.0).sin().powi(2)
        + latitude.to_radians().cos()
            * to_latitude.to_radians().cos()
            * ((to_longitude - longitude).to_radians() / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_KM * half_chord.sqrt().min(1.0).asin()
}

/// Makes and fills the tables, unless another process already did.
fn load(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if transaction.table_exists(None, "airport")? {
        return Ok(());
    }
    transaction.execute_batch(SCHEMA)?;
    for (table, text) in TABLES {
        let mut lines = text.lines();
        let columns = lines.next().unwrap_or_default().split('\t').count();
        let places = vec!["?"; columns].join(", ");
        let mut insert = transaction.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?;
        for (number, line) in lines.enumerate() {
            let fields = line.split('\t');
            if fields.clone().count() != columns {
                return Err(Error::Data { table, line: number + 2 });
            }
            insert.execute(rusqlite::params_from_iter(fields))?;
        }
    }
    transaction.commit()?;
    Ok(())
}

const EARTH_RADIUS_KM: f64 = 6371.0;

const TABLES: [(&str, &str); 3] = [
    ("country", include_str!("../data/countries.tsv")),
    ("airport", include_str!("../data/airports.tsv")),
    ("runway", include_str!("../data/runways.tsv")),
];

const SCHEMA: &str = "
    CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT NOT NULL, continent TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE airport (
        code TEXT PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, country TEXT NOT NULL REFERENCES country,
        latitude REAL NOT NULL, longitude REAL NOT NULL, elevation_ft INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE runway (
        airport TEXT NOT NULL REFERENCES airport, name TEXT NOT NULL, length_ft INTEGER NOT NULL,
        surface TEXT NOT NULL, lighted INTEGER NOT NULL);
    CREATE INDEX airport_by_country ON airport (country);
    CREATE INDEX runway_by_airport ON runway (airport);
";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_of_the_data_is_loaded_once() {
        let file = Temporary::new("load");
        let first = Database::open(file.path()).await.unwrap();
        let second = Database::open(file.path()).await.unwrap();
        let count = |table: &'static str| {
            let query = format!("SELECT count(*) FROM {table}");
            second.ask(move |connection| connection.query_row(&query, [], |row| row.get::<_, usize>(0)))
        };
        for (table, text) in TABLES {
            assert_eq!(count(table).await.unwrap(), text.lines().count() - 1, "{table}");
        }
        assert_eq!((first.asked(), second.asked()), (0, TABLES.len() as u64));
    }

    #[test]
    fn distance_is_that_of_the_atlas() {
        let (zurich, new_york) = ((47.4647, 8.5492), (40.6398, -73.7789));
        assert!((distance_km(zurich, new_york) - 6320.0).abs() < 20.0);
        assert!(distance_km(zurich, zurich) < 0.001);
    }
}
