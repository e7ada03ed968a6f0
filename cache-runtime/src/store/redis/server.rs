//! Redis servers of a test's own, which end with it: one, which may encrypt, a master with replicas and sentinels, and a Cluster.
//!
//! A server that cannot be run is a panic which says what to install, and so is a wait that has lasted too long, which says what it waited for.

mod cluster;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use redis::Value;

pub use self::cluster::Cluster;
pub use self::sentinel::SentinelSet;
use super::incarnation::field;
#[cfg(feature = "tls")]
use crate::store::certificates::Certificates;
use crate::store::program;
use crate::store::program::ATTEMPTS;
use crate::store::program::PATIENCE;
use crate::store::program::Program;

/// A real `redis-server` on a free port of this machine and on a socket, without persistence, in a directory of its own.
///
/// It is stopped when this is dropped. Every method blocks.
///
/// # Panics
///
/// Every method panics when the server cannot be run. A test that cannot run has not passed.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    program: Program,
    /// What its connections are encrypted with.
    #[cfg(feature = "tls")]
    certificates: Option<Arc<Certificates>>,
}

/// What a server is run as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Plain,
    /// With a [`CONFIGURATION`] in its directory, into which sentinels have it write what has become of it.
    Replicated,
    /// The same, for what it knows itself.
    Sentinel,
    Node,
}

