//! A server that speaks to nobody in the clear, with an authority of its own.

use std::fs;
use std::path::Path;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;

use super::Kind;
use super::Server;

/// A server whose connections are encrypted, and which asks each client for a certificate of the same authority.
#[derive(Debug)]
pub struct TlsServer {
    server: Server,
}

impl TlsServer {
    /// Makes an authority, a certificate for `127.0.0.1` and one for a client, and starts a server that asks for it.
    ///
    /// # Panics
    ///
    /// When the server cannot be run.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::prepared(Kind::Encrypted, &ARGUMENTS);
        write_certificates(&server.directory);
        Self { server: server.started() }
    }

    /// The server, which is told things beside its encrypted port.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its address with its authority and with a certificate to show, as a cache takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}&cert={}&key={}", self.url_of_nobody(), self.file("client.pem"), self.file("client.key"))
    }

    /// Its address with its authority, and nothing to show.
    #[must_use]
    pub fn url_of_nobody(&self) -> String {
        format!("{}?ca={}", self.url_of_a_stranger(), self.file("ca.pem"))
    }

    /// Its address, for one who does not know its authority.
    #[must_use]
    pub fn url_of_a_stranger(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port())
    }

    fn file(&self, name: &str) -> String {
        self.server.directory.join(name).display().to_string()
    }
}

fn write_certificates(directory: &Path) {
    let mut params = named("authority.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("a file of a server");
    write("ca.pem", &authority.pem());
    for (name, host, usage) in [
        ("server", "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth),
        ("client", "client.test", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = named(host);
        params.extended_key_usages = vec![usage];
        let key = key();
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        write(&format!("{name}.pem"), &certificate.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
}

/// By default all are called alike, which looks as if each had signed itself.
fn named(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, host);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

const ARGUMENTS: [&str; 8] = [
    "--tls-cert-file",
    "server.pem",
    "--tls-key-file",
    "server.key",
    "--tls-ca-cert-file",
    "ca.pem",
    "--tls-auth-clients",
    "yes",
];
