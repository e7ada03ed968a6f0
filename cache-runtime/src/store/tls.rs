//! Encrypted connections, as a URL says them: whom to trust, and what to show.

#[cfg(feature = "tls")]
mod connector;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub(crate) use self::connector::Connector;

/// Files in PEM.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct TlsFiles {
    /// The authorities to trust in the place of those of the system.
    pub(crate) authorities: Option<PathBuf>,
    /// The certificate that this process shows, and the key to it.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// What the parameters of a URL have said so far.
#[derive(Default)]
pub(crate) struct Said {
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The parameters that mean something in the URL of a store that encrypts.
pub(crate) const PARAMETERS: [&str; 3] = ["ca", "cert", "key"];

impl Said {
    /// Takes a parameter that is one of [`PARAMETERS`].
    pub(crate) fn take(&mut self, name: &str, path: &str) {
        let place = match name {
            "ca" => &mut self.authorities,
            "cert" => &mut self.certificate,
            _ => &mut self.key,
        };
        *place = Some(path.into());
    }

    /// # Errors
    ///
    /// A sentence, if only a half of what belongs together was said.
    pub(crate) fn files(self) -> Result<TlsFiles, String> {
        let identity = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("a certificate to show has two files; give both `cert` and `key`".into()),
        };
        Ok(TlsFiles { authorities: self.authorities, identity })
    }
}

/// # Errors
///
/// A sentence, if this build cannot connect to `scheme`.
pub(crate) fn check_build(scheme: &str) -> Result<(), String> {
    if cfg!(feature = "tls") {
        return Ok(());
    }
    Err(format!("this build cannot encrypt; for `{scheme}://` turn on the feature `tls`"))
}
