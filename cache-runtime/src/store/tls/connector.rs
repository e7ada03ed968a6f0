//! Makes encrypted connections.
//!
//! Certificates are read when the cache is built, so that what is wrong with them is said then, and no connection waits for a file. Nothing is installed for the whole process: a provider of
//! cryptography that the application has installed is used, and one of our own otherwise.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::TlsFiles;

/// Whom to trust, and what to show.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Connector {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A sentence about a file that is not there or holds something else.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, String> {
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("this process cannot encrypt: {error}"))?
            .with_root_certificates(authorities(files.authorities.as_deref())?);
        let config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates("cert", certificate)?, private_key(key)?)
                .map_err(|error| format!("`cert` and `key` cannot be shown to a server: {error}"))?,
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// A connection to a server that is who it says it is. Whether it likes what it was shown it says only in the place of its first answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        self.0.connect(name, stream).await.map_err(in_words)
    }
}

/// What does not begin as an encrypted connection does is said to be of those that speak in the clear.
fn in_words(error: io::Error) -> io::Error {
    let said = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match said {
        Some(rustls::Error::InvalidMessage(_)) => io::Error::other("what answers there does not encrypt"),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::other("it closed the connection; what answers there may not encrypt")
        }
        _ => error,
    }
}

/// Those in the file, or those that the system trusts.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates("ca", file)? {
                store.add(certificate).map_err(|error| unusable("ca", file, &error))?;
            }
        }
        // Of the many that a system has, some may be unreadable.
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        return Err("this system trusts no authority; say whom to trust with `ca=/path.pem`".into());
    }
    Ok(store)
}

fn certificates(parameter: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(parameter, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(parameter, file, &error))?;
    if certificates.is_empty() {
        return Err(unusable(parameter, file, &"there is no certificate in it"));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    // What the error says may be a part of the key.
    PrivateKeyDer::from_pem_slice(&read("key", file)?)
        .map_err(|_| unusable("key", file, &"there is no private key in it"))
}

fn read(parameter: &str, file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| unusable(parameter, file, &error))
}

fn unusable(parameter: &str, file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("`{parameter}={}` cannot be used: {why}", file.display())
}
