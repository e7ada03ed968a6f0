//! What a hit on a store outside of this process is measured with: the value, the callers, the table.

use std::future::Future;
use std::time::Instant;

use cache_runtime::scope;
use serde::Deserialize;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::rounds::Contender;
use crate::rounds::race;
use crate::table::Table;

/// How many keys are read.
pub const KEYS: u64 = 100;
const ROUNDS: usize = 31;

/// What is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its key.
    pub id: u64,
    text: String,
}

impl User {
    /// One of about `size` bytes.
    pub fn load(id: u64, size: usize) -> Self {
        Self { id, text: "x".repeat(size) }
    }

    /// The same as JSON.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn stored(id: u64, size: usize) -> Vec<u8> {
        serde_json::to_vec(&Self::load(id, size)).expect("a value as JSON")
    }

    /// What was [`stored`](Self::stored).
    ///
    /// # Panics
    ///
    /// When it was something else.
    pub fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).expect("a stored value")
    }
}

/// A runtime of so many threads.
///
/// # Panics
///
/// When the system has no threads to give.
pub fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

/// Runs `call` from `callers` at once, `count` times in all, and returns how many thousand there were in a second.
///
/// # Panics
///
/// When a call returns another value than that of its key.
pub async fn rate<F: Future<Output = User> + Send + 'static>(
    callers: u64,
    count: u64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(scope::current().carry(async move {
            for turn in 0..count / callers {
                let id = (caller + turn) % KEYS;
                assert_eq!(call(id).await.id, id);
            }
        }));
    }
    tasks.join_all().await;
    count as f64 / start.elapsed().as_secs_f64() / 1000.0
}

/// Says how fast the floor is, which comes first, and beside it those whose name has `word`.
pub fn compared(mut contenders: Vec<Contender<'_>>, word: &str) -> Table {
    let floor = contenders.remove(0);
    contenders.retain(|contender| contender.name().contains(word));
    contenders.insert(0, floor);
    let mut table = Table::new(["", "thousand calls per second", "of the floor"]);
    for outcome in race(&mut contenders, ROUNDS) {
        table.row([outcome.name, format!("{:.1}", outcome.measured), format!("{:.2}", outcome.ratio)]);
    }
    table
}

/// `1 caller`, `64 callers`.
pub fn callers(count: u64) -> String {
    format!("{count} caller{}", if count == 1 { "" } else { "s" })
}
