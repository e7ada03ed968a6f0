//! Every shape of function that the attributes take: each compiles, runs its body once, and returns what the body does.

#![allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::non_minimal_cfg)]

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use cache_runtime::Cache;
use cache_runtime::KeyPart;
use cache_runtime::KeyWriter;
use cache_runtime::cached;
use cache_runtime::invalidates;

/// Lets through only futures that can be sent to another thread.
fn sent<F: Future + Send>(future: F) -> F {
    future
}

/// How often a body ran.
#[derive(Debug, Default)]
struct Runs(AtomicUsize);

impl Runs {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

mod free_functions {
    use super::*;

    static RUNS: Runs = Runs::new();

    #[cached(ttl = "5m", key = "macros.free:{id}", tags = ["macros.free"])]
    async fn found(id: u64) -> Result<String, io::Error> {
        RUNS.add();
        Ok(format!("user {id}"))
    }

    #[invalidates(key = "macros.free:{id}", tags = ["macros.free"])]
    async fn changed(id: u64) -> Result<u64, io::Error> {
        RUNS.add();
        Ok(id)
    }

    #[tokio::test]
    async fn run_once_and_return() {
        assert_eq!(sent(found(1)).await.unwrap(), "user 1");
        assert_eq!(RUNS.take(), 1);
        assert_eq!(sent(changed(7)).await.unwrap(), 7);
        assert_eq!(RUNS.take(), 1);
    }

    #[cached(ttl = "1h 30m", key = "macros.borrowed:{name}", skip(title))]
    async fn borrowed<'a>(name: &'a str, title: &mut String) -> Result<String, Cow<'a, str>>
    where
        'a: 'a,
    {
        if name.is_empty() {
            return Err(name.into());
        }
        title.push_str(name);
        Ok(title.clone())
    }

    #[cached(ttl = "1m", key = "macros.by-argument:{id}", cache = cache, skip(cache))]
    async fn by_argument(cache: &Cache, id: u64) -> u64 {
        let _ = cache;
        id
    }

    #[tokio::test]
    async fn take_their_cache_as_an_argument() {
        assert_eq!(sent(by_argument(&Cache::memory(), 3)).await, 3);
    }

