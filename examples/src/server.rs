//! A Redis of one's own, for programs that need a store which outlives a process.

use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::report::Failure;

/// A `redis-server` that listens at a socket in a directory of its own, and keeps nothing. Stopped when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    /// Starts one, and waits until it listens.
    ///
    /// # Errors
    ///
    /// A sentence, when it cannot be run.
    pub async fn start() -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("cache-examples-redis-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("cannot run redis-server ({error}); install it, or say where one is in CACHE_URL")
            })?;
        let server = Self { process, directory };
        let began = Instant::now();
        while !server.socket().exists() {
            if began.elapsed() > PATIENCE {
                return Err("redis-server does not listen".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(server)
    }

    /// Its address, as a cache takes it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and what cannot be removed is in the directory for temporary files.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
