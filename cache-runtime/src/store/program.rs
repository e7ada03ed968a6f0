//! A server program of a test's own, which ends with it.

use std::net::TcpListener;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::core::lock;

/// A program that is run, killed and run again.
///
/// # Panics
///
/// Every method panics when the program cannot be run or be told something. A test that cannot run has not passed.
#[derive(Debug)]
pub(crate) struct Program {
    /// What Debian calls it.
    package: &'static str,
    child: Mutex<Option<Child>>,
}

impl Program {
    /// One that does not run yet.
    pub(crate) fn new(package: &'static str) -> Self {
        Self { package, child: Mutex::default() }
    }

    /// Runs `command` and waits until it answers. Says whether it does: it may have ended by itself, perhaps because somebody else has its port.
    pub(crate) fn run(&self, command: &mut Command, answers: impl Fn() -> bool) -> bool {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = spawned.unwrap_or_else(|error| {
            let (program, package) = (command.get_program().display(), self.package);
            panic!("cannot run {program} ({error}); install it, for example with `apt-get install {package}`")
        });
        *lock(&self.child) = Some(child);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if answers() {
                return true;
            }
            if lock(&self.child).as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        false
    }

    /// Ends it without a word, as a crash does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without closing anything: connections stay, and nothing is answered.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    /// Lets a stopped one go on.
    pub(crate) fn cont(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = lock(&self.child).as_ref().expect("a server that runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {}", self.package);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a free port").port()
}

/// How often a program is run: somebody else may take the port first.
pub(crate) const ATTEMPTS: usize = 5;
/// How long an answer of a server that runs may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
