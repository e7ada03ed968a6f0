//! A Memcached server of a test's own, which ends with it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use crate::store::certificates::Certificates;
use crate::store::program::ATTEMPTS;
use crate::store::program::PATIENCE;
use crate::store::program::Program;
use crate::store::program::free_port;

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
    /// Where it is told things by the test: another, where the first encrypts.
    own_port: u16,
    arguments: Vec<String>,
    program: Program,
    /// What its connections are encrypted with.
    #[cfg(feature = "tls")]
    certificates: Option<Arc<Certificates>>,
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
        Self::prepared(arguments).started()
    }

    /// Starts a server whose connections are encrypted, with further arguments. It asks each client for a certificate of the same authority.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn start_encrypting(certificates: &Arc<Certificates>, arguments: &[&str]) -> Self {
        let file = |option: &str, name: &str| format!("{option}={}", certificates.file(name));
        let options = [
            file("ssl_chain_cert", "server.pem"),
            file("ssl_key", "server.key"),
            file("ssl_ca_cert", "ca.pem"),
            "ssl_verify_mode=2".to_owned(),
        ];
        let options = options.join(",");
        let arguments: Vec<&str> = ["-Z", "-o", &options].iter().chain(arguments).copied().collect();
        let mut server = Self::prepared(&arguments);
        server.certificates = Some(Arc::clone(certificates));
        server.started()
    }

    fn prepared(arguments: &[&str]) -> Self {
        Self {
            port: 0,
            own_port: 0,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            program: Program::new("memcached"),
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }

    fn started(mut self) -> Self {
        for _ in 0..ATTEMPTS {
            self.port = free_port();
            self.own_port = if self.is_encrypted() { free_port() } else { self.port };
            if self.run() {
                return self;
            }
        }
        panic!("memcached does not start");
    }

    fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.certificates.is_some();
        #[cfg(not(feature = "tls"))]
        false
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
        self.program.kill();
    }

    /// Starts it again, at the same address and empty.
    pub fn restart(&self) {
        self.kill();
        let started = (0..ATTEMPTS).any(|_| self.run());
        assert!(started, "memcached does not start again on port {}", self.port);
    }

    /// Stops it without closing anything: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.program.stop();
    }

    /// Lets a stopped one go on.
    pub fn cont(&self) {
        self.program.cont();
    }

    /// Forgets everything at once.
    pub fn flush(&self) {
        assert_eq!(self.command("flush_all").as_deref(), Ok("OK"));
    }

    /// Stores so many small things for a second that one with two megabytes evicts what was not used lately.
    pub fn fill_up(&self) {
        let flood = |most: usize| {
            let stream = TcpStream::connect(("127.0.0.1", self.own_port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut stream = BufWriter::new(stream);
            for _ in 0..most {
                let size = rand::random_range(60..260);
                let name = rand::random::<u64>();
                stream.write_all(format!("set filling:{name} 0 1 {size} noreply\r\n{:size$}\r\n", "").as_bytes())?;
            }
            stream.write_all(b"mn\r\n")?;
            let stream = stream.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            BufReader::new(stream).read_line(&mut String::new())
        };
        // One that is in trouble already takes no more.
        let _ = flood(MOST_SMALL);
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
        let mut stream = TcpStream::connect(("127.0.0.1", self.own_port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if answer.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer.trim_end().to_owned()) }
    }

    fn run(&self) -> bool {
        let mut command = Command::new("memcached");
        command.args(["-l", &format!("127.0.0.1:{}", self.port), "-U", "0"]).args(&self.arguments);
        if self.is_encrypted() {
            command.args(["-l", &format!("notls:127.0.0.1:{}", self.own_port)]);
        }
        // It refuses to run as root, unless it is told whom to be.
        command.args(["-u", "nobody"]);
        self.program.run(&mut command, || self.ask("version").is_ok_and(|answer| answer.starts_with("VERSION")))
    }
}

/// More than two megabytes hold of what is small.
const MOST_SMALL: usize = 20_000;
