//! The servers of a run, and where its workers find them.

use std::sync::Arc;

use cache_runtime::sim::Certificates;
use cache_runtime::sim::Cluster;
use cache_runtime::sim::Memcached;
use cache_runtime::sim::SentinelSet;
use cache_runtime::sim::Server;
use tokio::runtime::Runtime;

use crate::proxy::Proxy;
use crate::run::Scenario;
use crate::run::Store;

/// Those that were started, and what their connections are encrypted with, if they are.
pub(crate) struct Servers {
    pub(crate) started: Started,
    certificates: Option<Arc<Certificates>>,
}

pub(crate) enum Started {
    None,
    Redis(Server),
    Sentinels(SentinelSet),
    Cluster(Cluster),
    Memcached(Vec<Memcached>),
}

const WORKERS: usize = 3;

impl Servers {
    pub(crate) fn start(store: Store) -> Self {
        let certificates = store.encrypts().then(|| Arc::new(Certificates::new()));
        let memcached = || match &certificates {
            Some(certificates) => Memcached::start_encrypting(certificates, &SMALL),
            None => Memcached::start_with(&SMALL),
        };
        let started = match store {
            Store::InProcess => Started::None,
            Store::Redis | Store::Rediss => Started::Redis(match &certificates {
                Some(certificates) => Server::start_encrypting(certificates, &users()),
                None => Server::start(),
            }),
            Store::Sentinels => Started::Sentinels(SentinelSet::start()),
            Store::Cluster => Started::Cluster(Cluster::start()),
            Store::Memcached(count) | Store::Memcacheds(count) => {
                Started::Memcached((0..count).map(|_| memcached()).collect())
            }
        };
        Self { started, certificates }
    }

    /// Proxies on the ways that go wrong: one before each worker, or before each server.
    pub(crate) fn ways(&self, scenario: Scenario, runtime: &Runtime) -> Vec<Proxy> {
        let before = |url: String| runtime.block_on(Proxy::before(&url));
        match &self.started {
            Started::Redis(server) if scenario.networks => (0..WORKERS).map(|_| before(server.url())).collect(),
            Started::Memcached(servers) => servers.iter().map(|server| before(server.url())).collect(),
            _ => Vec::new(),
        }
    }

    /// Where the store is for each worker.
    pub(crate) fn urls(&self, scenario: Scenario, ways: &[Proxy]) -> Vec<String> {
        let urls = match &self.started {
            Started::None => vec!["memory:".to_owned()],
            Started::Redis(_) if scenario.networks => ways.iter().map(Proxy::url).collect(),
            Started::Redis(server) => vec![server.url(); WORKERS],
            Started::Sentinels(set) => vec![set.url(); WORKERS],
            Started::Cluster(cluster) => vec![cluster.url(); WORKERS],
            Started::Memcached(_) => vec![Proxy::memcached_url(ways); WORKERS],
        };
        let mut parameters = Vec::new();
        parameters.extend(scenario.warm.then(|| "failover=warm".to_owned()));
        parameters.extend(self.certificates.as_ref().map(|certificates| certificates.of_client()));
        let parameters = parameters.join("&");
        let encrypted = |url: String| {
            let url = url.replacen("redis://", "rediss://shop:password@", 1);
            url.replacen("memcached://", "memcacheds://", 1)
        };
        let whole = |url| match self.certificates {
            Some(_) => format!("{}?{parameters}", encrypted(url)),
            None if parameters.is_empty() => url,
            None => format!("{url}?{parameters}"),
        };
        urls.into_iter().map(whole).collect()
    }

    /// Panics if a Redis has refused what its user is not allowed to do.
    pub(crate) fn have_refused_nobody(&self) {
        if let Started::Redis(server) = &self.started {
            let refused = server.command(&["ACL", "LOG"]);
            assert_eq!(refused.as_deref(), Ok(""), "something was asked for that is not allowed");
        }
    }
}

/// Who a Redis that encrypts lets in: one with the rights that `docs/stores.md` says are needed; and the hand that harms it, with all but those that no cache can do without, so that a worker that did
/// not log in would store nothing. Both are known again after a restart.
fn users() -> Vec<&'static str> {
    let documented = include_str!("../../../docs/stores.md").lines();
    let mut documented = documented.filter_map(|line| line.strip_prefix("ACL SETUSER shop on >password ~shop:* "));
    let rights = documented.next().expect("the rights of a user").split(' ');
    let hand = ["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-mget", "-evalsha"];
    hand.into_iter().chain(["--user", "shop", "on", ">password", "~cache:*"]).chain(rights).collect()
}

/// So little memory that a Memcached can be filled.
const SMALL: [&str; 2] = ["-m", "2"];
