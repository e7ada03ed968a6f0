//! The `#[cached]` and `#[invalidates]` attributes of `cache-runtime`, and its `#[derive(KeyPart)]`.
//!
//! Depend on `cache-runtime`, which re-exports them; what they print speaks to that very version of it.
//!
//! An attribute is read in three steps:
//!
//! 1. `args` turns the attribute's tokens into spanned values;
//! 2. `attribute` joins them with the `function` they sit on and its `arguments`, and rejects whatever cannot work;
//! 3. `expand` prints the result. It cannot fail.
//!
//! Mistakes are collected in `errors` and reported in one build, beside the function as it was written.

mod args;
mod arguments;
mod attribute;
mod boxed;
mod duration;
mod errors;
mod expand;
mod foreign;
mod function;
mod handle;
mod key_part;
mod parts;
mod serving;
mod spec;
mod spelling;
mod suggest;
mod template;

use proc_macro::TokenStream;

use crate::attribute::Cached;
use crate::attribute::Invalidates;
use crate::key_part::KeyPart;

/// Runs an `async fn` only when its result is not stored yet.
///
/// It goes on free functions, methods with any receiver, methods in trait implementations, provided methods of traits, and methods under
/// `#[async_trait]`. The function keeps its signature, its other attributes and its documentation, and its future stays `Send` where it was.
///
/// Of a `Result` only `Ok` is stored, of an `Option` only `Some`, of a `Result<Option<_>, _>` only `Ok(Some(_))`, and any other type whole. With `negative_ttl`,
/// `None` is stored too. An `Err` further in, as of an `Option<Result<_, _>>`, is part of the value.
/// The type decides and not its spelling: `io::Result<T>` and aliases of your own behave as what they name. What is stored must be
/// `Cacheable`: `Serialize + DeserializeOwned + Clone + Send + Sync + 'static`.
///
/// # Arguments
///
/// Each is the same as writing a call of the public builder, which is what the attribute expands to.
///
/// | argument | what it does | is the same as writing | default |
/// |---|---|---|---|
/// | `ttl = "5m"` | how long a value lives; `"250ms"`, `"1h 30m"`, `"2d"` | `Site::ttl(Duration::from_secs(300))` | required |
/// | `ttl = self.ttl` | the same, by any expression of type `Duration` | `.ttl(self.ttl)` | |
/// | <code>ttl = \|token\| token.expires_in()</code> | the same, by the stored value | <code>.ttl_with(\|token\| token.expires_in())</code> | |
/// | `key = "user:{id}"` | what tells one call from another | `Site::key("user:{id}")` and `.key(&[&id])` | every argument not skipped, under the function's name: `.of::<Self>()` in a method, and `.key(&[…])` |
/// | `skip(db, ctx)` | arguments that do not tell calls apart | leaving them out of `.key(…)` | none |
/// | `tags = ["users", "tenant:{tenant}"]` | names that many entries share, for `#[invalidates]` | `Site::tags(&[…])` and `.tags(&[&tenant])` | none |
/// | `jitter = 0.1` | spreads the time-to-live by up to this share, so that entries do not end together | `.jitter(0.1)` | the builder's |
/// | `allow_stale` | tells the catalog's audit that nobody is expected to invalidate this | `Site::allow_stale()` | off |
/// | `negative_ttl = "30s"` | how long `None` lives; for functions that return `Option<T>` or `Result<Option<T>, E>` | `.negative_ttl(Duration::from_secs(30))` | `None` is not stored |
/// | `negative = DbError::NotFound` | which errors are stored for the `negative_ttl`, by a pattern or a closure; the error must be `Cacheable` too | <code>.negative(\|error\| matches!(error, DbError::NotFound), ttl)</code> | none |
/// | `stale_while_revalidate = "30s"` | for how long past its time a value is served while one caller refreshes it | `.stale_while_revalidate(…)` | off |
/// | `stale_if_error = "10m"` | for how long past its time a value is served where its load fails | `.stale_if_error(…)` | off |
/// | `even_invalidated` | lets `stale_if_error` serve what was invalidated by a tag | `.even_invalidated()` | off |
/// | `soft_timeout = "200ms"` | after how long a caller is given what `stale_if_error` keeps, while the load goes on | `.soft_timeout(…)` | off |
/// | `early_refresh = true` | refreshes before the time-to-live is up, by XFetch behind the lease; a number is its beta | `.early_refresh(1.0)` | off |
/// | `refresh_inline` | refreshes before the call returns. Otherwise it does so beside the call where the signature has no reference, no lifetime and no type parameter, and the future has to be `Send` | `.get_or_load(…)` instead of `.get_or_load_owned(…)` | off |
/// | `time_to_idle = "30m"` | drops what nobody has read for so long | `.time_to_idle(…)` | off |
/// | `max_loads = 16` | how many loads of this function run at once in a process | `.max_loads(16)` | the cache's bound alone |
/// | `overload = reject` | a call that finds no place among the loads fails; the error must be `From<cache_runtime::Error>` | `.reject_overload()` | it loads |
/// | `when = !fresh` | whether this call uses the cache at all, by any expression over the arguments; if not, nothing is stored either, so to load anew and store use [`refresh`](#handles) of the handle | `.when(!fresh)` | always |
/// | <code>unless = \|user\| user.is_draft()</code> | which values are not stored, by the stored type | <code>.unless(\|user\| user.is_draft())</code> | none |
/// | `version = 2` | the version of the stored type: entries of another one are misses | `Site::version(2)` | `0` |
/// | `name = "users.get"` | the name in statistics, and in the key if there is no `key`, instead of module and function | `Site::named("users.get")` | module path and function |
/// | `handle = user_entry` | puts a function of that name beside this one, see [below](#handles) | `.handle()` | none |
/// | `cache = self.cache` | which cache; a `Cache`, a reference or an `Arc` | `self.cache.entry(…)` | `global()` |
/// | `in_transaction` | accepts a parameter named like a transaction | `.in_transaction()` | off |
/// | `crate = facade::runtime` | where the runtime is re-exported | `facade::runtime::…` | `::cache_runtime` |
///
/// # Templates
///
/// A template is text with placeholders: an argument, `self`, or a field of either, as in `{id}`, `{page.size}`, `{pair.0}` or
/// `{self.tenant}`. `{T}` is the name of a type parameter, `{Self}` that of the type a method belongs to, `{N}` the value of a const parameter. `{{` and `}}` are braces. What fills a placeholder is
/// a `KeyPart`, and is escaped, so no value can imitate the text around it. Other types say how they are written: `{filter:json}` is a hash of whatever
/// serializes (`&json_part(&filter)` in the builder), `{locale:display}` is what prints (`&display_part(&locale)`), and `{mail:hash}` hides a `KeyPart` behind
/// a hash with the cache's secret (`&hash_part(&mail)`). Between two placeholders stands at least one character that
/// no part can hold, such as `:` or `/`.
///
/// **Every argument is in the key or in `skip`**, type and const parameters included. One that was forgotten would hand one
/// caller another's value, so it is a compile error. `{page.size}` alone does not cover `page`: say `skip(page)` too when its size is all that counts. `self`
/// is exempt: two instances share their entries unless the key says, for instance, `{self.tenant}`. So is an argument bound to `_`. A `&mut` argument belongs into
/// `skip`: a hit leaves it as it was.
///
/// A key that is given is global in its cache: whoever writes `user:7` means the same entry.
///
/// # Handles
///
/// `handle = user_entry` adds a function that takes, by reference, the arguments that key and tags name, and returns a `Handle` of what the annotated one returns: the entry
/// of such a call, to be looked at, replaced or invalidated, also by `entries` of [`macro@invalidates`]. It takes `&self` if key, tags, `ttl` or `cache` name `self`, and a `String` as `&str`. In
/// those, arguments are references then, and closures borrow nothing. `when` is not part of it. In an `impl`, where neither the signature nor the body says `self` or `Self`, write
/// `handle = Self::user_entry`. An implementation of a trait has no room for it.
///
/// # Transactions
///
/// A function that takes a transaction may read what is never committed. A parameter whose type has a name that ends in
/// `Transaction` is therefore a compile error, unless the attribute says `in_transaction`.
///
/// # Examples
///
/// ```
/// use cache_runtime::cached;
/// # use std::io;
/// # #[derive(Clone, Copy)]
/// # struct Db;
/// # impl Db {
/// #     async fn name(&self, id: u64) -> io::Result<String> { Ok(format!("user {id}")) }
/// #     async fn names(&self, from: u64, to: u64) -> io::Result<Vec<String>> { Ok((from..to).map(|id| format!("user {id}")).collect()) }
/// # }
///
/// struct Users {
///     db: Db,
///     tenant: String,
/// }
///
/// impl Users {
///     #[cached(ttl = "5m", key = "user:{self.tenant}:{id}", tags = ["users", "tenant:{self.tenant}"])]
///     async fn name(&self, id: u64) -> io::Result<String> {
///         self.db.name(id).await
///     }
/// }
///
/// // Without a key, every argument that is not skipped tells calls apart.
/// #[cached(ttl = "30s", skip(db))]
/// async fn names(db: Db, from: u64, to: u64) -> io::Result<Vec<String>> {
///     db.names(from, to).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let users = Users { db: Db, tenant: "acme".to_owned() };
/// assert_eq!(users.name(7).await?, "user 7");
/// assert_eq!(names(Db, 1, 3).await?, ["user 1", "user 2"]);
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn cached(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    match Cached::parse(args.into(), proc_macro2::TokenStream::clone(&item)) {
        Ok(cached) => expand::cached(&cached).into(),
        Err(error) => errors::beside(&error, &item).into(),
    }
}

