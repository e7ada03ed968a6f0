//! Where the servers are, and how long they may take.

use std::time::Duration;

use crate::codec::Codec;
use crate::store::tls;
use crate::store::tls::TlsFiles;

/// What a [`Memcached`](super::Memcached) is made of.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `host:port` of each, as written but for the port, which may be left out.
    pub(crate) servers: Vec<String>,
    /// Where the connections are encrypted, whom to trust and what to show.
    pub(super) tls: Option<TlsFiles>,
    pub(super) namespace: String,
    /// In which form the URL says that values are written.
    pub(crate) codec: Codec,
    pub(super) op_timeout: Duration,
    pub(super) connect_timeout: Duration,
}

/// Reads the settings that a URL holds.
///
/// `memcached://host[:port][,host[:port]]...`, and `namespace=` and `codec=` as parameters. With `memcacheds` in its place the connections are encrypted, and the parameters of [`tls`] mean something too.
///
/// # Errors
///
/// A sentence that says what is wrong and repeats nothing that may be a password.
pub(crate) fn settings(url: &str) -> Result<Settings, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_encrypted = match scheme {
        "memcached" => false,
        "memcacheds" => tls::check_build(scheme).map(|()| true)?,
        _ => return Err("not the address of a Memcached; write one like `memcached://127.0.0.1:11211`".into()),
    };
    let (list, query) = rest.split_once('?').unwrap_or((rest, ""));
    if list.contains('@') {
        return Err("a Memcached is asked without a user and a password; write `memcached://host:port`".into());
    }
    let list = list.strip_suffix('/').unwrap_or(list);
    if list.contains('/') {
        return Err("a Memcached has no databases; write `memcached://host:port`".into());
    }
    let mut servers = Vec::new();
    for written in list.split(',') {
        let server = server(written)?;
        if servers.contains(&server) {
            return Err(format!("`{server}` is named twice"));
        }
        servers.push(server);
    }
    if servers.len() > MOST_SERVERS {
        return Err(format!("more than {MOST_SERVERS} servers"));
    }
    let (mut namespace, mut codec, mut files) = (None, Codec::default(), tls::Said::default());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("namespace", value)) => namespace = Some(value.to_owned()),
            Some(("codec", value)) => codec = Codec::named(value)?,
            Some((name, path)) if is_encrypted && tls::PARAMETERS.contains(&name) => files.take(name, path),
            other => {
                let name = other.map_or(parameter, |(name, _)| name);
                let more = if is_encrypted { ", `ca`, `cert`, `key`" } else { "" };
                return Err(format!("unknown parameter `{name}`; expected one of `namespace`, `codec`{more}"));
            }
        }
    }
    let files = files.files()?;
    Ok(Settings {
        servers,
        tls: is_encrypted.then_some(files),
        namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
        codec,
        op_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(1),
    })
}

/// `written` with its port.
fn server(written: &str) -> Result<String, String> {
    let odd = || "not a list of servers; write one like `memcached://h1:11211,h2:11211`".to_owned();
    let (host, port) = match written.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(odd)?)),
        None => written.split_once(':').map_or((written, None), |(host, port)| (host, Some(port))),
    };
    let is_bracketed = written.starts_with('[');
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) || is_bracketed && b":%".contains(&byte);
    if host.is_empty() || host.len() > LONGEST_HOST || !host.bytes().all(allowed) {
        return Err(odd());
    }
    let port: u16 = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(odd)?,
    };
    Ok(if is_bracketed { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

impl Settings {
    /// What every name in the store begins with. Defaults to the URL's `namespace`, or `cache`.
    #[must_use]
    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub(crate) fn namespace_text(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn address(&self) -> String {
        self.servers.join(",")
    }

    /// How long an operation may take, waiting included. Defaults to 100 ms.
    #[must_use]
    pub(crate) fn op_timeout(mut self, timeout: Duration) -> Self {
        self.op_timeout = timeout;
        self
    }

    /// How long an attempt to connect may take. Defaults to 1 s.
    #[must_use]
    pub(crate) fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }
}

const DEFAULT_NAMESPACE: &str = "cache";
const DEFAULT_PORT: u16 = 11211;
const MOST_SERVERS: usize = 1024;
/// As long as a name in the DNS can be.
const LONGEST_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_servers() {
        let settings = settings("memcached://h1,h2:7000,[::1],[fe80::1%eth0]:7?namespace=shop:prod").unwrap();
        assert_eq!(settings.servers, ["h1:11211", "h2:7000", "[::1]:11211", "[fe80::1%eth0]:7"]);
        assert_eq!((settings.namespace_text(), settings.codec), ("shop:prod", Codec::Json));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_s_encrypts() {
        assert!(settings("memcached://h1").unwrap().tls.is_none());
        assert_eq!(settings("memcacheds://h1").unwrap().tls, Some(TlsFiles::default()));
        let own = TlsFiles {
            authorities: Some("/etc/ca.pem".into()),
            identity: Some(("/etc/me.pem".into(), "/etc/me.key".into())),
        };
        let said = settings("memcacheds://h1,h2?ca=/etc/ca.pem&cert=/etc/me.pem&key=/etc/me.key").unwrap();
        assert_eq!((said.tls, said.servers.len()), (Some(own), 2));
    }

    #[test]
    fn what_is_wrong_is_said_without_credentials() {
        let wrong = [
            ("memcached://ann:hunter2@host", "without a user"),
            ("memcached://", "not a list"),
            ("memcached://a,,b", "not a list"),
            ("memcached://a:hunter2", "not a list"),
            ("memcached://a:0", "not a list"),
            ("memcached://a b", "not a list"),
            ("memcached://::1", "not a list"),
            ("memcached://[::1", "not a list"),
            ("memcached://a/1", "no databases"),
            ("memcached://a,a:11211", "named twice"),
            ("memcached://a?ttl=1", "unknown parameter `ttl`"),
            ("memcached://a?codec=yaml", "`json` or `msgpack`"),
            ("hunter2", "not the address"),
            ("memcached://a?ca=/f", "unknown parameter `ca`"),
            #[cfg(feature = "tls")]
            ("memcacheds://a?ttl=1", "expected one of `namespace`, `codec`, `ca`, `cert`, `key`"),
            #[cfg(feature = "tls")]
            ("memcacheds://a?cert=/f", "both `cert` and `key`"),
            #[cfg(not(feature = "tls"))]
            ("memcacheds://ann:hunter2@host", "feature `tls`"),
        ];
        for (url, expected) in wrong {
            let error = settings(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
