//! A Redis server of one's own, which ends with the program.

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
    port: u16,
    child: Child,
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
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port").port();
        let server = Self { port, child: run(port, directory.path()), _directory: directory };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "redis-server does not answer on port {port}");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Its address, as a cache takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Server {
    /// Lets it answer nobody any more, with its connections as they are.
    ///
    /// # Panics
    ///
    /// When no signal can be sent.
    pub fn silence(&self) {
        let silenced = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status();
        assert!(silenced.is_ok_and(|status| status.success()), "the server could not be stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(port: u16, directory: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, which has to be installed")
}

const PATIENCE: Duration = Duration::from_secs(5);
