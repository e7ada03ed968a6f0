//! Where Redis is, as whom to speak to it, and how long it may take.

mod url;

use std::fmt;
use std::time::Duration;

use redis::ConnectionAddr;
use redis::RedisConnectionInfo;

pub(crate) use self::url::settings;
use crate::codec::Codec;
use crate::store::tls::TlsFiles;

/// What a [`Redis`](super::Redis) is made of. Its `Debug` shows no credentials.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) topology: Topology,
    /// User, password and database.
    pub(super) login: RedisConnectionInfo,
    /// Where the connection is encrypted, whom to trust and what to show.
    pub(super) tls: Option<TlsFiles>,
    /// What the server calls our connections.
    pub(super) client_name: Option<String>,
    pub(super) failover: Failover,
    pub(super) namespace: String,
    /// In which form the URL says that values are written.
    pub(crate) codec: Codec,
    pub(super) op_timeout: Duration,
    pub(super) connect_timeout: Duration,
}

/// How the servers are arranged.
#[derive(Clone)]
pub(super) enum Topology {
    Server(ConnectionAddr),
    /// A master by the name that its sentinels have for it.
    Sentinel(Sentinels),
    /// Some nodes of a Cluster, which know the others.
    Cluster(Vec<ConnectionAddr>),
}

/// Who knows where a master is.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) addresses: Vec<ConnectionAddr>,
    pub(super) master: String,
    /// User and password of the sentinels themselves.
    pub(super) login: RedisConnectionInfo,
}

/// What counts of a server's contents after another has taken its place, or it has come back with old ones.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum Failover {
    /// Nothing.
    #[default]
    Cold,
    /// Everything.
    Warm,
}

impl Settings {
    /// What every name in the store begins with. Defaults to the URL's `namespace`, or `cache`.
    #[must_use]
    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// As whom to speak to the servers. Defaults to what the URL says.
    #[must_use]
    pub(crate) fn credentials(mut self, user: &str, password: &str) -> Self {
        let nobody = RedisConnectionInfo::default().set_db(self.login.db()).set_skip_set_lib_name();
        let login = if user.is_empty() { nobody } else { nobody.set_username(user) };
        self.login = login.set_password(password);
        self
    }

    /// Whether several servers have a part each.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Without credentials.
    pub(crate) fn address(&self) -> String {
        self.topology.to_string()
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

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |f: &mut fmt::Formatter<'_>, addresses: &[ConnectionAddr]| {
            for (at, address) in addresses.iter().enumerate() {
                write!(f, "{}{address}", if at == 0 { "" } else { "," })?;
            }
            Ok(())
        };
        match self {
            Self::Server(address) => address.fmt(f),
            Self::Sentinel(sentinels) => {
                all(f, &sentinels.addresses)?;
                write!(f, "/{}", sentinels.master)
            }
            Self::Cluster(seeds) => all(f, seeds),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &format_args!("{}", self.topology))
            .field("tls", &self.tls.is_some())
            .field("client_name", &self.client_name)
            .field("failover", &self.failover)
            .field("namespace", &self.namespace)
            .field("codec", &self.codec)
            .field("op_timeout", &self.op_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