/// Makes entries stale whenever an `async fn` has run.
///
/// It goes wherever [`macro@cached`] does, names keys and tags in the same templates, and can be repeated. Parts are rendered before the body runs, but for those
/// of `{result}`.
/// Every end of the body invalidates: a value, an error (a commit may time out and yet happen), a panic, and a future that is dropped
/// half-way. The function returns what its body does.
///
/// # Arguments
///
/// Each is the same as writing a call of the public builder, which is what the attribute expands to. At least one of `key`, `keys`,
/// `tags` and `entries` is required.
///
/// | argument | what it does | is the same as writing | default |
/// |---|---|---|---|
/// | `key = "user:{id}"` | invalidates one entry | `Site::keys(&["user:{id}"])` and `.keys(&[&id])` | none |
/// | `keys = ["user:{id}", "profile:{id}"]` | invalidates several; may stand beside `key` | `Site::keys(&[…])` and `.keys(&[&id, &id])` | none |
/// | `tags = ["users"]` | invalidates every entry that has one of them | `Site::tags(&["users"])`, and `.tags(&[…])` if there are placeholders | none |
/// | `entries = [user_entry(&id)]` | invalidates entries by their handles, each in its own cache; evaluated before the body, by its arguments and not by `result` | `.entries(&[&user_entry(&id)])` | none |
/// | `key = "order:{result.id}"` | the same, read from the value of a success: of a `Result` what is in `Ok`, of an `Option` what is in `Some`; always after the body, whatever the mode, and left out where there is no value | <code>.returning(returns::&lt;R&gt;().kind()).result(\|result, names\| names.keys(&[&result.id]))</code> | |
/// | `mode = linearizable` | what readers may do while the body runs: `guarded`, `linearizable` or `after` | `Site::mode(Mode::Linearizable)` | `guarded` |
/// | `hold_off = "60s"` | the longest that entries stay guarded; a literal or any expression of type `Duration` | `.hold_off(Duration::from_secs(60))` | the builder's |
/// | `grace = "2s"` | how long nothing of it is stored after the body has ended, so that what is read from a database replica that lags is not; a literal or any expression of type `Duration` | `.grace(Duration::from_secs(2))` | none |
/// | `on_unreachable = reject` | `reject` fails before the body if the cache cannot be told of the mutation, and needs `Result<T, E>` with `E: From<cache_runtime::Error>`; `proceed` runs it, and delivers the invalidation when that is possible. Not in mode `after` | `.reject_unreachable()` | `proceed` |
/// | <code>when = \|result\| result.changed</code> | invalidates only if the value of a success says so; in mode `after` alone. An error, a panic and a dropped future invalidate all the same, and so does `None` | <code>.returning(returns::&lt;R&gt;().kind()).when(\|result\| result.changed)</code> | always |
/// | `cache = self.cache` | which cache; a `Cache`, a reference or an `Arc` | `self.cache.invalidation(…)` | `global()` |
/// | `in_transaction` | accepts a parameter named like a transaction | `.in_transaction()` | off |
/// | `crate = facade::runtime` | where the runtime is re-exported | `facade::runtime::…` | `::cache_runtime` |
///
/// There are no wildcards: a key or tag that ends in `*` is a compile error. What is to go together has a tag.
///
/// # Transactions
///
/// A function that takes a transaction returns before the commit, and invalidates too early. A parameter whose type has a
/// name that ends in `Transaction` is therefore a compile error. Call a mutator outside of the transaction, once it has committed; or say `in_transaction` and
/// run the whole transaction in `defer_invalidations`, which invalidates after it.
///
/// # Examples
///
/// ```
/// use cache_runtime::cached;
/// use cache_runtime::invalidates;
/// # use std::collections::HashMap;
///
/// #[derive(Default)]
/// struct Users {
///     names: HashMap<u64, String>,
/// }
///
/// impl Users {
///     #[cached(ttl = "5m", key = "name:{id}", tags = ["names"])]
///     async fn name(&self, id: u64) -> Option<String> {
///         self.names.get(&id).cloned()
///     }
///
///     #[invalidates(key = "name:{id}")]
///     async fn rename(&mut self, id: u64, name: &str) {
///         self.names.insert(id, name.to_owned());
///     }
///
///     #[invalidates(tags = ["names"], mode = linearizable)]
///     async fn clear(&mut self) {
///         self.names.clear();
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut users = Users::default();
/// users.rename(7, "Ada").await;
/// assert_eq!(users.name(7).await.as_deref(), Some("Ada"));
/// users.rename(7, "Grace").await;
/// assert_eq!(users.name(7).await.as_deref(), Some("Grace"));
/// users.clear().await;
/// assert_eq!(users.name(7).await, None);
/// # }
/// ```
#[proc_macro_attribute]
pub fn invalidates(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    match Invalidates::parse(args.into(), proc_macro2::TokenStream::clone(&item)) {
        Ok(invalidates) => expand::invalidates(&invalidates).into(),
        Err(error) => errors::beside(&error, &item).into(),
    }
}