    #[cached(ttl = "1m", key = "macros.elided:{name}")]
    async fn elided(name: &str) -> Result<usize, Cow<'_, str>> {
        let length: usize = name.parse().map_err(|_| Cow::from(name))?;
        Ok(length)
    }

    #[invalidates(key = "macros.elided:{name}", mode = after)]
    async fn trimmed(name: &str) -> &str {
        name.trim()
    }

    #[tokio::test]
    async fn borrow() {
        let mut title = "dr ".to_owned();
        assert_eq!(sent(borrowed("who", &mut title)).await.unwrap(), "dr who");
        assert_eq!(title, "dr who");
        assert_eq!(sent(elided("12")).await, Ok(12));
        assert_eq!(sent(elided("x")).await, Err(Cow::from("x")));
        assert_eq!(sent(trimmed(" x ")).await, "x");
    }

    #[cached(ttl = "1m", key = "macros.factorial:{n}")]
    async fn factorial(n: u64) -> u64 {
        if n < 2 { 1 } else { n * Box::pin(factorial(n - 1)).await }
    }

    #[tokio::test]
    async fn call_themselves() {
        assert_eq!(sent(factorial(5)).await, 120);
    }

    #[cached(ttl = "1m", skip(items))]
    async fn inner_attributes(items: &[u8]) -> usize {
        #![allow(clippy::needless_return, unused_variables)]
        let unused = 1;
        return items.len();
    }

    /// Documented.
    #[must_use]
    #[allow(clippy::unused_async)]
    #[cached(ttl = "1m")]
    #[doc(hidden)]
    async fn attributed(#[allow(unused)] id: u8, #[cfg(any())] gone: Gone, #[cfg(all())] kept: u8) -> u8 {
        kept
    }

    #[tokio::test]
    async fn keep_their_attributes() {
        assert_eq!(sent(inner_attributes(&[1, 2])).await, 2);
        assert_eq!(sent(attributed(1, 2)).await, 2);
    }

    #[cached(ttl = "1m", key = "{key}:{entry}:{cache}:{result}:{invalidation}:{site}:{type}")]
    async fn confusing(key: u8, entry: u8, cache: u8, result: u8, invalidation: u8, site: u8, r#type: u8) -> [u8; 7] {
        const SITE: u8 = 1;
        let _ = SITE;
        [key, entry, cache, result, invalidation, site, r#type]
    }

    #[invalidates(keys = ["{key}:{entry}:{cache}", "{invalidation}:{site}"])]
    async fn r#mod(key: u8, entry: u8, cache: u8, result: u8, invalidation: u8, site: u8) -> [u8; 6] {
        [key, entry, cache, result, invalidation, site]
    }

    #[tokio::test]
    async fn may_use_any_name() {
        assert_eq!(sent(confusing(1, 2, 3, 4, 5, 6, 7)).await, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(sent(r#mod(1, 2, 3, 4, 5, 6)).await, [1, 2, 3, 4, 5, 6]);
    }
}

mod arguments {
    use super::*;

    #[derive(Clone, Copy)]
    struct Page {
        number: u32,
        size: u32,
    }

    #[cached(ttl = "1m", key = "macros.page:{number}:{length}:{a}:{b}:{first}", skip(text))]
    async fn patterns(
        Page { number, size: mut length }: Page,
        (a, ref b): (u8, String),
        [first, ..]: [u8; 3],
        _: &str,
        mut text: Vec<u8>,
    ) -> u64 {
        length += 1;
        text.push(a);
        u64::from(number) + u64::from(length) + b.len() as u64 + u64::from(first) + text.len() as u64
    }

    #[tokio::test]
    async fn may_be_patterns() {
        let page = Page { number: 10, size: 20 };
        assert_eq!(sent(patterns(page, (1, "four".to_owned()), [5, 0, 0], "", vec![])).await, 41);
    }

    #[cached(ttl = "1m", key = "macros.fields:{page.number}:{pair.1}", skip(page, pair))]
    async fn fields(page: &Page, pair: (u8, String)) -> String {
        format!("{}{}{}", page.number, page.size, pair.1)
    }

    #[cached(ttl = "1m")]
    async fn implementing(id: impl KeyPart + Into<u64> + Send, name: impl KeyPart + AsRef<str> + Send) -> u64 {
        id.into() + name.as_ref().len() as u64
    }

    trait Kind {
        const NAME: &'static str;
    }

    impl Kind for u8 {
        const NAME: &'static str = "u8";
    }

    #[cached(ttl = "1m", key = "macros.parameters:{T}:{N}:{id}")]
    async fn parameters<T: Kind, const N: usize>(id: u64) -> Result<Vec<String>, ()> {
        Ok(vec![format!("{}{id}", T::NAME); N])
    }

    #[cached(ttl = "1m", key = "macros.generic", skip(T, F, make))]
    async fn generic<T, F>(make: F) -> Option<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
        F: AsyncFn() -> T,
    {
        Some(make().await)
    }

    #[cached(ttl = "1m")]
    async fn everything<T: Kind, const N: usize>(id: Option<u64>, (a, b): (&str, [u8; 2])) -> String {
        format!("{}{N}{id:?}{a}{b:?}", T::NAME)
    }

    #[tokio::test]
    async fn may_be_generic() {
        assert_eq!(sent(fields(&Page { number: 1, size: 2 }, (3, "x".to_owned()))).await, "12x");
        assert_eq!(sent(implementing(7_u32, "abc")).await, 10);
        assert_eq!(sent(parameters::<u8, 2>(4)).await.unwrap(), ["u84", "u84"]);
        assert_eq!(generic(async || 3_u8).await, Some(3));
        assert_eq!(sent(everything::<u8, 3>(Some(1), ("a", [1, 2]))).await, "u83Some(1)a[1, 2]");
    }

    /// Can be sent to another thread, but not shared with it.
    struct Unshared(Cell<u8>);

    impl KeyPart for Unshared {
        fn write(&self, out: &mut KeyWriter<'_>) {
            self.0.get().write(out);
        }
    }

    #[cached(ttl = "1m", key = "macros.unshared:{id}")]
    async fn unshared(id: Unshared) -> u8 {
        tokio::task::yield_now().await;
        id.0.get()
    }

    #[invalidates(key = "macros.unshared:{id}")]
    async fn change_unshared(id: Unshared) -> u8 {
        tokio::task::yield_now().await;
        id.0.get()
    }

    #[tokio::test]
    async fn need_not_be_shared() {
        assert_eq!(sent(unshared(Unshared(Cell::new(1)))).await, 1);
        assert_eq!(sent(change_unshared(Unshared(Cell::new(2)))).await, 2);
    }

    #[cached(ttl = "1m", key = "macros.transaction:{id}", skip(tx), in_transaction)]
    async fn in_transaction(tx: &mut Transaction<'_>, id: u8) -> u8 {
        tx.0.push(id);
        id
    }

    #[invalidates(key = "macros.transaction:{id}", in_transaction)]
    async fn change_in_transaction(tx: &mut Transaction<'_>, id: u8) {
        tx.0.push(id);
    }

    struct Transaction<'a>(&'a mut Vec<u8>);

    #[tokio::test]
    async fn may_be_transactions_that_are_declared() {
        let mut rows = Vec::new();
        let mut tx = Transaction(&mut rows);
        sent(in_transaction(&mut tx, 1)).await;
        sent(change_in_transaction(&mut tx, 2)).await;
        assert_eq!(rows, [1, 2]);
    }
}

mod methods {
    use super::*;

    struct Shop {
        cache: Cache,
        shared: Arc<Cache>,
        tenant: String,
        limits: (Duration, u8),
        runs: Runs,
        seen: Vec<u64>,
    }

    impl Shop {
        fn new() -> Self {
            Self {
                cache: Cache::memory(),
                shared: Arc::new(Cache::memory()),
                tenant: "t".to_owned(),
                limits: (Duration::from_secs(5), 3),
                runs: Runs::new(),
                seen: Vec::new(),
            }
        }

        #[cached(ttl = "5m", key = "methods.user:{id}:{self.limits.1}", tags = ["methods", "tenant:{self.tenant}"])]
        async fn borrowing(&self, id: u64) -> Result<String, io::Error> {
            self.runs.add();
            Ok(format!("{}{id}", self.tenant))
        }

        #[cached(ttl = self.limits.0, jitter = 0, cache = self.cache)]
        async fn with_cache(&self, id: u64) -> u64 {
            self.runs.add();
            id
        }

        #[cached(ttl = Self::ttl(), jitter = 0.5, cache = self.shared, key = "{self.tenant}:{id}")]
        async fn with_shared_cache(&self, id: u64) -> u64 {
            id
        }

        #[cached(ttl = "1m", key = "{{{id}}}", cache = &self.cache)]
        async fn with_borrowed_cache(&self, id: u64) -> u64 {
            id
        }

        #[cached(ttl = |seconds| Duration::from_secs(*seconds), cache = Cache::memory())]
        async fn with_lifetime_of_value(&self) -> Result<Option<u64>, io::Error> {
            Ok(Some(9))
        }

        #[cached(ttl = move |_| self.limits.0)]
        async fn with_capturing_lifetime(&self) -> u64 {
            8
        }

        #[invalidates(key = "methods.user:{id}", tags = ["tenant:{self.tenant}"], hold_off = self.limits.0, cache = self.cache)]
        async fn changing(&mut self, id: u64) -> Result<(), io::Error> {
            self.runs.add();
            self.seen.push(id);
            self.tenant.clear();
            Ok(())
        }

        #[cached(ttl = "1m", key = "methods.mut:{id}")]
        async fn loading(&mut self, id: u64) -> usize {
            self.seen.push(id);
            self.seen.len()
        }

        #[cached(ttl = "1m", key = "methods.owned:{self.tenant}")]
        async fn owning(self) -> String {
            self.tenant
        }

        #[cached(ttl = "1m", key = "methods.mut-owned:{self.tenant}")]
        async fn owning_mutably(mut self) -> String {
            self.tenant.push('!');
            self.tenant
        }

        #[cached(ttl = "1m", key = "methods.arc:{self.tenant}")]
        async fn sharing(self: Arc<Self>) -> String {
            tokio::task::yield_now().await;
            self.tenant.clone()
        }

        #[cached(ttl = "1m", key = "methods.pin:{self.tenant}:{id}")]
        async fn pinned(mut self: Pin<&mut Self>, id: u64) -> usize {
            self.as_mut().get_mut().seen.push(id);
            self.seen.len()
        }

        #[cached(ttl = "1m")]
        async fn associated(id: u64) -> Option<Config> {
            Self::config(id)
        }

        fn config(id: u64) -> Option<Config> {
            Some(Config { id })
        }

        fn ttl() -> Duration {
            Duration::from_secs(1)
        }
    }

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Config {
        id: u64,
    }

    impl Config {
        #[cached(ttl = "1m")]
        async fn load(id: u64) -> Result<Self, ()> {
            Ok(Self { id })
        }

        #[cached(ttl = "1m", key = "methods.twice:{self.id}")]
        async fn twice(&self) -> Self {
            Self { id: self.id * 2 }
        }
    }

    #[tokio::test]
    async fn take_self_in_every_form() {
        let mut shop = Shop::new();
        assert_eq!(sent(shop.borrowing(1)).await.unwrap(), "t1");
        assert_eq!(shop.runs.take(), 1);
        assert_eq!(sent(shop.loading(5)).await, 1);
        assert_eq!(sent(Pin::new(&mut shop).pinned(6)).await, 2);
        sent(shop.changing(7)).await.unwrap();
        assert_eq!(shop.runs.take(), 1);
        assert_eq!((shop.seen.len(), shop.tenant.as_str()), (3, ""));
        assert_eq!(sent(Arc::new(Shop::new()).sharing()).await, "t");
        assert_eq!(sent(Shop::new().owning()).await, "t");
        assert_eq!(sent(Shop::new().owning_mutably()).await, "t!");
    }

    #[tokio::test]
    async fn take_any_cache_and_lifetime() {
        let shop = Shop::new();
        assert_eq!(sent(shop.with_cache(1)).await, 1);
        assert_eq!(shop.runs.take(), 1);
        assert_eq!(sent(shop.with_shared_cache(2)).await, 2);
        assert_eq!(sent(shop.with_borrowed_cache(3)).await, 3);
        assert_eq!(sent(shop.with_lifetime_of_value()).await.unwrap(), Some(9));
        assert_eq!(sent(shop.with_capturing_lifetime()).await, 8);
    }

    #[tokio::test]
    async fn may_name_their_type() {
        assert_eq!(sent(Shop::associated(4)).await, Some(Config { id: 4 }));
        assert_eq!(sent(Config::load(5)).await, Ok(Config { id: 5 }));
        assert_eq!(sent(Config { id: 3 }.twice()).await, Config { id: 6 });
    }
}

mod traits {
    use super::*;

    trait Users {
        fn factor(&self) -> u64;

        async fn user(&self, id: u64) -> u64;

        #[cached(ttl = "1m")]
        async fn provided(&self, id: u64) -> u64 {
            id * self.factor()
        }
    }

    struct Wrapper<T>(PhantomData<T>, Runs);

    impl<T> Users for Wrapper<T> {
        fn factor(&self) -> u64 {
            3
        }

        #[cached(ttl = "1m")]
        async fn user(&self, id: u64) -> u64 {
            self.1.add();
            id * self.factor()
        }
    }

    trait Sends {
        fn sends(&self, id: u64) -> impl Future<Output = u64> + Send;
    }

    impl Sends for Wrapper<u8> {
        #[cached(ttl = "1m", key = "sends:{id}")]
        async fn sends(&self, id: u64) -> u64 {
            id
        }
    }

    #[tokio::test]
    async fn may_hold_the_function() {
        let wrapper = Wrapper(PhantomData::<u8>, Runs::new());
        assert_eq!(sent(wrapper.user(2)).await, 6);
        assert_eq!(wrapper.1.take(), 1);
        assert_eq!(wrapper.provided(4).await, 12);
        assert_eq!(sent(wrapper.sends(5)).await, 5);
    }
}

mod under_async_trait {
    use super::*;

    #[async_trait]
    trait Users: Send + Sync {
        async fn user(&self, id: u64) -> Result<String, io::Error>;

        async fn rename(&mut self, id: u64, name: &str) -> Result<(), io::Error>;

        async fn patterns(&self, pair: (u64, String), ignored: u8, text: String) -> u64;

        async fn shared(self: Arc<Self>, id: u64) -> u64;

        async fn nothing(&self);

        async fn generic<T: KeyPart + Send + Sync + 'static>(&self, value: T) -> bool
        where
            Self: Sized;

        #[cached(ttl = "1m", key = "async_trait.provided:{id}")]
        async fn provided(&self, id: u64) -> u64 {
            id + 1
        }
    }

    #[derive(Default)]
    struct Shop {
        tenant: String,
        names: Vec<String>,
        runs: Runs,
    }

    #[async_trait]
    impl Users for Shop {
        #[cached(ttl = "5m", key = "async_trait:{self.tenant}:{id}")]
        async fn user(&self, id: u64) -> Result<String, io::Error> {
            self.runs.add();
            if id == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(format!("user {id}"))
        }

        #[invalidates(key = "async_trait:{self.tenant}:{id}")]
        #[invalidates(tags = ["named:{name}"])]
        async fn rename(&mut self, id: u64, name: &str) -> Result<(), io::Error> {
            self.runs.add();
            self.names.push(format!("{id}{name}"));
            Ok(())
        }

        #[cached(ttl = "1m", key = "async_trait.patterns:{a}:{b}:{text}")]
        async fn patterns(&self, (a, ref b): (u64, String), _: u8, mut text: String) -> u64 {
            text.push('!');
            a + b.len() as u64 + text.len() as u64
        }

        #[cached(ttl = "1m")]
        async fn shared(self: Arc<Self>, id: u64) -> u64 {
            id
        }

        #[invalidates(tags = ["async_trait"])]
        async fn nothing(&self) {
            self.runs.add();
        }

        #[cached(ttl = "1m")]
        async fn generic<T: KeyPart + Send + Sync + 'static>(&self, value: T) -> bool {
            drop(value);
            true
        }
    }

    #[async_trait]
    trait Composed {
        async fn composed(&self, pair: (u64, u64), ignored: u8) -> Option<u64>;

        async fn instrumented_above(&self, id: u64) -> io::Result<u64>;

        async fn instrumented_below(&self, id: u64) -> io::Result<u64>;
    }

    #[async_trait]
    impl Composed for Shop {
        #[invalidates(tags = ["composed:{a}"])]
        #[invalidates(tags = ["composed:{b}"])]
        async fn composed(&self, (a, mut b): (u64, u64), _: u8) -> Option<u64> {
            b += 1;
            let b = Some(b).filter(|b| *b > 0)?;
            Some(a + b)
        }

        #[tracing::instrument(skip_all)]
        #[cached(ttl = "1m", key = "async_trait.instrumented_above:{id}")]
        async fn instrumented_above(&self, id: u64) -> io::Result<u64> {
            Ok(id)
        }

        #[cached(ttl = "1m", key = "async_trait.instrumented_below:{id}")]
        #[tracing::instrument(skip_all)]
        async fn instrumented_below(&self, id: u64) -> io::Result<u64> {
            Ok(id)
        }
    }

    #[tokio::test]
    async fn methods_compose() {
        let shop = Shop::default();
        assert_eq!(sent(shop.composed((1, 2), 0)).await, Some(4));
        assert_eq!(sent(shop.instrumented_above(1)).await.unwrap(), 1);
        assert_eq!(sent(shop.instrumented_below(2)).await.unwrap(), 2);
    }

    #[async_trait(?Send)]
    trait Local {
        async fn local(&self, id: std::rc::Rc<u64>) -> u64;
    }

    #[async_trait(?Send)]
    impl Local for Shop {
        #[cached(ttl = "1m", key = "async_trait.local:{id}")]
        async fn local(&self, id: std::rc::Rc<u64>) -> u64 {
            tokio::task::yield_now().await;
            *id
        }
    }

    #[tokio::test]
    async fn methods_are_wrapped_inside_the_box() {
        let mut shop: Box<dyn Users> = Box::new(Shop::default());
        assert_eq!(sent(shop.user(1)).await.unwrap(), "user 1");
        assert!(sent(shop.user(0)).await.is_err());
        assert_eq!(sent(shop.patterns((1, "ab".to_owned()), 9, "xyz".to_owned())).await, 7);
        assert_eq!(sent(shop.provided(1)).await, 2);
        sent(shop.rename(1, "ada")).await.unwrap();
        sent(shop.nothing()).await;
    }

    #[tokio::test]
    async fn methods_run_once() {
        let mut shop = Shop::default();
        shop.user(2).await.unwrap();
        assert_eq!(shop.runs.take(), 1);
        shop.rename(2, "ada").await.unwrap();
        assert_eq!((shop.runs.take(), shop.names.len()), (1, 1));
        assert!(shop.generic(3_u8).await);
        assert_eq!(shop.local(std::rc::Rc::new(4)).await, 4);
        assert_eq!(Arc::new(shop).shared(5).await, 5);
    }
}

