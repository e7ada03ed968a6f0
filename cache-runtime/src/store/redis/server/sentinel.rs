//! A master, two replicas and three sentinels that watch over them.

use std::collections::HashSet;
use std::fs;
#[cfg(all(test, feature = "tls"))]
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::CONFIGURATION;
use super::Kind;
use super::LONG_PATIENCE;
use super::Server;
use super::field;
use super::until;
use super::within;
#[cfg(all(test, feature = "tls"))]
use crate::store::certificates::Certificates;

/// One master and two replicas, with three sentinels of which two decide. They call the master [`NAME`](Self::NAME), and take one for dead that was silent for a second and a half.
#[derive(Debug)]
pub struct SentinelSet {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl SentinelSet {
    /// What the sentinels call their master.
    pub const NAME: &str = "main";

    /// Starts all of them, and waits until they know each other.
    ///
    /// # Panics
    ///
    /// When they cannot be run, or do not find each other.
    #[must_use]
    pub fn start() -> Self {
        Self::of(Server::started)
    }

    /// Starts all of them, with encrypted connections to everybody and to each other.
    #[cfg(all(test, feature = "tls"))]
    pub(crate) fn start_encrypting(certificates: &Arc<Certificates>) -> Self {
        Self::of(|server| server.encrypting(certificates).started())
    }

    fn of(started: impl Fn(Server) -> Server) -> Self {
        let master = started(configured(Kind::Replicated, ""));
        let port = master.port().to_string();
        let mut servers = vec![master];
        let replica = || started(configured(Kind::Replicated, &format!("replicaof 127.0.0.1 {port}\n")));
        servers.extend((0..2).map(|_| replica()));
        let sentinels = (0..3).map(|_| started(sentinel(&port))).collect();
        let set = Self { servers, sentinels };
        until("the replicas are connected", || set.follow(0) == 2);
        until("the sentinels know each other", || {
            set.sentinels.iter().all(|sentinel| {
                let info = sentinel.command(&["INFO", "sentinel"]).unwrap_or_default();
                info.contains("status=ok") && info.contains("slaves=2") && info.contains("sentinels=3")
            })
        });
        set
    }

    /// The address of the master, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+sentinel://{}/{}", hosts.join(","), Self::NAME)
    }

    /// The three servers, in no order of rank.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The three sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Which server the sentinels that run take for the master, once they agree and it knows it itself.
    ///
    /// # Panics
    ///
    /// When that does not come to be.
    #[must_use]
    pub fn master(&self) -> usize {
        self.agreed(None)
    }

    /// The same, once it is another than `before`.
    ///
    /// # Panics
    ///
    /// When that does not come to be.
    #[must_use]
    pub fn master_after(&self, before: usize) -> usize {
        self.agreed(Some(before))
    }

    /// Ends the master as a crash does, and says which one that was.
    #[must_use]
    pub fn kill_master(&self) -> usize {
        let master = self.master();
        self.servers[master].kill();
        master
    }

    /// Has the sentinels make another server the master, and returns it. The old one goes on for some seconds, and takes itself for the master.
    ///
    /// # Panics
    ///
    /// When they do not.
    #[must_use]
    pub fn failover(&self) -> usize {
        let before = self.master();
        // One that has just changed its mind refuses.
        until("a sentinel takes the order", || {
            self.sentinels.iter().any(|one| one.command(&["SENTINEL", "FAILOVER", Self::NAME]).is_ok())
        });
        self.master_after(before)
    }

