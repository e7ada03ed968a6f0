//! What the example programs share: a database of the world's airports, and the functions over it.
//!
//! - [`database`]: SQLite, asked on blocking threads, and a count of how often it was asked;
//! - [`airports`]: the service, every function annotated;
//! - [`report`]: printing figures, and checking what is claimed of them;
//! - [`server`]: a Redis of one's own;
//! - [`setup`]: installing the cache that `CACHE_URL` names, and closing it.

pub mod airports;
pub mod database;
pub mod report;
pub mod server;
pub mod setup;

// Here and not in `cache-runtime`, because it shows an exporter.
#[cfg(doctest)]
#[doc = include_str!("../../docs/observability.md")]
mod observability {}

pub use crate::airports::Airport;
pub use crate::airports::Airports;
pub use crate::database::Database;