mod outcomes {
    use super::*;

    type Fetched<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

    trait Shape: Send {
        fn sides(&self) -> u8;
    }

    struct Square;

    impl Shape for Square {
        fn sides(&self) -> u8 {
            4
        }
    }

    #[cached(ttl = "1m")]
    async fn aliased(text: &str) -> Fetched<u64> {
        if text.is_empty() {
            return Err("empty".into());
        }
        let number: i64 = text.parse()?;
        Ok(number.try_into()?)
    }

    #[cached(ttl = "1m")]
    async fn aliased_by_a_library(text: &str) -> io::Result<Option<Vec<u8>>> {
        match text {
            "" => Ok(None),
            text => Ok(Some(text.bytes().collect())),
        }
    }

    #[cached(ttl = "1m")]
    async fn optional(text: &str) -> Option<u64> {
        let first = text.chars().next()?;
        first.to_digit(10).map(Into::into)
    }

    #[cached(ttl = "1m", key = "outcomes.nothing")]
    async fn nothing() {}

    #[cached(ttl = "1m", key = "outcomes.unit")]
    async fn unit() -> () {
        return;
    }

    #[cached(ttl = "1m", key = "outcomes.collected:{n}")]
    async fn collected(n: u8) -> Vec<u8> {
        (0..n).collect()
    }

