//! A hit in process, by one thread and by two, of one hot key and of many.
//!
//! `cargo run --release --bin local_hit [WORD]`: with a word, only the floor and those whose name has it.
//!
//! One thread is measured by the processor time that it used, which other programs disturb least. Two are measured by the clock on the wall, because waiting for each
//! other is part of what a call costs.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use benches::keys;
use benches::local::Local;
use benches::local::named;
use benches::rounds::Contender;
use benches::rounds::race;
use benches::table::Table;
use nix::time::ClockId;
use nix::time::clock_gettime;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let locals = named(&word, &runtime());
    for (title, keys) in [("one hot key", keys::hot(COUNT)), ("100,000 keys by Zipf", keys::zipf(COUNT))] {
        let one = |local: &Local| processor_nanoseconds(local, &keys);
        println!("A hit, {title}, 1 thread:\n\n{}", compare(&locals, one));
        let two = |local: &Local| wall_nanoseconds(local, &keys, 2);
        println!("A hit, {title}, 2 threads:\n\n{}", compare(&locals, two));
    }
}

fn compare(locals: &[Local], nanoseconds: impl Fn(&Local) -> f64) -> Table {
    let mut contenders: Vec<_> = locals.iter().map(|local| Contender::new(local.name, || nanoseconds(local))).collect();
    let mut table = Table::new(["", "ns per call", "of the floor"]);
    for outcome in race(&mut contenders, ROUNDS) {
        table.row([outcome.name, format!("{:.0}", outcome.measured), format!("{:.2}", outcome.ratio)]);
    }
    table
}

fn processor_nanoseconds(local: &Local, keys: &[u64]) -> f64 {
    let runtime = runtime();
    let used = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the processor time of this thread");
    let before = used();
    local.run(&runtime, keys);
    let time = used() - before;
    (time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64) / keys.len() as f64
}

/// What a call takes on each of `threads` that run at once.
fn wall_nanoseconds(local: &Local, keys: &[u64], threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        let runtime = runtime();
        barrier.wait();
        let start = Instant::now();
        local.run(&runtime, keys);
        start.elapsed().as_secs_f64() * 1e9 / keys.len() as f64
    };
    let times: Vec<f64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that ends")).collect()
    });
    times.iter().sum::<f64>() / threads as f64
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

const ROUNDS: usize = 31;
const COUNT: usize = 100_000;