impl Server {
    /// Starts a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["--maxmemory", "2mb"]`.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::prepared(Kind::Plain, arguments).started()
    }

    /// One that has a directory and does not run yet.
    fn prepared(kind: Kind, arguments: &[&str]) -> Self {
        let name = format!("redis-{}-{:x}", std::process::id(), rand::random::<u64>());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory for a server");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self {
            kind,
            port: 0,
            directory,
            arguments,
            program: Program::new("redis-server"),
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }

    fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.certificates.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    fn started(mut self) -> Self {
        for _ in 0..ATTEMPTS {
            self.port = free_port(self.kind);
            if self.run() {
                return self;
            }
        }
        panic!("redis-server does not start; see {}", self.directory.display());
    }

    /// Its address, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its address for `user`, who was [let in](Self::let_in).
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Lets `user` do what `rules` allow, as `ACL SETUSER` takes them, until the server ends.
    pub fn let_in(&self, user: &str, password: &str, rules: &str) {
        let password = format!(">{password}");
        let words = ["ACL", "SETUSER", user, "reset", "resetchannels", "on", &password];
        let words: Vec<&str> = words.into_iter().chain(rules.split(' ')).collect();
        self.command(&words).expect("rules for a user");
    }

    /// Where it listens on this machine.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of its socket, as a cache takes it.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.directory.join("redis.sock").display())
    }

    /// Ends it without a word, as a crash does. All it held is lost.
    pub fn kill(&self) {
        self.program.kill();
    }

    /// Starts it again, at the same address and empty.
    pub fn restart(&self) {
        self.kill();
        // There is none if nobody saved.
        let _ = fs::remove_file(self.directory.join(DUMP));
        self.run_again();
    }

    /// What it holds now, to [come back with](Self::restart_from).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.command(&["SAVE"]).expect("a snapshot");
        Snapshot(fs::read(self.directory.join(DUMP)).expect("a snapshot"))
    }

    /// Ends it as a crash does, and starts it again, at the same address and with what it held when `snapshot` was taken.
    pub fn restart_from(&self, snapshot: &Snapshot) {
        self.kill();
        fs::write(self.directory.join(DUMP), &snapshot.0).expect("a snapshot");
        self.run_again();
    }

    /// Has a replica lose `master`, and not find it again until it is [let back](Self::let_back): it hears of nothing that happens from now on.
    ///
    /// # Panics
    ///
    /// When it does not lose it.
    pub fn cut_off(&self, master: &Self) {
        // Whom nobody knows nobody takes for a replica.
        self.introduce("nobody");
        until("a replica has lost its master", || {
            // It may be between two attempts.
            let _ = master.command(&["CLIENT", "KILL", "TYPE", "replica"]);
            let info = self.command(&["INFO", "replication"]).unwrap_or_default();
            field(&info, "master_link_status") == Some("down")
        });
    }

    /// Lets a replica that was cut off find its master again.
    pub fn let_back(&self) {
        self.introduce("");
        // A sentinel may have had the other name written down. Who has no configuration refuses, and has nothing to forget.
        let _ = self.command(&["CONFIG", "REWRITE"]);
    }

    /// By which name a replica speaks to its master.
    fn introduce(&self, name: &str) {
        for setting in ["masteruser", "masterauth"] {
            self.command(&["CONFIG", "SET", setting, name]).expect("a name for a replica");
        }
    }

    /// Stops it without closing anything: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.program.stop();
    }

    /// Lets a stopped one go on.
    pub fn cont(&self) {
        self.program.cont();
    }

    /// Sends one command, and returns the reply as text: an array a line for each, nothing as nothing.
    ///
    /// # Errors
    ///
    /// What the server said, or why it did not.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        let ask = || {
            // Beside the port that encrypts.
            let url = if self.is_encrypted() { self.socket_url() } else { self.url() };
            let mut connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            let mut command = redis::Cmd::new();
            command.arg(words).query::<Value>(&mut connection)
        };
        let mut text = String::new();
        render(&ask().map_err(|error| error.to_string())?, &mut text);
        Ok(text)
    }

    /// How often `command` was called since the server started or `CONFIG RESETSTAT`.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.command(&["INFO", "commandstats"]).expect("statistics");
        let calls = |line: &str| {
            let line = line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(":calls=")?;
            line.split(',').next()?.parse().ok()
        };
        stats.lines().find_map(calls).unwrap_or(0)
    }

    fn run_again(&self) {
        let started = (0..ATTEMPTS).any(|_| self.run());
        assert!(started, "redis-server does not start again on port {}", self.port);
    }

    fn run(&self) -> bool {
        let port = self.port.to_string();
        let mut command = Command::new(binary());
        match self.kind {
            Kind::Plain => &mut command,
            Kind::Replicated => command.arg(CONFIGURATION),
            Kind::Sentinel => command.args([CONFIGURATION, "--sentinel"]),
            Kind::Node => command.args(["--cluster-enabled", "yes"]),
        };
        if self.is_encrypted() {
            command.args(["--port", "0", "--tls-port", &port]);
        } else {
            command.args(["--port", &port]);
        }
        command
            .args(["--bind", "127.0.0.1", "--unixsocket", "redis.sock"])
            .args(["--save", "", "--appendonly", "no", "--dir", "."])
            .args(&self.arguments)
            .current_dir(&self.directory);
        // NOAUTH is an answer too.
        let answers = || self.command(&["PING"]).map_or_else(|error| error.contains("NOAUTH"), |_| true);
        self.program.run(&mut command, answers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.program.kill();
        // What cannot be removed is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `redis-server`, or what `REDIS_SERVER` names in its place.
fn binary() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn free_port(kind: Kind) -> u16 {
    loop {
        let port = program::free_port();
        // The nodes of a Cluster speak to each other on another, ten thousand above.
        if kind != Kind::Node || port < 55_000 {
            return port;
        }
    }
}

/// Waits until `is_so`, and panics with `what` if that takes too long.
fn until(what: &str, is_so: impl Fn() -> bool) {
    assert!(within(LONG_PATIENCE, is_so), "waited {LONG_PATIENCE:?} in vain until {what}");
}

/// Waits until `is_so`, and says whether it came to be.
fn within(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

fn render(value: &Value, text: &mut String) {
    match value {
        Value::Nil => {}
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::BulkString(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(line) => text.push_str(line),
        Value::Okay => text.push_str("OK"),
        Value::Array(values) => {
            for value in values {
                render(value, text);
                text.push('\n');
            }
        }
        other => {
            // Writing to a string cannot fail.
            let _ = write!(text, "{other:?}");
        }
    }
}

/// What a server held at a moment.
#[derive(Clone)]
pub struct Snapshot(Vec<u8>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} bytes)", self.0.len())
    }
}

/// What is to be known again after a restart.
const CONFIGURATION: &str = "server.conf";
/// What a server reads when it starts.
const DUMP: &str = "dump.rdb";
/// For what several servers have to agree on.
const LONG_PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_back_empty_or_with_what_it_held() {
        let server = Server::start();
        let held = || server.command(&["GET", "k"]).unwrap();
        server.command(&["SET", "k", "old"]).unwrap();
        let snapshot = server.snapshot();
        server.command(&["SET", "k", "new"]).unwrap();
        server.restart_from(&snapshot);
        assert_eq!(held(), "old");
        server.restart();
        assert_eq!(held(), "");
    }
}