    #[cached(ttl = "1m", key = "outcomes.never")]
    async fn unfinished() -> Result<u8, io::Error> {
        std::future::pending().await
    }

    #[cached(ttl = "1m", key = "outcomes.diverging")]
    #[allow(unused)]
    async fn diverging() -> Result<u8, io::Error> {
        panic!("on purpose")
    }

    #[invalidates(tags = ["shapes"])]
    async fn coerced(square: bool) -> Result<Box<dyn Shape>, ()> {
        if square {
            return Ok(Box::new(Square));
        }
        Err(())
    }

    #[invalidates(tags = ["shapes"])]
    async fn unnamed(n: u8) -> impl Iterator<Item = u8> {
        0..n
    }

    #[tokio::test]
    async fn are_those_of_the_type() {
        assert_eq!(sent(aliased("7")).await.unwrap(), 7);
        assert_eq!(aliased("").await.unwrap_err().to_string(), "empty");
        assert!(aliased("-7").await.is_err());
        assert_eq!(sent(aliased_by_a_library("a")).await.unwrap(), Some(vec![b'a']));
        assert_eq!(aliased_by_a_library("").await.unwrap(), None);
        assert_eq!((sent(optional("7")).await, optional("").await), (Some(7), None));
        assert_eq!(sent(collected(2)).await, [0, 1]);
        sent(nothing()).await;
        sent(unit()).await;
        drop(sent(unfinished()));
        assert_eq!(sent(coerced(true)).await.unwrap().sides(), 4);
        assert_eq!(sent(unnamed(2)).await.count(), 2);
    }
}

