//! What the programs in `bin` share: rounds, tables, keys, servers, hits, and the caches that are compared.
//!
//! `docs/performance.md` says how to run them and how to read them.

pub mod annotated;
pub mod hits;
pub mod keys;
pub mod local;
pub mod rounds;
pub mod server;
pub mod table;
