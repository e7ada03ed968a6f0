//! Settings as a URL says them.
//!
//! What has several hosts is taken apart here, one host at a time is read as the URL of one server. No error repeats what may be a user, a password or a part of one: a `/`, `?` or `#` that was meant as
//! a part of a password puts the rest of it elsewhere.

use std::time::Duration;

use ::url::Url;
use redis::ConnectionAddr;
use redis::IntoConnectionInfo;
use redis::RedisConnectionInfo;

use super::Failover;
use super::Sentinels;
use super::Settings;
use super::Topology;
use crate::codec::Codec;
use crate::store::tls;
use crate::store::tls::TlsFiles;

/// Reads the settings that a URL holds.
///
/// | | |
/// |---|---|
/// | one server | `redis://[user:password@]host[:port][/db]` |
/// | one server on this machine | `redis+unix:///path[?db=1&user=..&pass=..]` |
/// | a master and its replicas | `redis+sentinel://[user:password@]host[:port],…/name[/db]` |
/// | a Cluster | `redis+cluster://[user:password@]host[:port],…` |
///
/// With `rediss` in the place of `redis` the connections are encrypted. The parameters are in [`Scheme::known`].
///
/// # Errors
///
/// A sentence that says what is wrong and repeats no credentials.
pub(crate) fn settings(url: &str) -> Result<Settings, String> {
    let scheme = Scheme::of(url)?;
    let hosts = Hosts::of(url, scheme.kind)?;
    let parsed = parsed(&hosts.first)?;
    if parsed.fragment().is_some() {
        return Err("`#` begins nothing in the URL of a store; write one that is part of a password as `%23`".into());
    }
    let said = Said::by(&parsed, &scheme)?;
    let (master, database) = scheme.kind.in_path(parsed.path())?;
    let mut plain = parsed.clone();
    if scheme.kind != Kind::Socket {
        plain.set_path("");
    }
    let info = plain.into_connection_info().map_err(|_| scheme.kind.malformed())?;
    let default_port = if scheme.kind == Kind::Sentinel { SENTINEL_PORT } else { PORT };
    let first = at_port(info.addr(), parsed.port().unwrap_or(default_port));
    let others = hosts.others.iter().map(|host| address(host, default_port));
    let addresses = [Ok(first.clone())].into_iter().chain(others).collect::<Result<Vec<_>, String>>()?;
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    let topology = match scheme.kind {
        Kind::Server | Kind::Socket => Topology::Server(first),
        Kind::Sentinel => Topology::Sentinel(Sentinels { addresses, master, login: said.sentinel_login }),
        Kind::Cluster => Topology::Cluster(addresses),
    };
    Ok(Settings {
        topology,
        login: match database {
            Some(database) => login.set_db(database),
            None => login,
        },
        tls: scheme.encrypted.then_some(said.tls),
        client_name: said.client_name,
        failover: said.failover,
        namespace: said.namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
        codec: said.codec,
        op_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(1),
    })
}

/// What comes before `://`.
struct Scheme {
    kind: Kind,
    encrypted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

impl Scheme {
    fn of(url: &str) -> Result<Self, String> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let (kind, encrypted) = match scheme {
            "redis" => (Kind::Server, false),
            "rediss" => (Kind::Server, true),
            "redis+unix" => (Kind::Socket, false),
            "redis+sentinel" => (Kind::Sentinel, false),
            "rediss+sentinel" => (Kind::Sentinel, true),
            "redis+cluster" => (Kind::Cluster, false),
            "rediss+cluster" => (Kind::Cluster, true),
            _ => return Err("not the address of a Redis; write one like `redis://127.0.0.1:6379`".into()),
        };
        if encrypted {
            tls::check_build(scheme)?;
        }
        Ok(Self { kind, encrypted })
    }

    /// The parameters that mean something here.
    fn known(&self) -> Vec<&'static str> {
        let mut known = vec!["namespace", "codec", "client_name", "failover"];
        if self.kind == Kind::Socket {
            known.extend(["db", "user", "pass"]);
        }
        if self.kind == Kind::Sentinel {
            known.extend(["sentinel_user", "sentinel_password"]);
        }
        if self.encrypted {
            known.extend(tls::PARAMETERS);
        }
        known
    }
}

