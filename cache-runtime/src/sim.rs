//! What this repository's own tests need and nobody else: no promise holds for it.

#[cfg(feature = "redis")]
pub use crate::store::redis::server::Server;
