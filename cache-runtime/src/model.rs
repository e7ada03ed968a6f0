//! What must hold however threads meet: the parts of this crate that many threads enter at once, each in a small play.
//!
//! Only the `models` package has this. There, [`sync`](crate::sync) is shuttle's, and every step of one of its primitives is a place where another thread may go
//! first.

pub mod cells;
pub mod flights;
pub mod store;