impl Kind {
    /// The name of the master and the number of the database, as far as they are in the path.
    fn in_path(self, path: &str) -> Result<(String, Option<i64>), String> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        match self {
            Self::Server => Ok((String::new(), Some(database(path)?))),
            Self::Socket => Ok((String::new(), None)),
            Self::Sentinel => {
                let (name, rest) = path.split_once('/').unwrap_or((path, ""));
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                if name.is_empty() || !name.bytes().all(allowed) {
                    return Err(
                        "no name of a master; write one of letters, digits, `.`, `-` and `_`, as in `redis+sentinel://host:26379/mymaster`".into(),
                    );
                }
                Ok((name.to_owned(), Some(database(rest)?)))
            }
            Self::Cluster if ["", "0"].contains(&path) => Ok((String::new(), None)),
            Self::Cluster => Err("a Cluster has no databases; write nothing after its hosts".into()),
        }
    }

    fn malformed(self) -> String {
        match self {
            Self::Socket => "not a socket; write one like `redis+unix:///run/redis.sock?db=1`".into(),
            _ => NOT_A_URL.into(),
        }
    }
}

fn database(text: &str) -> Result<i64, String> {
    let number = if text.is_empty() { Ok(0) } else { text.parse::<u32>() };
    number.map(i64::from).map_err(|_| "the database is not a number; write one like `redis://127.0.0.1:6379/0`".into())
}

/// A URL of the first host with all that the whole one says, and the other hosts.
struct Hosts<'a> {
    first: String,
    others: Vec<&'a str>,
}

impl<'a> Hosts<'a> {
    fn of(url: &'a str, kind: Kind) -> Result<Self, String> {
        if kind == Kind::Socket {
            return Ok(Self { first: url.to_owned(), others: Vec::new() });
        }
        let (_, rest) = url.split_once("://").ok_or(NOT_A_URL)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let mut hosts = hosts.split(',');
        let first = hosts.next().unwrap_or_default();
        let others: Vec<&str> = hosts.collect();
        if kind == Kind::Server && !others.is_empty() {
            return Err("one server has one host; for several write `redis+sentinel://` or `redis+cluster://`".into());
        }
        if others.len() >= MOST_HOSTS {
            return Err(format!("more than {MOST_HOSTS} hosts; name some of them, and they name the others"));
        }
        Ok(Self { first: format!("redis://{credentials}{first}{tail}"), others })
    }
}

/// A host that is not the first, which has no credentials and nothing after it.
fn address(host: &str, default_port: u16) -> Result<ConnectionAddr, String> {
    let parsed = parsed(&format!("redis://{host}"))?;
    let info = parsed.clone().into_connection_info().map_err(|_| NOT_A_URL)?;
    Ok(at_port(info.addr(), parsed.port().unwrap_or(default_port)))
}

fn at_port(address: &ConnectionAddr, port: u16) -> ConnectionAddr {
    match address {
        ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(host.clone(), port),
        other => other.clone(),
    }
}

fn parsed(url: &str) -> Result<Url, String> {
    redis::parse_redis_url(url).ok_or_else(|| NOT_A_URL.to_owned())
}

/// What the parameters say.
#[derive(Default)]
struct Said {
    namespace: Option<String>,
    codec: Codec,
    client_name: Option<String>,
    failover: Failover,
    sentinel_login: RedisConnectionInfo,
    tls: TlsFiles,
}

impl Said {
    fn by(url: &Url, scheme: &Scheme) -> Result<Self, String> {
        let known = scheme.known();
        let mut said =
            Self { sentinel_login: RedisConnectionInfo::default().set_skip_set_lib_name(), ..Self::default() };
        let mut files = tls::Said::default();
        for (name, value) in url.query_pairs() {
            if !known.contains(&&*name) {
                return Err(unknown(&name, url, &known));
            }
            match &*name {
                "namespace" => said.namespace = Some(value.into_owned()),
                "codec" => said.codec = Codec::named(&value)?,
                "client_name" => said.client_name = Some(client_name(&value)?),
                "failover" => said.failover = failover(&value)?,
                "sentinel_user" => said.sentinel_login = said.sentinel_login.set_username(&value),
                "sentinel_password" => said.sentinel_login = said.sentinel_login.set_password(&value),
                name if tls::PARAMETERS.contains(&name) => files.take(name, &value),
                // What is left the address of a socket is made of.
                _ => {}
            }
        }
        if said.sentinel_login.username().is_some() && said.sentinel_login.password().is_none() {
            return Err("`sentinel_user` without `sentinel_password`; give both, or the password alone".into());
        }
        said.tls = files.files()?;
        Ok(said)
    }
}

