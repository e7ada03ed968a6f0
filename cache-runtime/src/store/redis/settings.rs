//! Where Redis is, and how long it may take.

use std::fmt;
use std::time::Duration;

use redis::ConnectionInfo;
use redis::IntoConnectionInfo;
use redis::io::tcp::TcpSettings;

use crate::codec::Codec;

/// What a [`Redis`](super::Redis) is made of. Its `Debug` shows no credentials.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) info: ConnectionInfo,
    pub(super) namespace: String,
    /// In which form the URL says that values are written.
    pub(crate) codec: Codec,
    pub(super) op_timeout: Duration,
    pub(super) connect_timeout: Duration,
}

/// Reads the settings that a URL holds.
///
/// `redis://[user:password@]host[:port][/db]` or `redis+unix:///path[?db=1&user=..&pass=..]`, and `namespace=` and `codec=` among the parameters.
///
/// # Errors
///
/// A sentence that says what is wrong and repeats no credentials.
pub(crate) fn settings(url: &str) -> Result<Settings, String> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "redis" | "redis+unix" => {}
        "rediss" => return Err("TLS (`rediss://`) comes later; use `redis://`".into()),
        "redis+sentinel" | "redis+cluster" => {
            return Err(format!("`{scheme}://` comes later; name one server as `redis://host:port`"));
        }
        "memcached" => return Err("`memcached://` comes later; use `redis://` or `memory:`".into()),
        _ => return Err("not the address of a Redis; write one like `redis://127.0.0.1:6379`".into()),
    }
    let parsed = redis::parse_redis_url(url).ok_or("not a URL; write one like `redis://127.0.0.1:6379`")?;
    let known: &[&str] =
        if scheme == "redis" { &["namespace", "codec"] } else { &["namespace", "codec", "db", "user", "pass"] };
    let (mut namespace, mut codec) = (None, Codec::default());
    for (name, value) in parsed.query_pairs() {
        if !known.contains(&&*name) {
            return Err(format!("unknown parameter `{name}`; expected one of `{}`", known.join("`, `")));
        }
        match &*name {
            "namespace" => namespace = Some(value.into_owned()),
            "codec" => codec = Codec::named(&value)?,
            _ => {}
        }
    }
    let info = parsed.into_connection_info().map_err(|error| error.to_string())?;
    Ok(Settings {
        info: info.set_tcp_settings(TcpSettings::default().set_nodelay(true)),
        namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
        codec,
        op_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(1),
    })
}

impl Settings {
    /// What every name in the store begins with. Defaults to the URL's `namespace`, or `cache`.
    #[must_use]
    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Without credentials.
    pub(crate) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    pub(crate) fn namespace_text(&self) -> &str {
        &self.namespace
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

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &format_args!("{}", self.info.addr()))
            .field("namespace", &self.namespace)
            .field("codec", &self.codec)
            .field("op_timeout", &self.op_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

const DEFAULT_NAMESPACE: &str = "cache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_as_whom() {
        let settings = settings("redis://ann:s%20cret@db.example:7000/3?namespace=shop:prod").unwrap();
        assert_eq!(settings.info.addr().to_string(), "db.example:7000");
        let redis = settings.info.redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("ann"), Some("s cret"), 3));
        assert_eq!((&*settings.namespace, settings.codec), ("shop:prod", Codec::Json));
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn a_url_says_in_which_form() {
        for url in ["redis://host?namespace=shop&codec=msgpack", "redis+unix:///run/redis.sock?codec=msgpack"] {
            assert_eq!(settings(url).unwrap().codec, Codec::MessagePack);
        }
        assert_eq!(settings("redis://host?codec=json").unwrap().codec, Codec::Json);
    }

    #[test]
    fn a_socket_is_an_address_too() {
        let settings = settings("redis+unix:///run/redis.sock?db=1").unwrap();
        assert_eq!(settings.info.addr().to_string(), "/run/redis.sock");
        assert_eq!((settings.info.redis_settings().db(), &*settings.namespace), (1, "cache"));
    }

    #[test]
    fn what_is_wrong_is_said_without_credentials() {
        let wrong = [
            ("rediss://ann:hunter2@host", "TLS"),
            ("redis+sentinel://ann:hunter2@a,b/name", "comes later"),
            ("redis+cluster://ann:hunter2@a,b", "comes later"),
            ("memcached://a", "comes later"),
            ("http://ann:hunter2@host", "not the address"),
            ("hunter2", "not the address"),
            ("redis://ann:hunter2@host/one", "database"),
            ("redis://ann:hunter2@host:99999", "not a URL"),
            ("redis://ann:hunter2@host?ttl=1", "unknown parameter `ttl`"),
            ("redis://ann:hunter2@host?codec=yaml", "`json` or `msgpack`"),
            #[cfg(not(feature = "msgpack"))]
            ("redis://ann:hunter2@host?codec=msgpack", "feature `msgpack`"),
            ("redis://ann:hunter2@host?db=1", "unknown parameter `db`"),
        ];
        for (url, expected) in wrong {
            let error = settings(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        for url in ["redis://ann:hunter2@host", "redis+unix:///run/redis.sock?user=ann&pass=hunter2"] {
            let shown = format!("{:?}", settings(url).unwrap());
            assert!(!shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