mod other_attributes {
    use super::*;

    static RUNS: Runs = Runs::new();

    #[cached(ttl = "1m", key = "instrumented.below:{id}")]
    #[tracing::instrument(skip(id))]
    async fn instrumented_below(id: u64) -> Result<u64, io::Error> {
        Ok(id)
    }

    #[tracing::instrument(skip(id))]
    #[cached(ttl = "1m", key = "instrumented.above:{id}")]
    async fn instrumented_above(id: u64) -> Result<u64, io::Error> {
        Ok(id)
    }

    #[invalidates(key = "a:{id}")]
    #[invalidates(key = "b:{id}", tags = ["c"], mode = linearizable)]
    #[cfg_attr(all(), invalidates(tags = ["d:{id}"], mode = guarded))]
    async fn several(id: String) -> Result<String, ()> {
        RUNS.add();
        Ok(id)
    }

    #[tokio::test]
    async fn compose() {
        assert_eq!(sent(instrumented_below(1)).await.unwrap(), 1);
        assert_eq!(sent(instrumented_above(2)).await.unwrap(), 2);
        assert_eq!(sent(several("x".to_owned())).await.unwrap(), "x");
        assert_eq!(RUNS.take(), 1);
    }
}

mod renamed {
    use super::*;

    mod facade {
        pub use cache_runtime as runtime;
    }

