//! The service: questions about airports, and the changes that make their answers stale.
//!
//! Every answer names what it depends on, and every change names the same:
//!
//! | what is stored | goes with |
//! |---|---|
//! | `airport:{code}`: one airport | that airport |
//! | `country:{country}:airports`: a listing | the tag `country:{country}` |
//! | `search:{words}`, `alternates:{code}`, `continents` | the tag `airports` |
//! | `flight:{from}:{to}`: made of two airports | either of them, by itself |

use std::sync::Arc;

use cache_runtime::cached;
use cache_runtime::invalidates;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use serde::Deserialize;
use serde::Serialize;

use crate::database::Database;
use crate::database::Error;
use crate::database::distance_km;

/// One airport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Airport {
    /// Its code, such as `LSZH`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The city it serves.
    pub city: String,
    /// The code of its country, such as `CH`.
    pub country: String,
    /// North of the equator, in degrees.
    pub latitude: f64,
    /// East of Greenwich, in degrees.
    pub longitude: f64,
    /// Of its longest runway, in feet.
    pub runway_ft: u32,
}

/// An airport to turn to, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternate {
    /// Its code.
    pub code: String,
    /// How far.
    pub km: f64,
}

/// A continent, and what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continent {
    /// Its code, such as `EU`.
    pub code: String,
    /// How many airports.
    pub airports: u32,
    /// The mean length of their runways, in feet.
    pub runway_ft: f64,
}

/// A way from one airport to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flight {
    /// The name of the first.
    pub from: String,
    /// The name of the second.
    pub to: String,
    /// How far.
    pub km: f64,
}

/// Questions and changes, over a database.
#[derive(Clone, Debug)]
pub struct Airports {
    database: Database,
}

impl Airports {
    /// The service over `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// One airport. One that does not exist is not stored.
    #[cached(ttl = "10m", key = "airport:{code}")]
    pub async fn airport(&self, code: &str) -> Result<Option<Airport>, Error> {
        let code = code.to_owned();
        let query = format!("{AIRPORT} WHERE airport.code = ?");
        self.database.ask(move |database| database.query_row(&query, [code], airport).optional()).await
    }

    /// The airports of a country, by name. A hit clones what it returns, so long lists are kept behind an `Arc`.
    #[cached(ttl = "10m", key = "country:{country}:airports", tags = ["country:{country}"])]
    pub async fn airports_of(&self, country: &str) -> Result<Arc<[Airport]>, Error> {
        let country = country.to_owned();
        let query = format!("{AIRPORT} WHERE airport.country = ? ORDER BY airport.name");
        self.database.ask(move |database| database.prepare(&query)?.query_map([country], airport)?.collect()).await
    }

    /// The airports whose name or city holds `words`.
    #[cached(ttl = "1m", key = "search:{words}", tags = ["airports"])]
    pub async fn search(&self, words: &str) -> Result<Arc<[Airport]>, Error> {
        let words = format!("%{words}%");
        let query =
            format!("{AIRPORT} WHERE airport.name LIKE ?1 OR airport.city LIKE ?1 ORDER BY airport.name LIMIT 50");
        self.database.ask(move |database| database.prepare(&query)?.query_map([words], airport)?.collect()).await
    }

    /// The five nearest airports with a runway of at least 8,000 feet. SQLite measures the way to every one there is.
    #[cached(ttl = "10m", key = "alternates:{code}", tags = ["airports"])]
    pub async fn alternates(&self, code: &str) -> Result<Vec<Alternate>, Error> {
        let code = code.to_owned();
        self.database.ask(move |database| database.prepare(ALTERNATES)?.query_map([code], alternate)?.collect()).await
    }

    /// The continents, by how many airports they have. Three tables joined, every row read.
    #[cached(ttl = "10m", key = "continents", tags = ["airports"])]
    pub async fn continents(&self) -> Result<Vec<Continent>, Error> {
        self.database.ask(|database| database.prepare(CONTINENTS)?.query_map([], continent)?.collect()).await
    }

