//! Cache-aside for async functions that never serves what was invalidated.
//!
//! [`cached`] says what may be remembered of a function, [`invalidates`] says what makes it wrong. Once a mutator has returned, no read returns what was there before it.
//!
//! ```
//! use cache_runtime::{cached, global, invalidates};
//!
//! #[cached(ttl = "5m", key = "user:{id}")]
//! async fn user(id: u64) -> Result<String, std::io::Error> {
//!     Ok(format!("user {id}"))
//! }
//!
//! #[invalidates(key = "user:{id}")]
//! async fn rename(id: u64, name: &str) -> Result<(), std::io::Error> {
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! user(7).await?;
//! user(7).await?;
//! assert_eq!(global().stats().function("user").loads, 1);
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! - **Which store**: the memory of the process, or what `CACHE_URL` names. [`install`] and [`Cache::connect`] say it in the program, and fail where the environment would only be
//!   reported as a `tracing` event.
//! - **In tests**: [`scope()`] gives a task a cache of its own, [`Clock::held`] holds its time, and the module `testing` of the feature `test-util` makes its store fail and asserts what
//!   it counted.
//! - **By hand**: [`Cache::entry`] and [`Cache::invalidation`], which are all that the attributes print.
//! - **To see what happens**: [`Cache::stats`], [`explain`] in tests, the feature `metrics`, and `tracing` spans and events. They name functions and never values or arguments.

// The path that an expansion names, so that the attributes also work in here.
extern crate self as cache_runtime;

mod around;
#[cfg_attr(
    not(any(feature = "redis", feature = "memcached", feature = "test-util", feature = "sim")),
    allow(dead_code, reason = "a store in process is always there")
)]
mod breaker;
mod bulkhead;
mod cache;
mod catalog;
mod clock;
mod closing;
mod codec;
mod coder;
mod context;
mod core;
#[cfg_attr(
    not(any(feature = "redis", feature = "memcached", feature = "test-util", feature = "sim")),
    allow(dead_code, reason = "a store in process is always there")
)]
mod debt;
mod entry;
mod envelope;
mod epoch;
mod error;
pub mod explain;
mod flight;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod invalidation;
mod journal;
mod key;
mod lease;
mod local;
mod metrics;
#[cfg(shuttle)]
#[doc(hidden)]
#[allow(missing_docs, missing_debug_implementations, reason = "nobody uses it but the models")]
pub mod model;
mod outcome;
mod policy;
mod read;
pub mod scope;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
mod site;
mod store;
mod sync;
mod tag_sets;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod watch;

#[cfg(doctest)]
#[doc = include_str!("../../docs/keys-and-tags.md")]
mod keys_and_tags {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/invalidation.md")]
mod invalidation_by_example {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/protecting-the-source.md")]
mod protecting_the_source {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/migrating-from-cached.md")]
mod migrating_from_cached {}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "test-util"))]
#[doc = include_str!("../../docs/testing.md")]
mod testing_guide {}

pub use cache_macros::KeyPart;
pub use cache_macros::cached;
pub use cache_macros::invalidates;

pub use crate::cache::Builder;
pub use crate::cache::Cache;
pub use crate::cache::global;
pub use crate::cache::install;
pub use crate::cache::key_part;
pub use crate::catalog::Audit;
pub use crate::catalog::Catalog;
pub use crate::catalog::Finding;
pub use crate::catalog::catalog;
pub use crate::clock::Clock;
pub use crate::closing::Closed;
pub use crate::codec::Codec;
pub use crate::entry::Entries;
pub use crate::entry::Entry;
pub use crate::entry::GetOrLoad;
pub use crate::entry::GetOrLoadOwned;
pub use crate::entry::Handle;
pub use crate::entry::Keeping;
pub use crate::error::Error;
pub use crate::invalidation::Collected;
pub use crate::invalidation::Delivery;
pub use crate::invalidation::Ending;
pub use crate::invalidation::Invalidation;
pub use crate::invalidation::Mode;
pub use crate::invalidation::Record;
pub use crate::invalidation::RecordError;
pub use crate::invalidation::Refusable;
pub use crate::invalidation::Rejecting;
pub use crate::invalidation::ResultNames;
pub use crate::invalidation::Returning;
pub use crate::invalidation::Unasked;
pub use crate::key::KeyPart;
pub use crate::key::KeyWriter;
pub use crate::key::Spelled;
pub use crate::key::TypeKey;
pub use crate::key::display_part;
pub use crate::key::hash_part;
pub use crate::key::json_part;
pub use crate::key::type_key;
pub use crate::local::Capacity;
pub use crate::metrics::Counts;
pub use crate::metrics::FunctionStats;
pub use crate::metrics::Stats;
pub use crate::outcome::Cacheable;
pub use crate::outcome::Fails;
pub use crate::outcome::Fallible;
pub use crate::outcome::FallibleOptional;
pub use crate::outcome::MayBeEmpty;
pub use crate::outcome::Negative;
pub use crate::outcome::Optional;
pub use crate::outcome::Outcome;
pub use crate::outcome::Plain;
pub use crate::outcome::Rejectable;
pub use crate::outcome::Returns;
pub use crate::outcome::ReturnsAny;
pub use crate::outcome::ReturnsResult;
pub use crate::outcome::Shedding;
pub use crate::outcome::Split;
pub use crate::outcome::returns;
pub use crate::outcome::unreached;
pub use crate::policy::TimeToLive;
pub use crate::policy::Unless;
pub use crate::policy::Unset;
#[doc(inline)]
pub use crate::scope::scope;
pub use crate::site::Role;
pub use crate::site::Site;
pub use crate::tag_sets::Tag;
pub use crate::tag_sets::TaggedEntry;