    #[cached(ttl = "1m", crate = facade::runtime)]
    async fn cached_through_a_facade<T>(id: u64) -> Option<u64> {
        Some(id)
    }

    #[invalidates(tags = ["x"], mode = after, crate = facade::runtime)]
    async fn invalidates_through_a_facade(id: u64) -> Option<u64> {
        Some(id)
    }

    #[tokio::test]
    async fn runtime_is_found() {
        assert_eq!(sent(cached_through_a_facade::<u8>(1)).await, Some(1));
        assert_eq!(sent(invalidates_through_a_facade(2)).await, Some(2));
    }
}

mod generated {
    use super::*;

    macro_rules! plain {
        ($visibility:vis fn $name:ident($argument:ident: $type:ty) -> $returned:ty $body:block, $ttl:expr, $key:literal, $tag:expr) => {
            #[cached(ttl = $ttl, key = $key, tags = [$tag])]
            $visibility async fn $name($argument: $type) -> $returned $body
        };
    }

    plain!(
        pub(crate) fn captured(id: &u64) -> io::Result<u64> {
            let id = *id;
            Ok(id)
        },
        "1m",
        "generated:{id}",
        "generated"
    );

    macro_rules! hygienic {
        ($name:ident) => {
            #[cached(ttl = "1m", key = "generated:{id}:{other.0}", skip(other))]
            async fn $name(id: u64, other: (u64, u8)) -> u64 {
                id + other.0
            }

            impl Hygienic {
                #[cached(ttl = "1m", key = "{self.0}:{id}", cache = Cache::memory())]
                async fn $name(&self, id: u64) -> u64 {
                    id + self.0
                }

                #[invalidates(key = "{self.0}:{id}")]
                async fn changed(&mut self, id: u64) {
                    self.0 = id;
                }
            }
        };
    }

