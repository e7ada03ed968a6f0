//! Servers of one's own, which end with the program.

use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

/// A `redis-server` on a free port of this machine, without persistence. Stopped when this is dropped.
#[derive(Debug)]
pub struct Server {
    program: Program,
    _directory: TempDir,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it cannot be run: there is nothing to measure then.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the server");
        let program = Program::start(|port| redis(port, directory.path()));
        Self { program, _directory: directory }
    }

    /// Its address, as a cache takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.program.port)
    }

    /// Lets it answer nobody any more, with its connections as they are.
    ///
    /// # Panics
    ///
    /// When no signal can be sent.
    pub fn silence(&self) {
        let silenced = Command::new("kill").args(["-STOP", &self.program.child.id().to_string()]).status();
        assert!(silenced.is_ok_and(|status| status.success()), "the server could not be stopped");
    }
}

fn redis(port: u16, directory: &Path) -> Command {
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    redis.current_dir(directory);
    redis
}

/// A `memcached` on a free port of this machine. Stopped when this is dropped.
#[derive(Debug)]
pub struct Memcached(Program);

impl Memcached {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it cannot be run: there is nothing to measure then.
    pub fn start() -> Self {
        Self(Program::start(|port| {
            let mut memcached = Command::new("memcached");
            memcached.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-u", "nobody"]);
            memcached
        }))
    }

    /// Its address, as a cache takes it.
    pub fn url(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

/// Three Redis masters with a replica each, as `scripts/servers` starts them. Stopped when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    first: u16,
    directory: TempDir,
}

impl Cluster {
    /// Starts the servers and waits until they answer.
    ///
    /// # Panics
    ///
    /// When they cannot be run: there is nothing to measure then.
    pub fn start() -> Self {
        // Their second ports are ten thousand above.
        let first = 20_000 + 6 * fastrand::u16(..5_000);
        let cluster = Self { first, directory: tempfile::tempdir().expect("a directory for the servers") };
        assert!(cluster.script("start"), "the servers of a Cluster do not start");
        cluster
    }

    /// Their addresses.
    pub fn addresses(&self) -> Vec<String> {
        (0..3).map(|node| format!("127.0.0.1:{}", self.first + node)).collect()
    }

    fn script(&self, order: &str) -> bool {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers");
        let mut command = Command::new(script);
        command.args(["cluster", order]).env("TMPDIR", self.directory.path()).env("FIRST_PORT", self.first.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// A program that listens on a port, until this is dropped.
#[derive(Debug)]
struct Program {
    port: u16,
    child: Child,
}

impl Program {
    fn start(command: impl FnOnce(u16) -> Command) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = command(port);
        let name = command.get_program().display().to_string();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let program = Self { port, child: child.unwrap_or_else(|_| panic!("{name} has to be installed")) };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "{name} does not answer on port {port}");
            thread::sleep(Duration::from_millis(5));
        }
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
