//! A server that speaks to nobody in the clear.

use std::sync::Arc;

use super::Kind;
use super::Server;
use crate::store::certificates::Certificates;

impl Server {
    /// Starts a server whose connections are encrypted but for its socket, with further arguments. It asks each client for a certificate of the same authority.
    #[must_use]
    pub fn start_encrypting(certificates: &Arc<Certificates>, arguments: &[&str]) -> Self {
        Self::prepared(Kind::Plain, arguments).encrypting(certificates).started()
    }

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