    struct Hygienic(u64);

    hygienic!(sum);

    macro_rules! mixed {
        ($id:ident) => {
            #[cached(ttl = "1m")]
            async fn mixed($id: u64, id: u64) -> u64 {
                $id * 10 + id
            }
        };
    }

    mixed!(other);

    #[tokio::test]
    async fn functions_work_like_written_ones() {
        assert_eq!(sent(captured(&1)).await.unwrap(), 1);
        assert_eq!(sent(sum(1, (2, 3))).await, 3);
        let mut hygienic = Hygienic(4);
        assert_eq!(sent(hygienic.sum(1)).await, 5);
        sent(hygienic.changed(9)).await;
        assert_eq!(hygienic.0, 9);
        assert_eq!(sent(mixed(1, 2)).await, 12);
    }
}

mod further_shapes {
    use super::*;

    struct Repository<T> {
        value: T,
        loads: Runs,
    }

    impl<T> Repository<T>
    where
        T: Clone + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        #[cached(ttl = "1m", cache = Cache::memory())]
        async fn get(&self, id: u64) -> Result<T, io::Error>
        where
            T: Sized,
        {
            self.loads.add();
            let _ = id;
            Ok(self.value.clone())
        }

        #[cached(ttl = "1m", key = "further.boxed:{id}")]
        async fn boxed(mut self: Box<Self>, id: u64) -> T {
            self.loads = Runs::new();
            self.value
        }

        #[cached(ttl = "1m", key = "further.shared:{id}")]
        async fn shared(self: &Arc<Self>, id: u64) -> Vec<T> {
            vec![self.value.clone(), Self::clone_of(self)]
        }

