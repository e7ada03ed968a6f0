//! Building a cache.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::breaker;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::breaker::Breaker;
use crate::cache::Cache;
use crate::cache::trial;
use crate::clock::Clock;
use crate::codec::Codec;
use crate::core::Core;
use crate::core::Settings;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::debt::Debt;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::debt::Debts;
use crate::envelope::MOST_DEPENDENCIES;
use crate::error::Error;
use crate::error::Kind;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::host::SharedHost;
use crate::host::Threaded;
use crate::key::Secret;
use crate::local::Capacity;
use crate::local::Local;
use crate::policy::LONGEST;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::store::Store;
#[cfg(feature = "memcached")]
use crate::store::fleet::Fleet;
#[cfg(feature = "memcached")]
use crate::store::fleet::Ring;
#[cfg(feature = "memcached")]
use crate::store::memcached;
#[cfg(feature = "memcached")]
use crate::store::memcached::Memcached;
#[cfg(feature = "redis")]
use crate::store::redis;
#[cfg(feature = "redis")]
use crate::store::redis::Redis;
#[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
use crate::store::shielded::Shielded;
#[cfg(any(feature = "redis", feature = "memcached"))]
use crate::store::witnesses::Witnessed;
#[cfg(feature = "test-util")]
use crate::testing::Faults;
#[cfg(feature = "test-util")]
use crate::testing::Outside;

