//! A server that speaks to nobody in the clear, with an authority of its own.

use std::sync::Arc;

use super::Kind;
use super::Server;
use crate::store::certificates::Certificates;

/// A server whose connections are encrypted, and which asks each client for a certificate of the same authority.
#[derive(Debug)]
pub struct TlsServer {
    server: Server,
    certificates: Arc<Certificates>,
}

impl TlsServer {
    /// Makes an authority, a certificate for `127.0.0.1` and one for a client, and starts a server that asks for it.
    ///
    /// # Panics
    ///
    /// When the server cannot be run.
    #[must_use]
    pub fn start() -> Self {
        let certificates = Arc::new(Certificates::new());
        let server = Server::prepared(Kind::Plain, &[]).encrypting(&certificates).started();
        Self { server, certificates }
    }

    /// The server, which is told things beside its encrypted port.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its address with its authority and with a certificate to show, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}?{}", self.url_of_a_stranger(), self.certificates.of_client())
    }

    /// Its address with its authority, and nothing to show.
    #[must_use]
    pub fn url_of_nobody(&self) -> String {
        format!("{}?{}", self.url_of_a_stranger(), self.certificates.of_nobody())
    }

    /// Its address, for one who does not know its authority.
    #[must_use]
    pub fn url_of_a_stranger(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port())
    }
}

impl Server {
    /// The same with encrypted connections, also to other servers.
    pub(super) fn encrypting(mut self, certificates: &Arc<Certificates>) -> Self {
        let files =
            [("--tls-cert-file", "server.pem"), ("--tls-key-file", "server.key"), ("--tls-ca-cert-file", "ca.pem")];
        let files = files.into_iter().flat_map(|(option, name)| [option.to_owned(), certificates.file(name)]);
        self.arguments.extend(files);
        self.arguments.extend(["--tls-auth-clients", "yes", "--tls-replication", "yes"].map(str::to_owned));
        if self.kind == Kind::Node {
            self.arguments.extend(["--tls-cluster", "yes"].map(str::to_owned));
        }
        self.certificates = Some(Arc::clone(certificates));
        self
    }
}
