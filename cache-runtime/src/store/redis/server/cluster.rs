//! A Cluster of three masters with a replica each.

use std::collections::HashSet;
use std::fmt::Write;
#[cfg(all(test, feature = "tls"))]
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::Kind;
use super::Server;
use super::field;
use super::until;
use super::within;
use crate::core::lock;
#[cfg(all(test, feature = "tls"))]
use crate::store::certificates::Certificates;

/// Three masters with a third of the slots each, and a replica of each, which take a node for dead that was silent for a second and a half. At first the nodes 0, 1 and 2 are the masters, and 3, 4 and 5 their replicas.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
    /// When each node was last seen to become a master.
    elected: Mutex<[Option<Instant>; NODES]>,
}

impl Cluster {
    /// Starts all of them, and waits until they serve.
    ///
    /// # Panics
    ///
    /// When they cannot be run, or do not find each other.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts all of them with further arguments.
    ///
    /// # Panics
    ///
    /// When they cannot be run, or do not find each other.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::of(arguments, Server::started)
    }

    /// Starts all of them, with encrypted connections to everybody and to each other.
    #[cfg(all(test, feature = "tls"))]
    pub(crate) fn start_encrypting(certificates: &Arc<Certificates>) -> Self {
        Self::of(&[], |server| server.encrypting(certificates).started())
    }

    fn of(arguments: &[&str], started: impl Fn(Server) -> Server) -> Self {
        let arguments: Vec<&str> = ARGUMENTS.iter().chain(arguments).copied().collect();
        let nodes: Vec<Server> = (0..NODES).map(|_| started(Server::prepared(Kind::Node, &arguments))).collect();
        let ids = nodes.iter().map(|node| told(node, &["CLUSTER", "MYID"])).collect();
        let cluster = Self { nodes, ids, elected: Mutex::default() };
        cluster.give_out_slots();
        for node in &cluster.nodes[1..] {
            told(&cluster.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string()]);
        }
        until("the nodes know each other", || {
            cluster.nodes.iter().all(|node| {
                let nodes = node.command(&["CLUSTER", "NODES"]).unwrap_or_default();
                cluster.ids.iter().all(|id| nodes.lines().any(|line| line.starts_with(id)))
                    && !nodes.contains("handshake")
            })
        });
        for (at, node) in cluster.nodes.iter().enumerate().skip(MASTERS) {
            told(node, &["CLUSTER", "REPLICATE", &cluster.ids[at - MASTERS]]);
        }
        cluster.until_whole();
        cluster
    }

    fn give_out_slots(&self) {
        for (at, node) in self.nodes.iter().enumerate().take(MASTERS) {
            let slots = (at * SLOTS / MASTERS)..((at + 1) * SLOTS / MASTERS);
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let words = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            told(node, &words.collect::<Vec<_>>());
            // Nobody may take another's part in a vote that nobody has called.
            told(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
    }

    /// Its address with three of its nodes, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = String::from("redis+cluster://");
        for (at, node) in self.nodes.iter().take(MASTERS).enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(url, "{}127.0.0.1:{}", if at == 0 { "" } else { "," }, node.port());
        }
        url
    }

    /// All six, by which every other method means them.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// In which slot a key is.
    #[must_use]
    pub fn slot_of(&self, key: &str) -> u16 {
        let said = self.ask(&["CLUSTER", "KEYSLOT", key]);
        said.parse().expect("a slot")
    }

    /// Which node serves a slot, as the most recent of those that run know it.
    ///
    /// # Panics
    ///
    /// When none does.
    #[must_use]
    pub fn owner(&self, slot: u16) -> usize {
        let owners = self.nodes.iter().enumerate().filter(|(at, node)| {
            let nodes = node.command(&["CLUSTER", "NODES"]).unwrap_or_default();
            nodes.lines().any(|line| line.starts_with(&self.ids[*at]) && line.contains("master") && serves(line, slot))
        });
        let epoch = |node: &Server| {
            let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            field(&info, "cluster_my_epoch").and_then(|epoch| epoch.parse::<u64>().ok())
        };
        let newest = owners.max_by_key(|(_, node)| epoch(node));
        newest.unwrap_or_else(|| panic!("no node serves slot {slot}")).0
    }

    /// A replica of a node, by what the replica says.
    ///
    /// # Panics
    ///
    /// When it has none that runs.
    #[must_use]
    pub fn replica_of(&self, master: usize) -> usize {
        let follows = |node: &Server| {
            let port = self.nodes[master].port().to_string();
            let info = node.command(&["INFO", "replication"]).unwrap_or_default();
            field(&info, "role") == Some("slave") && field(&info, "master_port") == Some(&port)
        };
        self.nodes.iter().position(follows).unwrap_or_else(|| panic!("node {master} has no replica"))
    }

    /// Has `replica` take its master's place: `""` asks the master, `"FORCE"` the other masters, `"TAKEOVER"` nobody. Waits until it serves.
    ///
    /// # Panics
    ///
    /// When it refuses, or does not become a master.
    pub fn failover(&self, replica: usize, how: &str) {
        let is_voted = how != "TAKEOVER";
        if is_voted {
            self.until_votes_are_old(replica);
        }
        let words: Vec<&str> = ["CLUSTER", "FAILOVER", how].into_iter().filter(|word| !word.is_empty()).collect();
        // The others vote about one master once in two time-outs, and the order is forgotten after five seconds.
        for _ in 0..5 {
            told(&self.nodes[replica], &words);
            if within(Duration::from_secs(6), || self.is_master(replica)) {
                if is_voted {
                    self.was_elected(replica);
                }
                return;
            }
        }
        panic!("node {replica} does not become a master by CLUSTER FAILOVER {how}");
    }

    /// Ends a master as a crash does, and waits until `replica` has taken its place.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn kill_for(&self, master: usize, replica: usize) {
        self.until_votes_are_old(replica);
        self.nodes[master].kill();
        self.until_master(replica);
    }

    /// Stops a master without closing anything, and waits until `replica` has taken its place.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn stop_for(&self, master: usize, replica: usize) {
        self.until_votes_are_old(replica);
        self.nodes[master].stop();
        self.until_master(replica);
    }

    /// Waits until a node is a master, by what it says itself.
    ///
    /// # Panics
    ///
    /// When it does not become one.
    pub fn until_master(&self, node: usize) {
        until(&format!("node {node} is a master"), || self.is_master(node));
        self.was_elected(node);
    }

    /// Waits until a node follows another one, by what it says itself.
    ///
    /// # Panics
    ///
    /// When it does not come to it.
    pub fn until_replica(&self, node: usize) {
        until(&format!("node {node} is a replica"), || {
            let info = self.nodes[node].command(&["INFO", "replication"]).unwrap_or_default();
            field(&info, "role") == Some("slave")
        });
    }

    fn was_elected(&self, node: usize) {
        lock(&self.elected)[node] = Some(Instant::now());
    }

    /// Waits until a node that is to be elected has to be voted for. One that is elected a second time within two time-outs counts the votes of the first, and takes its master's place under the number
    /// it had then. Nobody else believes it, and a master that comes back takes all of it again: <https://github.com/redis/redis/issues/8752>.
    fn until_votes_are_old(&self, node: usize) {
        let elected = lock(&self.elected)[node];
        if let Some(elected) = elected {
            thread::sleep(VOTES_COUNT.saturating_sub(elected.elapsed()));
        }
    }

    /// Whether a node is a master, by what it says itself.
    #[must_use]
    pub fn is_master(&self, node: usize) -> bool {
        let info = self.nodes[node].command(&["INFO", "replication"]).unwrap_or_default();
        field(&info, "role") == Some("master")
    }

    /// Waits until all nodes run, serve every slot and say the same of who has it, and every replica has what its master has.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub fn until_whole(&self) {
        until("the Cluster is whole", || self.nodes.iter().all(is_whole) && self.is_agreed());
    }

    /// Whether all nodes know the same masters, each by a number of its own. Who is killed before that may come back with a number that nobody has heard of.
    fn is_agreed(&self) -> bool {
        let said: HashSet<_> = self.nodes.iter().map(masters).collect();
        let Some(masters) = said.iter().next().filter(|_| said.len() == 1) else { return false };
        let numbers: HashSet<&str> = masters.iter().map(|(_, number, _)| number.as_str()).collect();
        numbers.len() == MASTERS && masters.len() == MASTERS
    }

    /// Moves a slot with its keys to another master, while clients run.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub fn migrate(&self, slot: u16, to: usize) {
        let from = self.begin_migration(slot, to);
        while self.move_keys(slot, from, to, 10) > 0 {}
        self.end_migration(slot, from, to);
    }

    /// Opens a slot at both ends, and returns where it is so far: from now on that node answers `ASK` for what it has no more, and `TRYAGAIN` for some of each.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub fn begin_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.owner(slot);
        let slot = slot.to_string();
        told(&self.nodes[to], &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]);
        told(&self.nodes[from], &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]);
        from
    }

    /// Moves up to `most` keys of a slot that is open at both ends, and returns how many.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let keys = told(&self.nodes[from], &["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]);
        let keys: Vec<&str> = keys.lines().collect();
        if !keys.is_empty() {
            let port = self.nodes[to].port().to_string();
            let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            told(&self.nodes[from], &words.into_iter().chain(keys.iter().copied()).collect::<Vec<_>>());
        }
        keys.len()
    }

    /// Gives a slot whose keys have been moved to its new master.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub fn end_migration(&self, slot: u16, from: usize, to: usize) {
        let words = ["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &self.ids[to]];
        told(&self.nodes[to], &words);
        told(&self.nodes[from], &words);
        until(&format!("node {to} serves slot {slot}"), || self.owner(slot) == to);
    }

    /// What the first node that runs answers.
    fn ask(&self, words: &[&str]) -> String {
        self.nodes.iter().find_map(|node| node.command(words).ok()).expect("a node that runs")
    }
}