    /// Waits until both others follow the master, and tells them to. The sentinels tell one that came back only when it has said twice that it takes itself for a master, and they ask it every ten seconds.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub fn until_whole(&self) {
        let is_whole = within(LONG_PATIENCE, || {
            let master = self.master();
            let port = self.servers[master].port().to_string();
            for server in self.servers.iter().filter(|server| server.port().to_string() != port) {
                let info = server.command(&["INFO", "replication"]).unwrap_or_default();
                if field(&info, "master_port") != Some(&port) {
                    // One that starts is told again.
                    let _ = server.command(&["REPLICAOF", "127.0.0.1", &port]);
                }
            }
            self.follow(master) == 2 && self.is_settled(&port)
        });
        let said = || self.servers.iter().map(|server| server.command(&["INFO", "replication"])).collect::<Vec<_>>();
        assert!(is_whole, "waited {LONG_PATIENCE:?} in vain until two replicas follow the master: {:#?}", said());
    }

    /// Whether all sentinels have done with the last change. If another master falls while one of them has not, that one may take the next change for what it knows already, and name the wrong
    /// server from then on.
    fn is_settled(&self, port: &str) -> bool {
        let mut epochs = HashSet::new();
        self.sentinels.iter().all(|sentinel| {
            let said = sentinel.command(&["SENTINEL", "MASTER", Self::NAME]).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let fact = |name: &str| lines.chunks_exact(2).find(|fact| fact[0] == name).map(|fact| fact[1].to_owned());
            epochs.insert(fact("config-epoch"));
            fact("port").as_deref() == Some(port)
                && fact("flags").is_some_and(|flags| !flags.contains("failover_in_progress"))
        }) && epochs.len() == 1
    }

    fn agreed(&self, not: Option<usize>) -> usize {
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            last = self.sentinels.iter().filter_map(|one| self.named_by(one)).collect();
            let is_one = last.iter().all(|one| *one == last[0]);
            let named = last.first().copied().flatten().filter(|_| is_one);
            if let Some(master) = named.filter(|&one| Some(one) != not && self.is_master(one)) {
                return master;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let masters: Vec<usize> = (0..self.servers.len()).filter(|&server| self.is_master(server)).collect();
        panic!("the sentinels name {last:?}, masters are {masters:?}, and wanted is one other than {not:?}");
    }

    /// Whom a sentinel takes for the master; nothing if it does not run.
    fn named_by(&self, sentinel: &Server) -> Option<Option<usize>> {
        let said = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]).ok()?;
        let port = said.lines().nth(1).and_then(|port| port.parse::<u16>().ok());
        Some(port.and_then(|port| self.servers.iter().position(|server| server.port() == port)))
    }

    fn is_master(&self, server: usize) -> bool {
        let info = self.servers[server].command(&["INFO", "replication"]).unwrap_or_default();
        field(&info, "role") == Some("master")
    }

    /// How many replicas a server has whose copies are whole.
    fn follow(&self, server: usize) -> usize {
        let info = self.servers[server].command(&["INFO", "replication"]).unwrap_or_default();
        info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online")).count()
    }
}

fn sentinel(port: &str) -> Server {
    let name = SentinelSet::NAME;
    let configuration = format!(
        "sentinel monitor {name} 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds {name} 1500\n\
         sentinel failover-timeout {name} 5000\n"
    );
    configured(Kind::Sentinel, &configuration)
}

/// One that knows after a restart what has become of it.
fn configured(kind: Kind, configuration: &str) -> Server {
    // Nobody who wants a copy waits for more who want one.
    let arguments: &[&str] = if kind == Kind::Replicated { &["--repl-diskless-sync-delay", "0"] } else { &[] };
    let server = Server::prepared(kind, arguments);
    fs::write(server.directory.join(CONFIGURATION), configuration).expect("a configuration for a server");
    server
}

/// As often as the sentinels are asked, every twenty milliseconds or more.
const ROUNDS: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_change_the_master_when_told_and_when_it_is_gone() {
        let set = SentinelSet::start();
        let first = set.master();
        assert_eq!(first, 0);
        let second = set.failover();
        assert_ne!(second, first);
        set.until_whole();
        assert_eq!(set.kill_master(), second);
        let third = set.master_after(second);
        assert_ne!(third, second);
        set.servers()[second].restart();
        set.until_whole();
    }
}
