//! Several processes, hot keys, and everything that goes wrong; afterwards the history is held against the promises.
//!
//! Worker processes read and write the rows of one [`database`] through annotated functions ([`workload`]); readers and mutators are dropped half-way, workers are
//! killed and replaced, and a [`nemesis`] harms their Redis or their servers of Memcached ([`siege`]), and the way there of each for itself ([`proxy`]). Everybody reports what it did ([`history`]), by the one clock of the machine, and [`checks`] judges it.
//!
//! `HARNESS_SECONDS=600 cargo test -p cache-tests --test harness promises` runs longer than usual, and `HARNESS_SEED=7` with the seed that a failure has printed. A
//! seed decides what everybody does, not who comes first, so a rare failure may take several runs to come back.

mod changes;
mod checks;
mod controls;
mod database;
mod fleet;
mod hand;
mod histories;
mod history;
mod nemesis;
mod network;
#[path = "../common/proxy.rs"]
mod proxy;
mod report;
mod run;
mod servers;
mod shards;
mod siege;
mod succession;
mod worker;
mod workload;

use crate::fleet::PLAN;
use crate::fleet::Writes;
use crate::run::Scenario;
use crate::run::Store;
use crate::run::holds;
use crate::run::soaks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the other tests"]
async fn worker() {
    if let Ok(plan) = std::env::var(PLAN) {
        worker::work(serde_json::from_str(&plan).expect("a plan")).await;
    }
}

#[test]
fn promises_hold_in_one_process() {
    holds(Scenario { store: Store::InProcess, ..Scenario::default() }, 2);
}

#[test]
fn promises_hold_in_one_process_that_evicts() {
    holds(Scenario { store: Store::InProcess, capacity: Some(6), ..Scenario::default() }, 2);
}

#[test]
fn reads_are_linearizable_in_one_process() {
    holds(Scenario { store: Store::InProcess, ..linearizable() }, 2);
}

#[test]
fn reads_are_linearizable_on_redis_while_workers_are_killed() {
    holds(linearizable(), 3);
}

#[test]
fn promises_hold_on_redis_while_workers_are_killed() {
    holds(Scenario::default(), 3);
}

#[test]
fn promises_hold_on_a_redis_that_forgets_hangs_up_and_falls_silent() {
    holds(Scenario { cruel: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_while_each_process_has_a_network_of_its_own() {
    holds(Scenario { cruel: true, networks: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_a_redis_that_encrypts_and_lets_in_who_may_do_no_more_than_is_needed() {
    holds(Scenario { store: Store::Rediss, cruel: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_memcached_while_workers_are_killed() {
    holds(Scenario { store: Store::Memcached(1), ..Scenario::default() }, 3);
}

#[test]
fn reads_are_linearizable_on_three_memcacheds_while_workers_are_killed() {
    holds(Scenario { store: Store::Memcached(3), ..linearizable() }, 3);
}

#[test]
fn promises_hold_on_a_memcached_that_forgets_hangs_up_and_falls_silent() {
    holds(Scenario { store: Store::Memcached(1), cruel: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_three_memcacheds_of_which_any_is_away() {
    holds(Scenario { store: Store::Memcached(3), cruel: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_three_memcacheds_of_which_each_has_a_network_of_its_own() {
    holds(Scenario { store: Store::Memcached(3), cruel: true, networks: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_three_memcacheds_that_come_back_empty_during_loads() {
    holds(Scenario { store: Store::Memcached(3), cruel: true, slow: true, ..Scenario::default() }, 6);
}

#[test]
fn promises_hold_on_three_memcacheds_that_encrypt() {
    holds(Scenario { store: Store::Memcacheds(3), cruel: true, ..Scenario::default() }, 4);
}

#[test]
fn promises_hold_while_sentinels_replace_the_redis() {
    holds(Scenario { cruel: true, store: Store::Sentinels, ..Scenario::default() }, 8);
}

#[test]
fn reads_are_linearizable_on_a_cluster_while_workers_are_killed() {
    holds(Scenario { store: Store::Cluster, ..linearizable() }, 3);
}

#[test]
fn promises_hold_on_a_cluster_whose_masters_and_slots_change() {
    holds(Scenario { store: Store::Cluster, cruel: true, ..Scenario::default() }, 12);
}

/// `scripts/soak`
#[test]
#[ignore = "runs for as long as it is asked to"]
fn soak() {
    let (store, networks) = match std::env::var("HARNESS_STORE").as_deref() {
        Err(_) | Ok("redis") => (Store::Redis, true),
        Ok("sentinel") => (Store::Sentinels, false),
        Ok("cluster") => (Store::Cluster, false),
        Ok("tls") => (Store::Rediss, true),
        Ok("memcached") => (Store::Memcached(3), true),
        Ok("memcacheds") => (Store::Memcacheds(3), true),
        Ok(other) => {
            panic!("`{other}` is no store to soak: `redis`, `tls`, `sentinel`, `cluster`, `memcached`, `memcacheds`")
        }
    };
    soaks(Scenario { store, cruel: true, networks, ..Scenario::default() });
}

fn linearizable() -> Scenario {
    Scenario { writes: Writes::Linearizably, linearizable: true, ..Scenario::default() }
}