/// Settings of a cache, each with a default that serves.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use cache_runtime::{Cache, Capacity};
///
/// let cache = Cache::builder()
///     .url("memory:")
///     .capacity(Capacity::Entries(10_000))
///     .max_wait(Duration::from_secs(5))
///     .build()?;
/// # drop(cache);
/// # Ok::<(), cache_runtime::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    url: String,
    namespace: Option<String>,
    /// User and password.
    credentials: Option<(String, String)>,
    secret: Option<Vec<u8>>,
    capacity: Option<Capacity>,
    codec: Option<Codec>,
    clock: Clock,
    runtime: Option<Handle>,
    #[cfg(feature = "test-util")]
    faults: Option<Faults>,
    /// Whether all that is said comes from the environment.
    from_env: bool,
    /// Whether names of a server that is away are taken by others, as a negative control.
    #[cfg(feature = "sim")]
    #[cfg_attr(not(feature = "memcached"), allow(dead_code, reason = "no other store has several servers"))]
    pub(crate) ejects: bool,
    /// Whether what a Memcached numbers is known by its number alone, as a negative control.
    #[cfg(feature = "sim")]
    #[cfg_attr(not(feature = "memcached"), allow(dead_code, reason = "no other store numbers anything"))]
    pub(crate) numbers_alone: bool,
    settings: Settings,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            url: "memory:".to_owned(),
            namespace: None,
            credentials: None,
            secret: None,
            capacity: None,
            codec: None,
            clock: Clock::default(),
            runtime: None,
            #[cfg(feature = "test-util")]
            faults: None,
            from_env: false,
            #[cfg(feature = "sim")]
            ejects: false,
            #[cfg(feature = "sim")]
            numbers_alone: false,
            settings: Settings::default(),
        }
    }

    pub(super) fn from_env() -> Result<Self, Error> {
        let mut builder = Self { from_env: true, ..Self::new() };
        if let Some(url) = variable("CACHE_URL")? {
            builder.url = url;
        }
        builder.namespace = variable("CACHE_NAMESPACE")?;
        builder.secret = variable("CACHE_SECRET")?.map(String::into_bytes);
        Ok(builder)
    }

    /// Which store, as [`Cache::connect`] takes it. Defaults to `memory:`.
    pub fn url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// What every key and tag in the store begins with, so that environments and applications can share one: up to 64 letters, digits, `-`, `_`, `.` and `:`. Comes before one in the URL, and no variable of the environment is asked. Defaults to
    /// `cache`. The in-process store is nobody else's and has none; there it only labels metrics and [records](crate::Record).
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// As whom to speak to a store outside of this process, for programs that keep passwords apart from addresses. Comes before what the URL says. A `user` of no letters is the one whom a server
    /// means that has a password and no users. Defaults to what the URL says. Neither is ever shown.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use cache_runtime::Cache;
    ///
    /// # fn password() -> String { unimplemented!() }
    /// let cache = Cache::builder().url("redis://cache.internal").credentials("shop", &password()).build()?;
    /// # drop(cache);
    /// # Ok::<(), cache_runtime::Error>(())
    /// ```
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// What hides the parts of keys that are written as `{value:hash}`: at least 16 bytes that nobody can guess, the same in all processes that share a store. See
    /// [`hash_part`](crate::hash_part). Defaults to none; the in-process store then makes one up.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = Some(secret.as_ref().to_vec());
        self
    }

    /// How much the in-process store holds. Defaults to 100,000 entries.
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// In which form values are written to a store outside of this process. Comes before `codec=json` or `codec=msgpack` in the URL. Defaults to JSON.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Compresses encoded values of more than so many bytes on a store outside of this process, where that makes them shorter. Defaults to 4 KiB; `usize::MAX` compresses none.
    ///
    /// A process whose build lacks the feature `lz4` has a miss where it meets a compressed entry.
    #[cfg(feature = "lz4")]
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.settings.packing.compress_above = bytes;
        self
    }

    /// A runtime to use in place of a thread of the cache's own. It must have timers and I/O enabled and outlive the cache.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Puts `faults` between the cache and its store, for a test to make it fail. Defaults to none.
    ///
    /// The in-process store is then treated as one that is outside of the process, because only such a store can fail.
    #[cfg(feature = "test-util")]
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    /// The clock. Defaults to the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The most that one operation of a remote store takes. Defaults to 100 ms.
    pub fn op_timeout(mut self, limit: Duration) -> Self {
        self.settings.op_timeout = limit;
        self
    }

    /// The most that connecting takes. Defaults to one second.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.connect_timeout = limit;
        self
    }

    /// When a remote store that does not answer is not asked any more: after so many `failures` in a row, or one answer that did not come within [`op_timeout`](Self::op_timeout). Then every call loads at once,
    /// protected as ever from loading what another call of this process loads, until one operation that is tried in between succeeds: the first after an eighth of `pause`, then after ever longer, up to all of
    /// `pause`. Invalidations are always tried, and are delivered before anything is read again. Defaults to 5 failures and one second.
    pub fn breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.settings.breaker = breaker::Limits { failures, pause };
        self
    }

    /// How many loads run at once in this process, which is what the source of truth is asked when the cache is empty or away. A load inside of another takes no place of its own. Defaults to 256.
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.settings.bulkhead.loads = loads;
        self
    }

    /// How many calls may wait for a place among the loads, and for how long each, before they count as [`overloaded`](crate::Counts::overloaded). Defaults to 10,000 and 10 s.
    pub fn load_queue(mut self, most: usize, wait: Duration) -> Self {
        (self.settings.bulkhead.queue, self.settings.bulkhead.wait) = (most, wait);
        self
    }

    /// How long a lease on a remote store lives without being renewed, which is how long others wait for a load whose process was killed. Defaults to 3 s.
    pub fn lease(mut self, life: Duration) -> Self {
        self.settings.lease = life;
        self
    }

    /// How long a load keeps others from loading the same key. Past that it runs on, and is not stored. Defaults to 30 s.
    pub fn max_load(mut self, limit: Duration) -> Self {
        self.settings.max_load = limit;
        self
    }

    /// The most that a call waits for another's load before it loads for itself. Defaults to 10 s.
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.settings.max_wait = limit;
        self
    }

    /// The shortest and the longest pause between two looks at the store while another process loads; in between it is an eighth of the wait so far. Defaults to 5 ms
    /// and 250 ms.
    pub fn poll(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.poll = (first, longest);
        self
    }

    /// How long the mark of a mutation lives on a remote store without being renewed. Defaults to 3 s.
    pub fn guard(mut self, life: Duration) -> Self {
        self.settings.guard = life;
        self
    }

    /// The longest that a mutation stays guarded, where it does not say so itself. Defaults to 60 s.
    pub fn hold_off(mut self, limit: Duration) -> Self {
        self.settings.hold_off = limit;
        self
    }

    /// How far times-to-live are spread, between 0 and 1, where an entry does not say so itself. Defaults to 0.1, which is ten percent in both directions.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.settings.jitter = jitter;
        self
    }

    /// The most keys and tags whose invalidation the store could not be told, and which wait for it to come back. Beyond, all of them are replaced by one: the namespace is
    /// emptied, as by [`Cache::clear`], as soon as the store is back, and this process uses nothing of it until then. Defaults to 100,000.
    pub fn journal_capacity(mut self, most: usize) -> Self {
        self.settings.journal_capacity = most;
        self
    }

    /// The most tags and keys that one entry may depend on, its own and inherited. Entries with more are not stored. Defaults to 64.
    pub fn max_dependencies(mut self, most: usize) -> Self {
        self.settings.max_dependencies = most;
        self
    }

    /// The largest encoded value that is stored, in bytes, before it is compressed; a compressed entry that would be larger is not read either. Defaults to 1 MiB.
    pub fn max_entry(mut self, bytes: usize) -> Self {
        self.settings.max_entry = bytes;
        self
    }

    /// Lists, for each tag, up to so many of the entries that have it, so that [`Cache::tag`] can say which these are, and so that what was invalidated by a tag is removed from the store soon
    /// after, where otherwise it takes up memory until it expires. Defaults to none.
    ///
    /// Nothing that is promised rests on these lists. On a Redis a list costs one more command for each tag whenever an entry is stored, and some 150 bytes for each entry and tag; it drops
    /// what expires first when it is full, and ends with the last entry on it. In process no list is kept, since all entries can be looked at; storing a tagged value encodes it once, to know
    /// its size. A Memcached keeps none: [`is_unsupported`](Error::is_unsupported).
    ///
    /// All processes that store entries have to say so; what others store is on no list.
    pub fn tag_sets(mut self, most: usize) -> Self {
        self.settings.tag_sets = Some(most);
        self
    }

    /// Builds the cache. A connection is made beside the caller; until it stands, every call loads.
    ///
    /// # Errors
    ///
    /// When a setting makes no sense, when the URL cannot be understood, or when it names a store that this build does not have.
    pub fn build(self) -> Result<Cache, Error> {
        let (from_env, namespace) = (self.from_env, self.namespace.is_some());
        let built = self.build_as_said();
        if !from_env {
            return built;
        }
        built.map_err(|error| match error.kind() {
            Kind::Namespace(_) if namespace => error.of_variable("CACHE_NAMESPACE"),
            Kind::Url(_) | Kind::Namespace(_) => error.of_variable("CACHE_URL"),
            Kind::Setting(_) => error.of_variable("CACHE_SECRET"),
            _ => error,
        })
    }

    fn build_as_said(mut self) -> Result<Cache, Error> {
        self.check()?;
        if let Some(namespace) = &self.namespace {
            check_namespace(namespace)?;
            self.settings.namespace = namespace.as_str().into();
        }
        if let Some(parameters) = self.url.strip_prefix("memory:") {
            let (codec, namespace) = check_memory(parameters)?;
            if self.credentials.is_some() {
                return Err(Kind::Setting("a user and a password are of a store outside of this process").into());
            }
            self.settings.packing.codec = codec;
            if let (Some(namespace), None) = (namespace, &self.namespace) {
                self.settings.namespace = namespace.into();
            }
            return Ok(Cache::from_core(self.build_in_memory()));
        }
        self.build_remote()
    }

    /// Builds the cache and waits for its connection, at most for [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build). A server that is not there is none, nor is one that does not let this process in: that is an event at level `ERROR`. See
    /// [`connect_strictly`](Self::connect_strictly).
    pub async fn connect(self) -> Result<Cache, Error> {
        let cache = self.build()?;
        cache.core().store.ready().await;
        Ok(cache)
    }

    /// Builds the cache, and fails if its store cannot be used as it is now: for programs that would rather not start than start with a cache that is set up wrongly.
    ///
    /// Every operation there is is tried once, under a name of its own, so that a user who may not do what is needed is found out too. What happens to the store afterwards is no error any more, as ever.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build); and one sentence, without any credentials, when the server cannot be reached, when the password is wrong, when what answers there is no Redis, or when it does not
    /// do what it is asked.
    ///
    /// # Cancel safety
    ///
    /// What was tried last is gone by itself after a second.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::Cache;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::builder().url("memory:").connect_strictly().await?;
    /// # drop(cache);
    /// # Ok::<(), cache_runtime::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn connect_strictly(self) -> Result<Cache, Error> {
        let store = self.address();
        let cache = self.connect().await?;
        let tried = trial::stand(cache.core()).await;
        tried.map_err(|error| Kind::Unusable(store, error.reason()))?;
        Ok(cache)
    }

    /// Where the store is, as it may be shown.
    fn address(&self) -> String {
        #[cfg(feature = "redis")]
        if let Ok(store) = redis::settings(&self.url) {
            return format!("the Redis at {}", store.address());
        }
        #[cfg(feature = "memcached")]
        if let Ok(store) = memcached::settings(&self.url) {
            return format!("the Memcached at {}", store.address());
        }
        "the store".to_owned()
    }

    pub(super) fn build_in_memory(mut self) -> Core {
        self.settings.packing.codec = self.codec.unwrap_or(self.settings.packing.codec);
        let capacity = self.capacity.unwrap_or_default();
        self.settings.secret.get_or_insert_with(Secret::random);
        let local = Arc::new(Local::new(capacity, self.clock.clone()));
        self.settings.heaviest = local.heaviest();
        #[cfg(feature = "test-util")]
        if let Some(faults) = self.faults.clone() {
            return self.build_outside(&faults, local);
        }
        let mut core = Core::new(local.clone(), Arc::new(self.host()), self.clock, self.settings);
        core.local = Some(local);
        core
    }

    #[cfg(feature = "test-util")]
    fn build_outside(mut self, faults: &Faults, local: Arc<Local>) -> Core {
        let host: SharedHost = Arc::new(self.host());
        self.settings.max_entry =
            local.heaviest().map_or(usize::MAX, |most| most as usize).min(self.settings.max_entry);
        let store = faults.over(Arc::new(Outside(local)), &host, &self.clock, &self.settings);
        let debts = Debts::default();
        let store = self.shielded(store, &host, debts.to(0));
        Core::new(store, host, self.clock, self.settings).owing(debts)
    }

    fn build_remote(self) -> Result<Cache, Error> {
        #[cfg(feature = "redis")]
        if self.url.starts_with("redis") {
            return self.build_on_redis();
        }
        #[cfg(feature = "memcached")]
        if self.url.starts_with("memcached") {
            return self.build_on_memcached();
        }
        Err(self.unknown_url())
    }

    #[cfg(feature = "redis")]
    fn build_on_redis(mut self) -> Result<Cache, Error> {
        if self.capacity.is_some() {
            return Err(Kind::Setting("a capacity is of the in-process store; a Redis has `maxmemory`").into());
        }
        let mut store = redis::settings(&self.url).map_err(Kind::Url)?;
        if let Some(namespace) = &self.namespace {
            store = store.namespace(namespace);
        }
        if let Some((user, password)) = &self.credentials {
            store = store.credentials(user, password);
        }
        self.is_called(store.namespace_text(), store.codec)?;
        store = store.op_timeout(self.settings.op_timeout).connect_timeout(self.settings.connect_timeout);
        let (host, runtime) = self.remote_host()?;
        let store = Arc::new(Redis::new(store, runtime, Arc::new(self.breakers(&host))).map_err(Kind::Url)?);
        let (store, debts) = match store.debts() {
            // Of several servers each has its breaker, and nothing that this process owes one of them keeps it from the others.
            Some(debts) => {
                let witnesses = store.witnesses();
                (self.timed(Arc::new(Witnessed::new(store, witnesses)), &host), debts)
            }
            None => {
                let debts = Debts::default();
                (self.equipped(store, &host, debts.to(0)), debts)
            }
        };
        Ok(Cache::from_core(Core::new(store, host, self.clock, self.settings).owing(debts)))
    }

    #[cfg(feature = "memcached")]
    fn build_on_memcached(mut self) -> Result<Cache, Error> {
        if self.capacity.is_some() {
            return Err(Kind::Setting("a capacity is of the in-process store; a Memcached has `-m`").into());
        }
        if self.credentials.is_some() {
            return Err(Kind::Setting("credentials are of a Redis; a Memcached is asked without").into());
        }
        let mut store = memcached::settings(&self.url).map_err(Kind::Url)?;
        if let Some(namespace) = &self.namespace {
            store = store.namespace(namespace);
        }
        self.is_called(store.namespace_text(), store.codec)?;
        store = store.op_timeout(self.settings.op_timeout).connect_timeout(self.settings.connect_timeout);
        let (host, runtime) = self.remote_host()?;
        let members = Memcached::all(&store, &runtime).map_err(Kind::Url)?.into_iter();
        #[cfg(feature = "sim")]
        let members = members.map(|member| if self.numbers_alone { member.by_numbers_alone() } else { member });
        let members: Vec<_> = members.map(Arc::new).collect();
        #[cfg_attr(not(feature = "sim"), expect(unused_mut, reason = "only a control ejects a server"))]
        let mut ring = Ring::new(&store.servers);
        #[cfg(feature = "sim")]
        if self.ejects {
            ring.ejects = members.iter().cloned().map(|node| Box::new(move || node.is_away()) as _).collect();
        }
        let ring = Arc::new(ring);
        let debts = Debts::of(Arc::clone(&ring));
        let nodes = members.into_iter().enumerate().map(|(place, node)| self.equipped(node, &host, debts.to(place)));
        let nodes: Vec<_> = nodes.collect();
        let store: Arc<dyn Store> = match &nodes[..] {
            [only] => Arc::clone(only),
            _ => {
                let witnesses = ring.witnesses();
                Arc::new(Witnessed::new(Arc::new(Fleet::new(nodes, ring)), witnesses))
            }
        };
        Ok(Cache::from_core(Core::new(store, host, self.clock, self.settings).owing(debts)))
    }

    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn is_called(&mut self, namespace: &str, codec: Codec) -> Result<(), Error> {
        check_namespace(namespace)?;
        self.settings.namespace = namespace.into();
        self.settings.packing.codec = self.codec.unwrap_or(codec);
        Ok(())
    }

    /// Puts in front of `store`, or of a node of it that is owed `debt`, what stands in front of each.
    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn equipped(&self, store: Arc<dyn Store>, host: &SharedHost, debt: Debt) -> Arc<dyn Store> {
        self.shielded(self.timed(store, host), host, debt)
    }

    /// Puts what fails on purpose and what measures in front of `store`.
    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn timed(&self, store: Arc<dyn Store>, host: &SharedHost) -> Arc<dyn Store> {
        #[cfg(feature = "test-util")]
        let store = match &self.faults {
            Some(faults) => faults.over(store, host, &self.clock, &self.settings),
            None => store,
        };
        #[cfg(feature = "metrics")]
        let store = Arc::new(crate::metrics::facade::Timed::new(store, self.settings.namespace.clone()));
        #[cfg(not(feature = "test-util"))]
        let _ = host;
        store
    }

    /// Makes breakers, each for what is owed to one server.
    #[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
    fn breakers(&self, host: &SharedHost) -> impl Fn(Debt) -> Arc<Breaker> + Send + Sync + use<> {
        let (limits, clock, host) = (self.settings.breaker, self.clock.clone(), host.clone());
        move |debt| Arc::new(Breaker::new(limits, clock.clone(), host.clone(), debt))
    }

    /// Puts a breaker in front of `store`, which is owed `debt`.
    #[cfg(any(feature = "redis", feature = "memcached", feature = "test-util"))]
    fn shielded(&self, store: Arc<dyn Store>, host: &SharedHost, debt: Debt) -> Arc<dyn Store> {
        let breaker = self.breakers(host)(debt);
        #[cfg(feature = "test-util")]
        if let Some(faults) = &self.faults {
            faults.hurries(&breaker);
        }
        Arc::new(Shielded::new(store, breaker))
    }

    fn unknown_url(&self) -> Error {
        // Text without a scheme may begin with a password.
        let scheme = self.url.split_once("://").map(|(scheme, _)| scheme);
        let named = scheme.filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+'));
        let wrong =
            named.map_or("not the address of a store".to_owned(), |scheme| format!("no store is named by `{scheme}:`"));
        Kind::Url(format!(
            "{wrong}; use `memory:`, `redis://host:port`, `redis+unix:///path` or `memcached://host:port`"
        ))
        .into()
    }

    /// Who works for a store outside of this process, and the runtime that does its I/O.
    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn remote_host(&self) -> Result<(SharedHost, Handle), Error> {
        let host = self.host();
        let runtime = host.handle().ok_or(Kind::Thread)?.clone();
        Ok((Arc::new(host), runtime))
    }

    fn host(&self) -> Threaded {
        self.runtime.clone().map_or_else(Threaded::default, Threaded::on)
    }

    fn check(&mut self) -> Result<(), Error> {
        let settings = &mut self.settings;
        if let Some(secret) = &self.secret {
            if secret.len() < Secret::SHORTEST {
                return Err(Kind::Setting("a secret of less than 16 bytes, which can be guessed").into());
            }
            settings.secret = Some(Secret::new(secret));
        }
        let waits = [
            settings.op_timeout,
            settings.connect_timeout,
            settings.breaker.pause,
            settings.lease,
            settings.max_load,
            settings.guard,
            settings.hold_off,
        ];
        if waits.iter().any(|wait| wait.as_millis() == 0) {
            return Err(
                Kind::Setting("a timeout, a pause, a lease, a guard or a hold-off of less than a millisecond").into()
            );
        }
        if settings.breaker.failures == 0 {
            return Err(Kind::Setting("a breaker that opens after no failure").into());
        }
        if settings.bulkhead.loads == 0 {
            return Err(Kind::Setting("a bulkhead without room for any load").into());
        }
        if settings.poll.0.is_zero() || settings.poll.0 > settings.poll.1 {
            return Err(
                Kind::Setting("the first pause between polls must be more than zero and at most the longest").into()
            );
        }
        if !(0.0..=1.0).contains(&settings.jitter) {
            return Err(Kind::Setting("the jitter must be between 0 and 1").into());
        }
        if waits
            .iter()
            .chain([&settings.max_wait, &settings.poll.1, &settings.bulkhead.wait])
            .any(|wait| *wait > LONGEST)
        {
            return Err(
                Kind::Setting("a timeout, a wait, a lease, a guard or a hold-off of more than ten years").into()
            );
        }
        if settings.max_dependencies > MOST_DEPENDENCIES {
            return Err(Kind::Setting("an entry that may depend on more than 1024 tags and keys").into());
        }
        if settings.tag_sets == Some(0) {
            return Err(Kind::Setting("tag sets that list nothing").into());
        }
        if matches!(self.capacity, Some(Capacity::Entries(0) | Capacity::Bytes(0))) {
            return Err(Kind::Setting("a store that can hold nothing").into());
        }
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, and the secret is one.
        f.debug_struct("Builder")
            .field("namespace", &self.namespace)
            .field("capacity", &self.capacity)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The in-process store is nobody else's: a namespace is what its metrics are called by and no more, and a codec only weighs.
fn check_memory(parameters: &str) -> Result<(Codec, Option<&str>), Error> {
    let (mut codec, mut named) = (Codec::default(), None);
    let Some(query) = parameters.strip_prefix('?').or(parameters.is_empty().then_some("")) else {
        return Err(Kind::Url(format!("`memory:{parameters}` is not understood; write `memory:`")).into());
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("namespace", namespace)) => named = check_namespace(namespace).map(|()| Some(namespace))?,
            Some(("codec", name)) => codec = Codec::named(name).map_err(|wrong| Kind::Url(wrong.to_owned()))?,
            _ => return Err(Kind::Url(format!("`memory:{parameters}` is not understood; write `memory:`")).into()),
        }
    }
    Ok((codec, named))
}

fn check_namespace(namespace: &str) -> Result<(), Error> {
    if is_namespace(namespace) { Ok(()) } else { Err(Kind::Namespace(namespace.to_owned()).into()) }
}

/// Whether a cache can be called that.
pub(crate) fn is_namespace(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Kind::Url(format!("`{name}` is not text")).into()),
    }
}
