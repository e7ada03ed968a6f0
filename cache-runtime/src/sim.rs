//! The engine under a seeded simulation, for this repository's own tests. Nothing here is promised to anybody else.
//!
//! Two processes, or one on the in-process store, run readers and mutators over a database of numbered commits. Every request and reply may be late, lost or
//! delivered twice; entries, leases, marks and tokens are evicted and expire; callers are dropped at any await. Time stands still while anything can run. What happens is
//! recorded, and [`History::violations`] holds it against the promises. A seed replays to the letter.
//!
//! A run can break one [`Mutant`] rule. A simulation that then finds nothing would prove nothing.

mod executor;
mod faulty;
mod history;
mod plan;
mod workload;

pub use crate::sim::history::History;
pub use crate::sim::history::Violation;
pub use crate::sim::plan::Mutant;
pub use crate::sim::plan::Outcome;
pub use crate::sim::plan::Plan;
pub use crate::sim::plan::connect_broken;
pub use crate::sim::workload::run;
#[cfg(all(feature = "tls", any(feature = "redis", feature = "memcached")))]
pub use crate::store::certificates::Certificates;
#[cfg(feature = "memcached")]
pub use crate::store::memcached::server::Memcached;
#[cfg(feature = "redis")]
pub use crate::store::redis::server::Cluster;
#[cfg(feature = "redis")]
pub use crate::store::redis::server::SentinelSet;
#[cfg(feature = "redis")]
pub use crate::store::redis::server::Server;
#[cfg(feature = "redis")]
pub use crate::store::redis::server::Snapshot;