fn told(node: &Server, words: &[&str]) -> String {
    node.command(words).unwrap_or_else(|error| panic!("{:?} is refused: {error}", &words[..words.len().min(5)]))
}

fn is_whole(node: &Server) -> bool {
    let cluster = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
    let replication = node.command(&["INFO", "replication"]).unwrap_or_default();
    let follows =
        field(&replication, "role") == Some("master") || field(&replication, "master_link_status") == Some("up");
    field(&cluster, "cluster_state") == Some("ok") && field(&cluster, "cluster_slots_ok") == Some("16384") && follows
}

/// The masters that a node knows of: of each its id, its number and its slots.
fn masters(node: &Server) -> Vec<(String, String, String)> {
    let nodes = node.command(&["CLUSTER", "NODES"]).unwrap_or_default();
    let masters = nodes.lines().filter_map(|line| match line.splitn(9, ' ').collect::<Vec<_>>()[..] {
        [id, _, flags, _, _, _, number, _, slots] if flags.contains("master") => {
            Some((id.to_owned(), number.to_owned(), slots.to_owned()))
        }
        [id, _, flags, _, _, _, number, _] if flags.contains("master") => {
            Some((id.to_owned(), number.to_owned(), String::new()))
        }
        _ => None,
    });
    let mut masters: Vec<_> = masters.collect();
    masters.sort();
    masters
}

