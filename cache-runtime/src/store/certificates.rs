//! Certificates for servers of a test's own, and for whoever connects to them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;

/// An authority of its own with a certificate for `127.0.0.1` and one for a client, in files that end with this.
#[derive(Debug)]
pub struct Certificates(PathBuf);

impl Certificates {
    /// Makes all of them, and writes them down.
    ///
    /// # Panics
    ///
    /// When that is not possible.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    #[must_use]
    pub fn new() -> Self {
        let name = format!("certificates-{}-{:x}", std::process::id(), rand::random::<u64>());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory for certificates");
        write_certificates(&directory);
        Self(directory)
    }

    /// The path of `ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The parameters of a URL for who trusts the authority, and has nothing to show.
    #[must_use]
    pub fn of_nobody(&self) -> String {
        format!("ca={}", self.file("ca.pem"))
    }

    /// The parameters of a URL for who trusts the authority, and shows a certificate.
    #[must_use]
    pub fn of_client(&self) -> String {
        format!("{}&cert={}&key={}", self.of_nobody(), self.file("client.pem"), self.file("client.key"))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_certificates(directory: &Path) {
    let mut params = named("authority.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("a file of a server");
    write("ca.pem", &authority.pem());
    for (name, host, usages) in [
        // To each other servers are clients.
        ("server", "127.0.0.1", vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]),
        ("client", "client.test", vec![ExtendedKeyUsagePurpose::ClientAuth]),
    ] {
        let mut params = named(host);
        params.extended_key_usages = usages;
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
