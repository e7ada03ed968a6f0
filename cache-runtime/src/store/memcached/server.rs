//! A Memcached server of a test's own, which ends with it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A real `memcached` on a free port of this machine.
///
/// It is stopped when this is dropped. Every method blocks.
///
/// # Panics
///
/// Every method panics when the server cannot be run. A test that cannot run has not passed.
#[derive(Debug)]
pub struct Memcached {
    port: u16,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Memcached {
    /// Starts a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["-m", "2", "-M"]`.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { port: 0, arguments, child: Mutex::new(None) };
        for _ in 0..ATTEMPTS {
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        panic!("memcached does not start");
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its address, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        Self::url_of(std::slice::from_ref(self))
    }

    /// The address of all of `servers`, as a cache takes it.
    #[must_use]
    pub fn url_of(servers: &[Self]) -> String {
        let addresses: Vec<String> = servers.iter().map(Self::address).collect();
        format!("memcached://{}", addresses.join(","))
    }

    /// Ends it without a word, as a crash does. All it held is lost.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, at the same address and empty.
    pub fn restart(&self) {
        self.kill();
        let started = (0..ATTEMPTS).any(|_| self.run());
        assert!(started, "memcached does not start again on port {}", self.port);
    }

    /// Stops it without closing anything: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    /// Lets a stopped one go on.
    pub fn cont(&self) {
        self.signal("-CONT");
    }

    /// Forgets everything at once.
    pub fn flush(&self) {
        assert_eq!(self.command("flush_all").as_deref(), Ok("OK"));
    }

    /// Sends one command that is one line, and returns the first line of the answer.
    ///
    /// # Errors
    ///
    /// Why there was no answer.
    pub fn command(&self, line: &str) -> Result<String, String> {
        self.ask(line).map_err(|error| error.to_string())
    }

    fn ask(&self, line: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if answer.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer.trim_end().to_owned()) }
    }

    fn run(&self) -> bool {
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-p", &self.port.to_string(), "-U", "0"]).args(&self.arguments);
        // It refuses to run as root, unless it is told whom to be.
        command.args(["-u", "nobody"]);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match spawned {
            Ok(child) => *self.child() = Some(child),
            Err(error) => {
                panic!("cannot run memcached ({error}); install it, for example with `apt-get install memcached`")
            }
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.ask("version").is_ok_and(|answer| answer.starts_with("VERSION")) {
                return true;
            }
            let ended = self.child().as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        false
    }

    fn signal(&self, signal: &str) {
        let id = self.child().as_ref().expect("a server that runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to memcached");
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a free port").port()
}

/// Somebody else may take the port first.
const ATTEMPTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(5);
