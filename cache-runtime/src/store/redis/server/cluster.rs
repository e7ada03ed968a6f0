//! A Cluster of three masters with a replica each.

use std::fmt::Write;
use std::time::Duration;

use super::Kind;
use super::Server;
use super::field;
use super::until;
use super::within;

/// Three masters with a third of the slots each, and a replica of each, which take a node for dead that was silent for a second and a half. At first the nodes 0, 1 and 2 are the masters, and 3, 4 and 5 their replicas.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
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
        let arguments: Vec<&str> = ARGUMENTS.iter().chain(arguments).copied().collect();
        let nodes: Vec<Server> = (0..6).map(|_| Server::prepared(Kind::Node, &arguments).started()).collect();
        let ids = nodes.iter().map(|node| told(node, &["CLUSTER", "MYID"])).collect();
        let cluster = Self { nodes, ids };
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
        let words: Vec<&str> = ["CLUSTER", "FAILOVER", how].into_iter().filter(|word| !word.is_empty()).collect();
        // The others vote about one master once in two time-outs, and the order is forgotten after five seconds.
        for _ in 0..5 {
            told(&self.nodes[replica], &words);
            if within(Duration::from_secs(6), || self.is_master(replica)) {
                return;
            }
        }
        panic!("node {replica} does not become a master by CLUSTER FAILOVER {how}");
    }

    /// Waits until a node is a master, by what it says itself.
    ///
    /// # Panics
    ///
    /// When it does not become one.
    pub fn until_master(&self, node: usize) {
        until(&format!("node {node} is a master"), || self.is_master(node));
    }

    fn is_master(&self, node: usize) -> bool {
        let info = self.nodes[node].command(&["INFO", "replication"]).unwrap_or_default();
        field(&info, "role") == Some("master")
    }

    /// Waits until all nodes run, serve every slot, and every replica has what its master has.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub fn until_whole(&self) {
        until("the Cluster is whole", || self.nodes.iter().all(is_whole) && self.masters() == MASTERS);
    }

    fn masters(&self) -> usize {
        (0..self.nodes.len()).filter(|&node| self.is_master(node)).count()
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

/// Whether a line of `CLUSTER NODES` lists the slot among those that the node serves.
fn serves(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|slots| {
        let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}

const SLOTS: usize = 16_384;
const MASTERS: usize = 3;
/// One part that is down leaves the others as they are, and replicas stay with their masters.
const ARGUMENTS: [&str; 6] =
    ["--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no", "--cluster-migration-barrier", "99"];

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
        cluster.nodes()[master].kill();
        cluster.until_master(replica);
        assert_eq!(told(&cluster.nodes()[replica], &["GET", "k"]), "v");
        cluster.nodes()[master].restart();
        cluster.until_whole();
        // The old master that comes back may take its place again, by the rules for two that claim one epoch.
        assert!([master, replica].contains(&cluster.owner(slot)));
    }
}