        #[cached(ttl = "1m", key = "further.by-hand:{id}")]
        fn by_hand(&self, id: u64) -> Pin<Box<dyn Future<Output = Option<T>> + Send + '_>> {
            Box::pin(async move {
                let first = Some(self.value.clone())?;
                Some(first)
            })
        }

        #[cached(ttl = "1m")]
        async fn depth(&self, name: &str, left: u64) -> Result<u64, io::Error> {
            if left == 0 {
                return Ok(0);
            }
            Ok(1 + Box::pin(self.depth(name, left - 1)).await?)
        }

        fn clone_of(this: &Self) -> T {
            this.value.clone()
        }
    }

    #[tokio::test]
    async fn of_a_generic_type() {
        let repository = Repository { value: 7_u64, loads: Runs::new() };
        assert_eq!(sent(repository.get(1)).await.unwrap(), 7);
        assert_eq!(repository.loads.take(), 1);
        assert_eq!(sent(repository.by_hand(1)).await, Some(7));
        assert_eq!(sent(repository.depth("x", 3)).await.unwrap(), 3);
        let repository = Arc::new(repository);
        assert_eq!(sent(repository.shared(1)).await, [7, 7]);
        assert_eq!(sent(Box::new(Repository { value: 8_u64, loads: Runs::new() }).boxed(1)).await, 8);
    }

    trait Provides: Sync {
        fn id(&self) -> u64;

        #[cached(ttl = "1m")]
        async fn depth(&self, left: u64) -> u64
        where
            Self: Sized,
        {
            left + self.id()
        }

        #[invalidates(key = "further.provided:{id}")]
        async fn change(&mut self, id: u64) -> u64 {
            match id {
                0 => return 1,
                id => id + self.id(),
            }
        }
    }

    impl Provides for u64 {
        fn id(&self) -> u64 {
            *self
        }
    }

    #[async_trait]
    trait Objects: Send + Sync {
        #[cached(ttl = "1m")]
        async fn described<'a>(&self, name: &'a str, &(a, b): &(u8, u8)) -> Result<String, Cow<'a, str>> {
            if name.is_empty() {
                return Err(name.into());
            }
            Ok(format!("{name}{a}{b}"))
        }
    }

    impl Objects for u8 {}

    #[tokio::test]
    async fn provided_by_a_trait() {
        assert_eq!(1_u64.depth(4).await, 5);
        assert_eq!((1_u64.change(0).await, 1_u64.change(2).await), (1, 3));
        let object: &dyn Objects = &0_u8;
        assert_eq!(sent(object.described("x", &(1, 2))).await.unwrap(), "x12");
        assert!(object.described("", &(1, 2)).await.is_err());
    }

    #[invalidates(tags = ["further"])]
    async fn ends_in_a_macro(values: &[u8]) {
        assert!(values.is_empty())
    }

    #[invalidates(tags = ["further"])]
    async fn ends_in_a_block(values: &mut Vec<u8>) {
        if values.is_empty() {
            values.push(1)
        } else {
            return;
        }
    }

    #[invalidates(tags = ["further"])]
    async fn yields_no_name(n: u8) -> Result<impl Iterator<Item = u8>, std::num::ParseIntError> {
        let n: u8 = n.to_string().parse()?;
        Ok(0..n)
    }

    #[cached(ttl = "1m", key = "further.nested:{id}")]
    async fn nested_returns(id: u64) -> Result<String, Box<dyn std::error::Error>> {
        let inner = async move {
            if id > 1 {
                return Ok::<_, io::Error>(1);
            }
            Ok(2)
        };
        let closure = |text: &str| -> Option<u64> { text.parse().ok() };
        let value = 'label: {
            if closure("x").is_none() {
                break 'label inner.await?;
            }
            3
        };
        struct Local;
        impl Local {
            fn new() -> Self {
                Self
            }
        }
        let Local = Local::new();
        Ok(value.to_string())
    }

    #[tokio::test]
    async fn with_any_body() {
        let mut values = Vec::new();
        sent(ends_in_a_macro(&values)).await;
        sent(ends_in_a_block(&mut values)).await;
        assert_eq!(values, [1]);
        assert_eq!(sent(yields_no_name(2)).await.unwrap().count(), 2);
        assert_eq!(nested_returns(2).await.unwrap(), "1");
    }

    #[tokio::test]
    async fn inside_of_a_function() {
        #[cached(ttl = "1m")]
        async fn local(id: u64) -> u64 {
            id
        }
        assert_eq!(sent(local(3)).await, 3);
    }
}