/// A parameter may be what is left of a password.
fn unknown(name: &str, url: &Url, known: &[&str]) -> String {
    let is_of_password = url.query().is_some_and(|query| query.contains('@'));
    let named = if is_of_password { "an unknown parameter".to_owned() } else { format!("unknown parameter `{name}`") };
    format!("{named}; expected one of `{}`", known.join("`, `"))
}

fn client_name(name: &str) -> Result<String, String> {
    let allowed = !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    allowed.then(|| name.to_owned()).ok_or_else(|| {
        format!("not a name of a client; write `client_name` with up to {LONGEST_NAME} visible ASCII characters and no space")
    })
}

fn failover(word: &str) -> Result<Failover, String> {
    match word {
        "cold" => Ok(Failover::Cold),
        "warm" => Ok(Failover::Warm),
        _ => Err("not a kind of failover; write `failover=cold` or `failover=warm`".into()),
    }
}

const NOT_A_URL: &str = "not a URL; write one like `redis://127.0.0.1:6379`";
const DEFAULT_NAMESPACE: &str = "cache";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const MOST_HOSTS: usize = 64;
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(addresses: &[ConnectionAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_url_says_where_and_as_whom() {
        let settings = settings("redis://ann:s%20cret@db.example:7000/3?namespace=shop:prod").unwrap();
        assert_eq!(settings.address(), "db.example:7000");
        let login = &settings.login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("ann"), Some("s cret"), 3));
        assert_eq!((&*settings.namespace, settings.codec), ("shop:prod", Codec::Json));
        assert!(settings.tls.is_none());
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
        let settings = settings("redis+unix:///run/redis.sock?db=1&user=ann&pass=s").unwrap();
        assert_eq!(settings.address(), "/run/redis.sock");
        let login = &settings.login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("ann"), Some("s"), 1));
        assert_eq!(&*settings.namespace, "cache");
    }

    #[test]
    fn sentinels_have_hosts_and_a_name() {
        let url = "redis+sentinel://ann:p%2Fw@h1,h2:7000,[::1]/my.master/2?sentinel_password=s%40p&client_name=shop-7";
        let settings = settings(url).unwrap();
        let Topology::Sentinel(sentinels) = &settings.topology else { panic!("{settings:?}") };
        assert_eq!(addresses(&sentinels.addresses), ["h1:26379", "h2:7000", "::1:26379"]);
        assert_eq!(sentinels.master, "my.master");
        assert_eq!((sentinels.login.username(), sentinels.login.password()), (None, Some("s@p")));
        let login = &settings.login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("ann"), Some("p/w"), 2));
        assert_eq!(settings.client_name.as_deref(), Some("shop-7"));
        assert_eq!(settings.address(), "h1:26379,h2:7000,::1:26379/my.master");
    }

    #[test]
    fn a_cluster_has_seeds() {
        for url in
            ["redis+cluster://:pw@h1:7000,h2", "redis+cluster://:pw@h1:7000,h2/", "redis+cluster://:pw@h1:7000,h2/0"]
        {
            let settings = settings(url).unwrap();
            let Topology::Cluster(seeds) = &settings.topology else { panic!("{settings:?}") };
            assert_eq!(addresses(seeds), ["h1:7000", "h2:6379"]);
            assert_eq!((settings.login.username(), settings.login.password()), (None, Some("pw")));
        }
    }

    #[test]
    fn failover_is_cold_unless_the_url_says_otherwise() {
        for (parameter, expected) in
            [("", Failover::Cold), ("?failover=cold", Failover::Cold), ("?failover=warm", Failover::Warm)]
        {
            for place in ["redis://host", "redis+unix:///s", "redis+sentinel://host/name", "redis+cluster://host"] {
                assert_eq!(settings(&format!("{place}{parameter}")).unwrap().failover, expected, "{place}{parameter}");
            }
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn two_s_encrypt() {
        let plain = TlsFiles::default();
        let own = TlsFiles {
            authorities: Some("/etc/ca.pem".into()),
            identity: Some(("/etc/me.pem".into(), "/etc/me.key".into())),
        };
        for place in ["rediss://host", "rediss+sentinel://host/name", "rediss+cluster://host"] {
            assert_eq!(settings(place).unwrap().tls.as_ref(), Some(&plain), "{place}");
            let url = format!("{place}?ca=/etc/ca.pem&cert=/etc/me.pem&key=/etc/me.key");
            assert_eq!(settings(&url).unwrap().tls.as_ref(), Some(&own), "{url}");
        }
    }

    #[test]
    fn credentials_beside_the_url_take_the_place_of_its_own() {
        let settings = settings("redis://ann:old@host/3").unwrap();
        let login = settings.clone().credentials("bob", "new").login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("bob"), Some("new"), 3));
        let login = settings.credentials("", "new").login;
        assert_eq!((login.username(), login.password(), login.db()), (None, Some("new"), 3));
    }

    #[test]
    fn what_is_wrong_is_said_without_credentials() {
        let wrong = [
            #[cfg(not(feature = "tls"))]
            ("rediss://ann:hunter2@host", "feature `tls`"),
            #[cfg(feature = "tls")]
            ("rediss://ann:hunter2@host?cert=/hunter2", "both `cert` and `key`"),
            ("http://ann:hunter2@host", "not the address"),
            ("hunter2", "not the address"),
            ("redis:ann:hunter2@host", "not a URL"),
            ("redis://", "not a URL"),
            ("redis://ann:hunter2@/3", "not a URL"),
            ("redis://ann:hunter2@0.0.0.0", "not a URL"),
            ("redis://ann:%ffhunter2@host", "not a URL"),
            ("redis+unix://?pass=hunter2&db=x", "not a socket"),
            ("redis://ann:hunter2@host/one", "database"),
            ("redis://ann:hunter2@host/-1", "database"),
            ("redis+sentinel://ann:hunter2@host/name/hunter2", "database"),
            ("redis+sentinel://ann:hunter2@host/name/1/2", "database"),
            ("redis+cluster://ann:hunter2@host/1", "no databases"),
            ("redis://ann:hunter2@host:99999", "not a URL"),
            ("redis://ann:hunter2@host,other", "one host"),
            ("redis+cluster://ann:hunter2@host,,other", "not a URL"),
            ("redis+cluster://ann:hunter2@host,other:hunter2", "not a URL"),
            ("redis+sentinel://ann:hunter2@,host/name", "not a URL"),
            ("redis+sentinel://ann:hunter2@host", "no name of a master"),
            ("redis+sentinel://ann:hunter2@host/", "no name of a master"),
            ("redis+sentinel://ann:12/hunter2@host,other/name", "no name of a master"),
            ("redis://ann:12?hunter2@host", "an unknown parameter"),
            ("redis://ann:12?hunter2&x@host", "an unknown parameter"),
            ("redis://ann:12#hunter2@host", "%23"),
            ("redis://ann:12/hunter2@host", "database"),
            ("redis://ann:hunter2@host?ttl=1", "unknown parameter `ttl`"),
            ("redis://ann:hunter2@host?ca=/f", "unknown parameter `ca`"),
            ("redis://ann:hunter2@host?codec=yaml", "`json` or `msgpack`"),
            #[cfg(not(feature = "msgpack"))]
            ("redis://ann:hunter2@host?codec=msgpack", "feature `msgpack`"),
            ("redis://ann:hunter2@host?db=1", "unknown parameter `db`"),
            ("redis://ann:hunter2@host?failover=hunter2", "`failover=cold`"),
            ("redis://ann:hunter2@host?client_name=a%20hunter2", "client_name"),
            ("redis://ann:hunter2@host?client_name=", "client_name"),
            ("redis://ann:hunter2@host?sentinel_password=hunter2", "unknown parameter `sentinel_password`"),
            ("redis+sentinel://host/name?sentinel_user=hunter2", "`sentinel_password`"),
        ];
        for (url, expected) in wrong {
            let Err(error) = settings(url) else { panic!("{url} is understood") };
            assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
            assert!(!error.contains('\n') && !error.ends_with('.'), "{url}: {error}");
        }
    }

    #[test]
    fn there_is_an_end_to_hosts() {
        let url = format!("redis+cluster://{}h", "h,".repeat(MOST_HOSTS));
        assert!(settings(&url).unwrap_err().contains("more than 64 hosts"));
        assert!(settings(&url.replacen("h,", "", 1)).is_ok());
    }

    #[test]
    fn debug_shows_no_credentials() {
        let urls = [
            "redis://ann:hunter2@host",
            "redis+unix:///run/redis.sock?user=ann&pass=hunter2",
            "redis+cluster://ann:hunter2@host",
            "redis+sentinel://ann:hunter2@host/name?sentinel_user=ann&sentinel_password=hunter2",
        ];
        for url in urls {
            let settings = settings(url).unwrap();
            let shown = format!("{settings:?} {}", settings.address());
            assert!(!shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
