//! Prints what [`attribute`](crate::attribute) proved sound. It cannot fail.
//!
//! The output is code a user could have typed: public builders, absolute paths, the body untouched. Two rules of scope hold:
//!
//! - the `let` ends before the `.await`, so the parts borrowed for key and tags need not be `Send`;
//! - locals are hygienic and the `static` has a block of its own, so the body and the user's expressions see neither.

use proc_macro2::Ident;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use quote::quote;
use quote::quote_spanned;
use syn::Expr;
use syn::ExprCall;
use syn::Path;
use syn::ReturnType;
use syn::Type;
use syn::spanned::Spanned;

use crate::arguments::Kind;
use crate::attribute::Cached;
use crate::attribute::Invalidates;
use crate::attribute::Key;
use crate::attribute::Target;
use crate::attribute::Ttl;
use crate::duration::Time;
use crate::function::Function;
use crate::parts::Names;
use crate::parts::Part;
use crate::parts::Root;
use crate::spelling::spelled;

// #[cached(ttl = "5m", key = "user:{id}", tags = ["users"])]
// async fn user(&self, id: UserId) -> Result<User, DbError> { BODY }
//
// becomes
//
// async fn user(&self, id: UserId) -> Result<User, DbError> {
//     let entry = {
//         static SITE: Site = Site::cached(module_path!(), "user").key("user:{id}").tags(&["users"])
//             .value("User").ttl(Duration::from_secs(300));
//         register!(SITE);
//         global().entry(&SITE, returns::<Result<User, DbError>>().kind())
//     }
//     .key(&[&id]);
//     let load = async move { EDGE BODY };
//     entry.get_or_load_here(load).await
// }
pub(crate) fn cached(cached: &Cached) -> TokenStream {
    let Cached { function, when, handle, target, .. } = cached;
    let sentence = cached.sentence();
    let when = when.as_ref().map(|when| quote!(.when(#when)));
    let Some(handle) = handle else {
        return function.wrap(cached.run(), &quote!(#sentence #when), &target.runtime);
    };
    let (call, kind, kinds) = (handle.call(), cached.kind(), cached.kinds());
    let function_on_handle = function.wrap(cached.run(), &quote!(#call.entry(#kind) #kinds #when), &target.runtime);
    let beside = handle.print(function, &target.runtime, &sentence);
    quote!(#function_on_handle #beside)
}

impl Cached {
    /// What the builder is told of an entry, whoever asks for it.
    fn sentence(&self) -> TokenStream {
        let Self { function, key, tags, ttl, target, .. } = self;
        let runtime = &target.runtime;
        let kind = self.kind();
        let start = target.start("entry", &self.site(), &quote!(, #kind));
        let key = key.steps(function, runtime);
        let tags = parts("tags", &tags.parts, runtime);
        let unless = self.unless.as_ref().map(|unless| quote!(.unless(#unless)));
        let of_none = self.negative_ttl.as_ref().filter(|_| !self.serving.is_negative());
        let negative_ttl = of_none.map(|(ttl, span)| {
            let method = Ident::new("negative_ttl", Span::mixed_site().located_at(*span));
            quote!(.#method(#ttl))
        });
        let jitter = self.jitter.as_ref().map(|jitter| quote!(.jitter(#jitter)));
        let in_transaction = target.in_transaction();
        let ttl = ttl.of_entry();
        let (serving, kinds) = (self.serving.steps(), self.kinds());
        quote!(#start #key #tags #ttl #unless #negative_ttl #jitter #in_transaction #serving #kinds)
    }

    fn kinds(&self) -> TokenStream {
        self.serving.kinds(self.negative_ttl.as_ref().map(|(ttl, _)| ttl))
    }

    fn run(&self) -> Run {
        if self.serving.goes_on(&self.function) { Run::OwnedLoad } else { Run::Load }
    }

    fn site(&self) -> TokenStream {
        let name = self.function.name();
        let template = match &self.key {
            Key::Given(names) => names.literals.first().map(|literal| quote!(.key(#literal))),
            Key::Everything(_) => None,
        };
        let tags = templates("tags", &self.tags);
        let named = self.name.as_ref().map(|name| quote!(.named(#name)));
        let version = self.version.as_ref().map(|version| quote!(.version(#version)));
        let value = spelled(self.function.value());
        let ttl = self.ttl.of_site();
        let allow_stale = self.allow_stale.then(|| quote!(.allow_stale()));
        let handle = self.handle.as_ref().map(|handle| {
            let name = handle.name.to_string();
            quote!(.handle(#name))
        });
        let site = quote!(#named #template #tags .value(#value) #version #ttl #handle #allow_stale);
        quote!(cached(::core::module_path!(), #name) #site)
    }

    fn kind(&self) -> TokenStream {
        let (runtime, output) = (&self.target.runtime, &self.function.output);
        quote!(#runtime::returns::<#output>().kind())
    }
}

// #[invalidates(key = "user:{id}", tags = ["users"])]
// async fn rename(&self, id: UserId) -> Result<(), DbError> { BODY }
//
// becomes
//
// async fn rename(&self, id: UserId) -> Result<(), DbError> {
//     let invalidation = {
//         static SITE: Site = Site::invalidates(module_path!(), "rename").keys(&["user:{id}"]).tags(&["users"]);
//         register!(SITE);
//         global().invalidation(&SITE)
//     }
//     .keys(&[&id]);
//     let change = async move { EDGE BODY };
//     invalidation.run(change).await
// }
pub(crate) fn invalidates(invalidates: &Invalidates) -> TokenStream {
    let Invalidates { function, mode, hold_off, grace, rejects, target, .. } = invalidates;
    let runtime = &target.runtime;
    let (keys, tags) = (&invalidates.keys, &invalidates.tags);
    let (name, key_templates, tag_templates) = (function.name(), templates("keys", keys), templates("tags", tags));
    let names = names_of_handles(&invalidates.entries);
    let entries = handles(&invalidates.entries);
    let mode = mode.map(|mode| {
        let mode = Ident::new(mode, Span::mixed_site());
        quote!(.mode(#runtime::Mode::#mode))
    });
    let site = quote!(invalidates(::core::module_path!(), #name) #key_templates #tag_templates #names #mode);
    let start = target.start("invalidation", &site, &TokenStream::new());
    let keys = parts("keys", &keys.parts, runtime);
    let tags = parts("tags", &tags.parts, runtime);
    let result = invalidates.result();
    let hold_off = hold_off.as_ref().map(|hold_off| quote!(.hold_off(#hold_off)));
    let grace = grace.as_ref().map(|grace| quote!(.grace(#grace)));
    let in_transaction = target.in_transaction();
    let output = &function.output;
    let rejects = rejects.then(|| quote!(.reject_unreachable::<#output>()));
    let builder = quote!(#start #keys #tags #entries #hold_off #grace #in_transaction #result #rejects);
    function.wrap(Run::Change, &builder, runtime)
}

impl Invalidates {
    // `keys = ["order:{result.id}"], when = |order| order.changed` becomes
    //
    // .returning(returns::<Result<Order, DbError>>().kind())
    // .result(|result, names| names.keys(&[&result.id]))
    // .when(|order| order.changed)
    fn result(&self) -> Option<TokenStream> {
        let (runtime, output) = (&self.target.runtime, &self.function.output);
        let keys = parts("keys", &self.keys.results, runtime);
        let tags = parts("tags", &self.tags.results, runtime);
        let names = (keys.is_some() || tags.is_some()).then(|| {
            let (result, names) = (result(Span::mixed_site()), Ident::new("names", Span::mixed_site()));
            quote!(.result(|#result, #names| #names #keys #tags))
        });
        let when = self.when.as_ref().map(|when| quote!(.when(#when)));
        (names.is_some() || when.is_some())
            .then(|| quote!(.returning(#runtime::returns::<#output>().kind()) #names #when))
    }
}

impl Target {
    /// The builder's start: `global().method(&SITE …)`, with the site where only that call sees it.
    fn start(&self, method: &str, site: &TokenStream, arguments: &TokenStream) -> TokenStream {
        let runtime = &self.runtime;
        let span =
            self.cache.as_ref().map_or_else(Span::mixed_site, |cache| Span::mixed_site().located_at(cache.span()));
        let method = Ident::new(method, span);
        let site = quote!(static SITE: #runtime::Site = #runtime::Site::#site; #runtime::register!(SITE););
        match self.cache.as_ref().map(receiver) {
            None => quote!({ #site #runtime::global().#method(&SITE #arguments) }),
            Some(cache) => quote!(#cache.#method({ #site &SITE } #arguments)),
        }
    }

    fn in_transaction(&self) -> Option<TokenStream> {
        self.in_transaction.then(|| quote!(.in_transaction()))
    }
}

impl Key {
    fn steps(&self, function: &Function, runtime: &Path) -> TokenStream {
        match self {
            Self::Given(names) => parts("key", &names.parts, runtime).into_token_stream(),
            Self::Everything(every) => {
                let of = function.knows_self().then(|| quote!(.of::<Self>()));
                let key = parts("key", every, runtime);
                quote!(#of #key)
            }
        }
    }
}

impl Ttl {
    /// What is known of it when the program is compiled.
    fn of_site(&self) -> TokenStream {
        match self {
            Self::Time(time @ Time::Fixed(_)) => quote!(.ttl(#time)),
            Self::Time(Time::Computed(expression)) => {
                let written = spelled(expression);
                quote!(.ttl_by(#written))
            }
            Self::OfValue(_) => quote!(.ttl_by("the value")),
        }
    }

    /// What is left to the call.
    pub(crate) fn of_entry(&self) -> Option<TokenStream> {
        match self {
            Self::Time(Time::Fixed(_)) => None,
            Self::Time(Time::Computed(expression)) => Some(quote!(.ttl(#expression))),
            Self::OfValue(closure) => Some(quote!(.ttl_with(#closure))),
        }
    }
}

/// What becomes of a body.
#[derive(Clone, Copy)]
enum Run {
    Load,
    /// That can go on beside its caller.
    OwnedLoad,
    Change,
}

impl Run {
    /// Who runs it, and the body.
    fn locals(self) -> [&'static str; 2] {
        match self {
            Self::Load | Self::OwnedLoad => ["entry", "load"],
            Self::Change => ["invalidation", "change"],
        }
    }

    fn on(self, local: &Ident, future: &Ident, span: Span) -> TokenStream {
        match self {
            Self::Load => quote_spanned!(span=> #local.get_or_load_here(#future)),
            Self::OwnedLoad => quote_spanned!(span=> #local.here(&#future).get_or_load_owned(#future)),
            Self::Change => quote_spanned!(span=> #local.run(#future)),
        }
    }
}

impl Function {
    /// Builds a local, then hands it the body, which is another.
    ///
    /// All that follows the first `let` carries one span, where the user wrote the type of the value: rustc reports there, and
    /// once, that it cannot be stored.
    fn wrap(&self, run: Run, builder: &TokenStream, runtime: &Path) -> TokenStream {
        let span = Span::mixed_site().located_at(self.value().span());
        let [local, future] = run.locals().map(|local| Ident::new(local, span));
        let body = self.body(runtime, span);
        let run = run.on(&local, &future, span);
        let call = quote_spanned!(span=> let #future = async move { #body }; #run.await);
        let wrapped = self.in_place(&quote!(let #local = #builder; #call));
        let item = &self.item;
        let (attributes, inner, visibility, signature) =
            (&item.attributes, &item.inner_attributes, &item.visibility, &item.signature);
        quote! {
            #(#attributes)*
            #visibility #signature {
                #(#inner)*
                #wrapped
            }
        }
    }

    /// The user's statements, behind an edge that states their type.
    ///
    /// An `async` block cannot declare what it returns. Without the edge nothing in it is coerced, and a wrong `return` is
    /// blamed on the last line. `#[async_trait]` brings an edge of its own, and a type without a name can have none.
    fn body(&self, runtime: &Path, span: Span) -> TokenStream {
        if let Some(boxed) = &self.boxed {
            let body = &boxed.body;
            return quote!(#(#body)*);
        }
        let body = &self.item.body;
        let edge = self.edge(runtime).map(|result| {
            quote_spanned! {span=>
                #[allow(clippy::diverging_sub_expression)]
                let _ = false && return #result;
            }
        });
        quote!(#edge #body)
    }

    /// What the edge returns, unless the type has no name or the body is `()` by its last token.
    fn edge(&self, runtime: &Path) -> Option<TokenStream> {
        let span = Span::mixed_site().located_at(self.value().span());
        let output = &self.output;
        match &self.item.signature.output {
            ReturnType::Default => (!ends_in_statement(&self.item.body)).then(TokenStream::new),
            _ if self.returns_impl_trait() || matches!(output, Type::Never(_)) => None,
            _ => {
                let runtime = located(runtime, span);
                Some(quote_spanned!(span=> #runtime::unreached::<#output>()))
            }
        }
    }

    /// Puts `wrapped` where the body was.
    fn in_place(&self, wrapped: &TokenStream) -> TokenStream {
        let Some(boxed) = &self.boxed else { return wrapped.clone() };
        let (before, pin, attributes, bindings) = (&boxed.before, &boxed.pin, &boxed.attributes, &boxed.bindings);
        quote!(#(#before)* #pin(#(#attributes)* async move { #(#bindings)* #wrapped }))
    }
}

/// `.tags(&["users", "user:{id}"])`, if there are any.
fn templates(method: &str, names: &Names) -> Option<TokenStream> {
    let method = Ident::new(method, Span::mixed_site());
    let literals = &names.literals;
    (!literals.is_empty()).then(|| quote!(.#method(&[#(#literals),*])))
}

/// `.tags(&[&id])`, if there are any.
fn parts(method: &str, parts: &[Part], runtime: &Path) -> Option<TokenStream> {
    let method = Ident::new(method, Span::mixed_site());
    let parts_of = parts.iter().map(|part| self::part(part, runtime));
    (!parts.is_empty()).then(|| quote!(.#method(&[#(#parts_of),*])))
}

/// `.entries(&[&user_entry(&id)])`, if there are any, each reported where the user wrote it.
fn handles(entries: &[Expr]) -> Option<TokenStream> {
    let handles = entries.iter().map(|entry| {
        let span = Span::mixed_site().located_at(entry.span());
        quote_spanned!(span=> &#entry)
    });
    (!entries.is_empty()).then(|| quote!(.entries(&[#(#handles),*])))
}

/// `.entries(&["user_entry"])`: which functions' handles those are, as far as it can be told.
fn names_of_handles(entries: &[Expr]) -> Option<TokenStream> {
    let names = entries.iter().map(|entry| match entry {
        Expr::Call(ExprCall { func, .. }) => match &**func {
            Expr::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        },
        Expr::MethodCall(call) => Some(call.method.to_string()),
        _ => None,
    });
    let names = names.map(|name| name.unwrap_or_else(|| "_".to_owned()));
    (!entries.is_empty()).then(|| quote!(.entries(&[#(#names),*])))
}

/// A reference to one part, reported where the user named it.
fn part(part: &Part, runtime: &Path) -> TokenStream {
    let Part { root, fields, spec, span } = part;
    let at = Span::mixed_site().located_at(*span);
    let (root, conditions) = match root {
        Root::Argument(argument) if argument.kind == Kind::Type => {
            let name = argument.at(*span);
            return quote_spanned!(at=> &#runtime::type_key::<#name>());
        }
        Root::This(this) => return quote_spanned!(at=> &#runtime::type_key::<#this>()),
        Root::Argument(argument) => (argument.at(*span).into_token_stream(), &argument.conditions[..]),
        Root::Receiver(this) => (this.into_token_stream(), &[][..]),
        Root::Result => (result(at).into_token_stream(), &[][..]),
    };
    let value = quote_spanned!(at=> & #root #(.#fields)*);
    match spec.map(|spec| spec.function(at)) {
        None => quote_spanned!(at=> #(#conditions)* #value),
        Some(function) => quote_spanned!(at=> #(#conditions)* &#runtime::#function(#value)),
    }
}

/// `path`, reported at `span`.
fn located(path: &Path, span: Span) -> TokenStream {
    let at_span = |mut token: TokenTree| {
        token.set_span(token.span().located_at(span));
        token
    };
    path.to_token_stream().into_iter().map(at_span).collect()
}

/// What the function returned, where its parts are read.
fn result(span: Span) -> Ident {
    Ident::new("result", span)
}

fn ends_in_statement(body: &TokenStream) -> bool {
    match body.clone().into_iter().last() {
        None => true,
        Some(last) => matches!(last, TokenTree::Punct(punct) if punct.as_char() == ';'),
    }
}

/// `expression` as what a method is called on.
fn receiver(expression: &Expr) -> TokenStream {
    match expression {
        Expr::Call(_) | Expr::Field(_) | Expr::Macro(_) | Expr::MethodCall(_) | Expr::Paren(_) | Expr::Path(_) => {
            expression.to_token_stream()
        }
        other => quote!((#other)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::ExpectFile;
    use expect_test::expect_file;

    use super::*;

    fn cached(args: TokenStream, item: TokenStream) -> String {
        printed(super::cached(&Cached::parse(args, item).unwrap()))
    }

    fn invalidates(args: TokenStream, item: TokenStream) -> String {
        printed(super::invalidates(&Invalidates::parse(args, item).unwrap()))
    }

    fn printed(tokens: TokenStream) -> String {
        prettyplease::unparse(&syn::parse2(tokens).unwrap())
    }

    fn file(name: &str) -> ExpectFile {
        expect_file![format!("{}/tests/expand/{name}.rs", env!("CARGO_MANIFEST_DIR"))]
    }

    /// The function that the README shows above its expansion: the arguments of its attribute, and the rest.
    fn function_in_the_readme() -> (TokenStream, TokenStream) {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (_, section) = readme.split_once("## What it expands to").unwrap();
        let (_, code) = section.split_once("```rust,ignore\n").unwrap();
        let (code, _) = code.split_once("```").unwrap();
        let mut function: syn::ItemFn = syn::parse_str(code).unwrap();
        let attribute = function.attrs.remove(0);
        (attribute.meta.require_list().unwrap().tokens.clone(), function.into_token_stream())
    }

    #[test]
    fn readme() {
        let (args, item) = function_in_the_readme();
        let expansion = cached(args, item);
        file("readme").assert_eq(&expansion);
        assert!(expansion.lines().count() < 25, "{} lines", expansion.lines().count());
        assert_eq!(expansion.matches("self.db.user(id).await").count(), 1);
    }

    #[test]
    fn readme_mutator() {
        let expansion = invalidates(
            quote!(key = "user:{id}", tags = ["users"]),
            quote! {
                async fn rename(&self, id: UserId, name: &str) -> Result<(), DbError> {
                    self.db.rename(id, name).await
                }
            },
        );
        file("readme_mutator").assert_eq(&expansion);
        assert!(expansion.lines().count() < 25, "{} lines", expansion.lines().count());
    }

    #[test]
    fn cached_with_everything() {
        file("cached_with_everything").assert_eq(&cached(
            quote!(
                ttl = |token| token.expires_in(),
                key = "{T}:{N}:{query.page.0}:{self.shard}",
                skip(query, tx),
                tags = ["tokens", "shard:{self.shard}:{N}"],
                jitter = 0,
                allow_stale,
                cache = self.cache,
                in_transaction,
                crate = my_facade::cache_runtime,
            ),
            quote! {
                /// Kept.
                #[must_use]
                pub(crate) async fn token<T, const N: usize>(
                    &self,
                    query: Query,
                    #[allow(unused)] tx: &mut Transaction<'_>,
                ) -> Option<Token>
                where
                    T: Kind,
                {
                    #![allow(clippy::all)]
                    self.load(query, N).await
                }
            },
        ));
    }

    #[test]
    fn cached_by_a_handle() {
        let expansion = cached(
            quote!(
                ttl = "5m",
                key = "{T}:{name}",
                skip(db, fresh, F),
                tags = ["{self.tenant}"],
                when = !fresh,
                unless = |user| user.is_draft(),
                negative_ttl = "30s",
                version = 2,
                name = "users.find",
                handle = find_entry,
            ),
            quote! {
                /// Kept.
                pub(crate) async fn find<T: Kind, F: Send>(&mut self, name: String, db: F, fresh: bool) -> Result<Option<User>, DbError> {
                    db.find::<T>(name).await
                }
            },
        );
        file("cached_by_a_handle").assert_eq(&expansion);
        assert_eq!(expansion.matches("static SITE").count(), 1);
    }

    #[test]
    fn default_key_of_a_method() {
        file("default_key_of_a_method").assert_eq(&cached(
            quote!(ttl = "250ms", skip(db)),
            quote! {
                async fn pages<T: Kind, const N: usize>(&self, db: &Db, (from, to): (u64, u64), #[cfg(feature = "x")] x: u8) -> Vec<Page> {
                    db.pages::<T>(from, to).await
                }
            },
        ));
    }

    #[test]
    fn default_key_without_arguments() {
        file("default_key_without_arguments").assert_eq(&cached(
            quote!(ttl = TTL),
            quote! {
                async fn refresh() {
                    work().await;
                }
            },
        ));
    }

    #[test]
    fn invalidates_with_everything() {
        file("invalidates_with_everything").assert_eq(&invalidates(
            quote!(
                key = "user:{id}",
                keys = ["profile:{id}:{name}", "all"],
                tags = ["users", "{self.tenant}"],
                entries = [user_entry(&id), self.page_entry(&name)],
                mode = linearizable,
                hold_off = "1m 30s",
                grace = "2s",
                on_unreachable = reject,
                cache = &*self.caches[0],
                in_transaction,
                crate = crate::rt,
            ),
            quote! {
                async fn rename(&mut self, id: u64, name: String) -> io::Result<()> {
                    self.db.rename(id, name).await
                }
            },
        ));
    }

    #[test]
    fn parts_in_every_spec() {
        file("parts_in_every_spec").assert_eq(&cached(
            quote!(
                ttl = "5m",
                key = "{filter:json}:{token:hash}:{self.locale:display}:{page}",
                tags = ["token:{token:hash}"]
            ),
            quote! {
                async fn found(&self, filter: &Filter, token: &str, #[cfg(feature = "pages")] page: u32) -> Vec<Item> {
                    self.db.search(filter, token).await
                }
            },
        ));
    }

    #[test]
    fn invalidates_by_result() {
        let expansion = invalidates(
            quote!(
                key = "cart:{cart}",
                keys = ["order:{cart}:{result.id}"],
                tags = ["customer:{result.customer.0:hash}"],
                mode = after,
                when = |order| order.changed
            ),
            quote! {
                async fn place(&self, cart: CartId) -> Result<Order, DbError> {
                    self.db.place(cart).await
                }
            },
        );
        file("invalidates_by_result").assert_eq(&expansion);
    }

    #[test]
    fn method_under_async_trait() {
        file("method_under_async_trait").assert_eq(&cached(
            quote!(ttl = "1h", key = "{a}:{b}"),
            quote! {
                #[allow(clippy::async_yields_async)]
                fn sum<'life0, 'async_trait>(
                    &'life0 self,
                    __arg1: (u8, u8),
                ) -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = Option<u8>> + ::core::marker::Send + 'async_trait>>
                where
                    'life0: 'async_trait,
                    Self: 'async_trait,
                {
                    Box::pin(async move {
                        if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<Option<u8>> {
                            return __ret;
                        }
                        let __self = self;
                        let (a, b) = {
                            let __arg1 = __arg1;
                            __arg1
                        };
                        let __ret: Option<u8> = { a.checked_add(b) };
                        __ret
                    })
                }
            },
        ));
    }
}