    /// The way between two airports. It asks nothing itself: it is made of two other answers, and goes with them. The audit sees no mutator for it, and is told so.
    #[cached(ttl = "10m", key = "flight:{from}:{to}", allow_stale)]
    pub async fn flight(&self, from: &str, to: &str) -> Result<Option<Flight>, Error> {
        let (Some(from), Some(to)) = (self.airport(from).await?, self.airport(to).await?) else {
            return Ok(None);
        };
        let km = distance_km((from.latitude, from.longitude), (to.latitude, to.longitude));
        Ok(Some(Flight { from: from.name, to: to.name, km }))
    }

    /// Gives an airport another name.
    #[invalidates(key = "airport:{airport.code}", tags = ["airports", "country:{airport.country}"])]
    pub async fn rename(&self, airport: &Airport, name: &str) -> Result<(), Error> {
        let (code, name) = (airport.code.clone(), name.to_owned());
        self.database
            .ask(move |database| database.execute("UPDATE airport SET name = ?2 WHERE code = ?1", (code, name)))
            .await?;
        Ok(())
    }

    /// Adds an airport.
    #[invalidates(key = "airport:{airport.code}", tags = ["airports", "country:{airport.country}"])]
    pub async fn add(&self, airport: &Airport) -> Result<(), Error> {
        let new = airport.clone();
        self.database
            .ask(move |database| {
                let place = (new.latitude, new.longitude, 0);
                let row = (new.code, new.name, new.city, new.country, place.0, place.1, place.2);
                database.execute("INSERT INTO airport VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            })
            .await?;
        Ok(())
    }

    /// The codes of `count` airports, spread over the alphabet. Not cached.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn some_codes(&self, count: usize) -> Result<Vec<String>, Error> {
        let query = "SELECT code FROM (SELECT code, row_number() OVER (ORDER BY code) AS place FROM airport)
                     WHERE place % (SELECT count(*) / ?1 FROM airport) = 0 LIMIT ?1";
        self.database
            .ask(move |database| database.prepare(query)?.query_map([count], |row| row.get(0))?.collect())
            .await
    }

    /// How many airports and runways there are. Not cached.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn size(&self) -> Result<(u32, u32), Error> {
        let query = "SELECT (SELECT count(*) FROM airport), (SELECT count(*) FROM runway)";
        self.database.ask(|database| database.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))).await
    }

    /// The database underneath.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

fn airport(row: &Row<'_>) -> rusqlite::Result<Airport> {
    Ok(Airport {
        code: row.get(0)?,
        name: row.get(1)?,
        city: row.get(2)?,
        country: row.get(3)?,
        latitude: row.get(4)?,
        longitude: row.get(5)?,
        runway_ft: row.get(6)?,
    })
}

fn alternate(row: &Row<'_>) -> rusqlite::Result<Alternate> {
    Ok(Alternate { code: row.get(0)?, km: row.get(1)? })
}

fn continent(row: &Row<'_>) -> rusqlite::Result<Continent> {
    Ok(Continent { code: row.get(0)?, airports: row.get(1)?, runway_ft: row.get(2)? })
}

const AIRPORT: &str = "
    SELECT airport.code, airport.name, city, country, latitude, longitude,
        coalesce((SELECT max(length_ft) FROM runway WHERE runway.airport = airport.code), 0)
    FROM airport";

const ALTERNATES: &str = "
    SELECT there.code, distance_km(here.latitude, here.longitude, there.latitude, there.longitude) AS km
    FROM airport AS here, airport AS there
    WHERE here.code = ?1 AND there.code <> ?1
        AND (SELECT max(length_ft) FROM runway WHERE runway.airport = there.code) >= 8000
    ORDER BY km LIMIT 5";

const CONTINENTS: &str = "
    SELECT continent, count(DISTINCT airport.code) AS airports, avg(length_ft)
    FROM country
    JOIN airport ON airport.country = country.code
    JOIN runway ON runway.airport = airport.code
    GROUP BY continent ORDER BY airports DESC";
