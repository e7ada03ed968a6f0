//! The protocol alone, in models whose every state is visited.
//!
//! Each model is a few readers and mutators, a store, and what may go wrong. [stateright](https://docs.rs/stateright) lets any of them take the
//! next atomic step, until there is no state that it has not seen. What holds then holds in every interleaving of that many: it is no proof for
//! more of them, and says nothing of the code. The code is in the simulation, in the harness and, under shuttle, in `tests/models`.
//!
//! A rule of the protocol is a field of its model, and a model without the rule must break. So of each two tests one is called `control`, and
//! finds how.
//!
//! - `world`: versions, tokens, and what must be in force when somebody reads;
//! - `system`: readers, mutators and faults that take turns, and the comparison of what each reader is given with what was in force when it came;
//! - `check`: a law holds in all states, in some of which the cache serves somebody and in none of which a reader waits for ever; or it
//!   breaks, and here is how;
//! - every other file: one idea of the protocol, its rules, and what becomes of it without them.
//!
//! Some of the ideas are not in the runtime, or not yet. Their models say what will have to hold there, or why it was done differently.
//!
//! # How many states there are
//!
//! ```text
//! cargo test -p cache-protocol -- --nocapture 2>&1 | grep '^|' | sort
//! ```
//!
//! prints a row for each test: model, law, verdict, states, and steps to the last state. Of a control it prints what was visited until the law
//! was found broken, and how many steps led there. `PROTOCOL_READERS` and `PROTOCOL_FAULTS` add so many of each to every model. Each reader
//! makes about ten times as many states.
//!
//! The counts are small because a state stands for many. Tokens are renamed in the order in which they are found, which is all that counts
//! of them. Readers that are alike are sorted. A reader comes with its first step: had it come earlier, it could demand no more. And who knows
//! something that it will not use again forgets it. Where coming is a step of its own and nothing is forgotten, the same models have three to
//! sixteen times as many.

#[cfg(test)]
mod check;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod combined;
#[cfg(test)]
mod dynamic;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod index;
#[cfg(test)]
mod inherited;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod memcached;
#[cfg(test)]
mod near;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod own_token;
#[cfg(test)]
mod placeholder;
#[cfg(test)]
mod ring;
#[cfg(test)]
mod system;
#[cfg(test)]
mod tag;
#[cfg(test)]
mod versioned;
#[cfg(test)]
mod world;