/// Writes a type of yours as a part of a key: `KeyPart`, so that two values that differ never share an entry.
///
/// It goes on structs and enums, with generics and lifetimes, if all their fields are `KeyPart`s; a field of type `PhantomData` does not count.
///
/// - A tuple struct of one field is written as that field: `UserId(7)` as `7`. One of more fields is written as the tuple of them.
/// - A struct with named fields is written as its names and fields, sorted by name: moving a field changes no key.
/// - A variant without fields is written as its name, `Open`, and any other as its name and its fields.
///
/// `#[key_part(crate = facade::cache_runtime)]` says where the runtime is re-exported.
///
/// # Examples
///
/// ```
/// use cache_runtime::{KeyPart, cached, key_part};
///
/// #[derive(Clone, Copy, KeyPart)]
/// struct UserId(u64);
///
/// #[derive(KeyPart)]
/// enum Status {
///     Open,
///     ClosedBy(UserId),
/// }
///
/// #[cached(ttl = "1m", key = "orders:{of}:{status}")]
/// async fn orders(of: UserId, status: Status) -> Vec<u64> {
///     Vec::new()
/// }
///
/// assert_eq!(key_part(&UserId(7)), "7");
/// assert_eq!(key_part(&Status::Open), "Open");
/// assert_ne!(key_part(&Status::ClosedBy(UserId(7))), key_part(&Status::ClosedBy(UserId(8))));
/// ```
#[proc_macro_derive(KeyPart, attributes(key_part))]
pub fn key_part(item: TokenStream) -> TokenStream {
    match KeyPart::parse(item.into()) {
        Ok(part) => part.expand().into(),
        Err(error) => error.to_compile_error().into(),
    }
}