/// Whether a line of `CLUSTER NODES` lists the slot among those that the node serves.
fn serves(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|slots| {
        let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}

const SLOTS: usize = 16_384;
const MASTERS: usize = 3;
const NODES: usize = 6;
/// Twice the time-out, and some more.
const VOTES_COUNT: Duration = Duration::from_millis(3200);
/// One part that is down leaves the others as they are, replicas stay with their masters, and nobody who wants a copy waits for more who want one.
const ARGUMENTS: [&str; 8] = [
    "--cluster-node-timeout",
    "1500",
    "--cluster-require-full-coverage",
    "no",
    "--cluster-migration-barrier",
    "99",
    "--repl-diskless-sync-delay",
    "0",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_moves_slots_and_survives_its_masters() {
        let cluster = Cluster::start();
        assert_eq!(told(&cluster.nodes()[cluster.owner(cluster.slot_of("k"))], &["SET", "k", "v"]), "OK");
        let slot = cluster.slot_of("k");
        let from = cluster.owner(slot);
        let to = (from + 1) % MASTERS;
        cluster.migrate(slot, to);
        assert_eq!(told(&cluster.nodes()[to], &["GET", "k"]), "v");

        for how in ["", "FORCE", "TAKEOVER"] {
            let master = cluster.owner(slot);
            let replica = cluster.replica_of(master);
            cluster.failover(replica, how);
            cluster.until_whole();
            assert_eq!(cluster.owner(slot), replica, "{how}");
        }

        let master = cluster.owner(slot);
        let replica = cluster.replica_of(master);
        cluster.kill_for(master, replica);
        assert_eq!(told(&cluster.nodes()[replica], &["GET", "k"]), "v");
        cluster.nodes()[master].restart();
        cluster.until_whole();
        assert_eq!(cluster.owner(slot), replica, "what comes back follows who took its place");
        assert!(!cluster.is_master(master));
    }
}
