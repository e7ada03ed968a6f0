//! The attributes, joined with the function they sit on, and proven to work on it.

use proc_macro2::Literal;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use quote::ToTokens;
use quote::quote;
use syn::Expr;
use syn::ExprClosure;
use syn::Ident;
use syn::Lit;
use syn::LitStr;
use syn::Path;
use syn::Type;
use syn::UnOp;
use syn::spanned::Spanned;

use crate::args;
use crate::args::Args;
use crate::args::ungrouped;
use crate::duration::Time;
use crate::errors::Errors;
use crate::function::Function;
use crate::handle::Handle;
use crate::parts;
use crate::parts::Names;
use crate::parts::Part;
use crate::parts::Scope;
use crate::serving::Serving;
use crate::suggest;
use crate::template::Template;

/// An `async fn` and how to cache it.
pub(crate) struct Cached {
    pub(crate) function: Function,
    pub(crate) key: Key,
    pub(crate) tags: Names,
    pub(crate) ttl: Ttl,
    pub(crate) jitter: Option<Expr>,
    /// Whether no mutator is expected to invalidate it.
    pub(crate) allow_stale: bool,
    pub(crate) negative_ttl: Option<(Time, Span)>,
    pub(crate) serving: Serving,
    pub(crate) unless: Option<Expr>,
    pub(crate) when: Option<Expr>,
    pub(crate) version: Option<Expr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) handle: Option<Handle>,
    pub(crate) target: Target,
}

/// An `async fn` and what it makes stale.
pub(crate) struct Invalidates {
    pub(crate) function: Function,
    pub(crate) keys: Names,
    pub(crate) tags: Names,
    /// Handles of entries.
    pub(crate) entries: Vec<Expr>,
    /// The variant of the runtime's `Mode`.
    pub(crate) mode: Option<&'static str>,
    pub(crate) hold_off: Option<Time>,
    pub(crate) grace: Option<Time>,
    /// Whether it must not run while the cache cannot be told.
    pub(crate) rejects: bool,
    /// What to ask of the value before anything is invalidated.
    pub(crate) when: Option<Expr>,
    pub(crate) target: Target,
}

/// What both attributes say of the cache.
pub(crate) struct Target {
    pub(crate) runtime: Path,
    pub(crate) cache: Option<Expr>,
    pub(crate) in_transaction: bool,
}

/// What tells calls apart.
pub(crate) enum Key {
    Given(Names),
    /// Every argument that is not skipped, under the function's name.
    Everything(Vec<Part>),
}

/// How long a value lives.
pub(crate) enum Ttl {
    Time(Time),
    OfValue(ExprClosure),
}

impl Cached {
    pub(crate) fn parse(args: TokenStream, item: TokenStream) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut args = Args::parse(args, args::CACHED, &mut errors);
        let ttl = Ttl::parse(&mut args, &mut errors);
        let serving = Serving::parse(&mut args, &mut errors);
        let jitter = args.jitter.take().and_then(|jitter| errors.check(share(jitter)));
        let negative_ttl = args.negative_ttl.take().and_then(|ttl| errors.check(spanned(ttl)));
        let version = args.version.take().and_then(|version| errors.check(number_of_a_version(version)));
        let name = args.name.take().and_then(|name| errors.check(metric_name(name)));
        let unless =
            args.unless.take().and_then(|unless| errors.check(question(unless, "unless", "user", "user.is_draft()")));
        let when = args.when.take().and_then(|when| errors.check(no_closure(when)));
        let Some(function) = Function::parse(item, "be cached", &mut errors) else {
            return errors.finish(None);
        };
        function.reject_attributes("cached", CACHED_TWICE, &mut errors);
        function.reject_attributes("invalidates", BOTH, &mut errors);
        reject_unstorable(&function, &mut errors);
        parts::check_skipped(&args.skip, &function.arguments, &mut errors);
        parts::check_borrowed_mutably(&args.skip, &function.arguments, &mut errors);
        let key = Key::parse(&mut args, &function, &mut errors);
        let scope = Scope { arguments: &function.arguments, result: false };
        let tags = Names::parse(templates(&mut args.tags), &scope, &mut errors);
        let (path, allow_stale) = (args.handle.take(), args.allow_stale);
        let target = Target::parse(args, &function, FILLS_EARLY, &mut errors);
        let handle = path.and_then(|path| {
            let parts = key.parts().iter().chain(&tags.parts);
            let negative_ttl = negative_ttl.as_ref().map(|(ttl, _)| ttl);
            let expressions = [
                ttl.as_ref().and_then(Ttl::of_entry).unwrap_or_default(),
                quote!(#negative_ttl),
                quote!(#jitter #unless),
                serving.expressions(),
                target.cache.to_token_stream(),
            ];
            Handle::parse(&path, &function, parts, &expressions, &mut errors)
        });
        errors.finish(ttl.map(|ttl| Self {
            function,
            key,
            tags,
            ttl,
            jitter,
            negative_ttl,
            serving,
            unless,
            when,
            version,
            name,
            handle,
            allow_stale,
            target,
        }))
    }
}

impl Invalidates {
    pub(crate) fn parse(args: TokenStream, item: TokenStream) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut args = Args::parse(args, args::INVALIDATES, &mut errors);
        let nothing = args.key.is_none() && args.keys.is_empty() && args.tags.is_empty() && args.entries.is_empty();
        if nothing && errors.is_empty() {
            errors.missing("this invalidates nothing; say what, as in `key = \"user:{id}\"` or `tags = [\"users\"]`");
        }
        let mode = args.mode.take().map(|mode| errors.check(variant(&mode)));
        let mode_is_known = mode != Some(None);
        let mode = mode.flatten();
        let hold_off = args.hold_off.take().and_then(|hold_off| {
            if mode == Some(AFTER) {
                errors.push(
                    &hold_off,
                    "`hold_off` has no effect in mode `after`, which guards nothing; leave one of them out",
                );
            }
            errors.check(Time::parse(hold_off))
        });
        let grace = args.grace.take().and_then(|grace| errors.check(Time::parse(grace)));
        let on_unreachable = args.on_unreachable.take();
        let rejects = on_unreachable.as_ref().and_then(|word| errors.check(is_reject(word))) == Some(true);
        if rejects && mode == Some(AFTER) {
            errors.push(&on_unreachable, NOTHING_TO_GO_BY);
        }
        let when = args.when.take().and_then(|when| errors.check(question(when, "when", "result", "result.changed")));
        if let Some(when) = when.as_ref().filter(|_| mode_is_known && mode != Some(AFTER)) {
            errors.push(when, ASKED_TOO_LATE);
        }
        let Some(function) = Function::parse(item, "invalidate", &mut errors) else {
            return errors.finish(None);
        };
        function.reject_attributes("cached", BOTH, &mut errors);
        let keys: Vec<_> = args.key.take().into_iter().map(Template::parse).chain(templates(&mut args.keys)).collect();
        let tags = templates(&mut args.tags);
        for template in keys.iter().chain(&tags).filter(|template| template.literal.value().ends_with('*')) {
            errors.push(&template.literal, NO_WILDCARDS);
        }
        let scope = Scope { arguments: &function.arguments, result: true };
        let keys = Names::parse(keys, &scope, &mut errors);
        let tags = Names::parse(tags, &scope, &mut errors);
        let asks = when.is_some() || !keys.results.is_empty() || !tags.results.is_empty();
        if asks && function.returns_impl_trait() {
            errors.push(&function.output, "an `impl Trait` has nothing to read; return a type that has a name");
        } else if rejects && function.has_no_output() {
            errors.push(&on_unreachable, NOTHING_TO_RETURN);
        } else if rejects && function.returns_impl_trait() {
            errors
                .push(&function.output, "an `impl Trait` cannot say that the mutation was rejected; return a `Result`");
        }
        if function.returns_nothing() {
            for part in keys.results.iter().chain(&tags.results) {
                errors.record(syn::Error::new(part.span, NO_RESULT));
            }
        }
        let entries = std::mem::take(&mut args.entries);
        if rejects && entries.is_empty() && !keys.known_before && !tags.known_before {
            errors.push(&on_unreachable, NOTHING_IS_KNOWN);
        }
        let target = Target::parse(args, &function, INVALIDATES_EARLY, &mut errors);
        errors.finish(Some(Self { function, keys, tags, entries, mode, hold_off, grace, rejects, when, target }))
    }
}

const ASKED_TOO_LATE: &str = "`when` needs `mode = after`: in the other modes everything is invalidated before the body runs, when there is \
     no result to ask";

const NOTHING_TO_GO_BY: &str = "`reject` has nothing to go by in mode `after`, which tells the cache nothing before the body; leave one of them out";

const NOTHING_IS_KNOWN: &str = "`reject` has nothing to go by: all that is named is read from the result, and nothing is told to the cache before the body; \
     name something by the arguments too, or leave it out";

const NOTHING_TO_RETURN: &str = "this function returns nothing, so it cannot say that it was rejected; \
     return `Result<(), E>` with `E: From<cache_runtime::Error>`, or leave it out";

const CACHED_TWICE: &str = "a function is cached once; keep one `#[cached]`";

const BOTH: &str =
    "a function is cached or it invalidates: a hit would not run what changes; make the change a function of its own";

const NO_WILDCARDS: &str = "a `*` is no wildcard, and this names one entry or tag alone; give all that are meant a tag of their own, and invalidate that";

const NO_RESULT: &str = "`{result}` is the value of a success, and this function returns none; \
     name an argument, or return what is to be named";

const FILLS_EARLY: &str = "it may see what is never committed; say `in_transaction`, \
     cache a function that is called outside of it, or run the transaction in `defer_invalidations`";

const INVALIDATES_EARLY: &str = "it returns before the commit; say `in_transaction` and run the transaction in `defer_invalidations`, \
     or call a mutator outside of it once it has committed";

impl Target {
    fn parse(args: Args, function: &Function, way_out: &str, errors: &mut Errors) -> Self {
        if !args.in_transaction {
            function.reject_transactions(way_out, errors);
        }
        let runtime = args.runtime.unwrap_or_else(|| syn::parse_quote!(::cache_runtime));
        Self { runtime, cache: args.cache, in_transaction: args.in_transaction }
    }
}

impl Key {
    fn parse(args: &mut Args, function: &Function, errors: &mut Errors) -> Self {
        let arguments = &function.arguments;
        let Some(literal) = args.key.take() else {
            let kept = arguments.list.iter().filter(|argument| !parts::is_skipped(argument, &args.skip));
            return Self::Everything(kept.map(Part::whole).collect());
        };
        let template = Template::parse(literal);
        if template.mistakes.is_empty() {
            parts::cover(&template, &args.skip, arguments, errors);
        }
        Self::Given(Names::parse(vec![template], &Scope { arguments, result: false }, errors))
    }

    pub(crate) fn parts(&self) -> &[Part] {
        match self {
            Self::Given(names) => &names.parts,
            Self::Everything(parts) => parts,
        }
    }
}

impl Ttl {
    fn parse(args: &mut Args, errors: &mut Errors) -> Option<Self> {
        let Some(ttl) = args.ttl.take() else {
            if !args.attempts("ttl") {
                errors.missing("missing `ttl`; nothing lives for ever, so say how long, as in `ttl = \"5m\"`");
            }
            return None;
        };
        if let Expr::Closure(closure) = ungrouped(&ttl) {
            return errors.check(of_one_value(closure, "ttl", "|token| token.expires_in()")).map(Self::OfValue);
        }
        errors.check(Time::parse(ttl)).map(Self::Time)
    }
}

fn templates(literals: &mut Vec<LitStr>) -> Vec<Template> {
    std::mem::take(literals).into_iter().map(Template::parse).collect()
}

/// Reports what can be seen never to be stored. Whether other types can, only rustc knows.
fn reject_unstorable(function: &Function, errors: &mut Errors) {
    if function.returns_impl_trait() {
        errors.push(&function.output, "an `impl Trait` cannot be stored; return a type that has a name");
    } else if let Type::Reference(borrowed) = function.value() {
        errors.push(borrowed, "a reference cannot be stored; return a value that owns its data");
    }
}

/// What is asked of a value: a closure of one, or whatever may name a function.
fn question(expression: Expr, name: &str, value: &str, answer: &str) -> syn::Result<Expr> {
    let example = format!("|{value}| {answer}");
    match ungrouped(&expression) {
        Expr::Closure(closure) => of_one_value(closure, name, &example).map(Expr::Closure),
        Expr::Lit(_) | Expr::Binary(_) | Expr::Unary(_) => {
            let message = format!("`{name}` asks the value, so it is a closure; write one like `{name} = {example}`");
            Err(syn::Error::new_spanned(expression, message))
        }
        _ => Ok(expression),
    }
}

fn of_one_value(closure: &ExprClosure, name: &str, example: &str) -> syn::Result<ExprClosure> {
    if closure.inputs.len() == 1 {
        return Ok(closure.clone());
    }
    let message = format!("the closure of `{name}` takes one argument, the value; write one like `{name} = {example}`");
    Err(syn::Error::new_spanned(closure, message))
}

fn no_closure(when: Expr) -> syn::Result<Expr> {
    match ungrouped(&when) {
        Expr::Closure(closure) => Err(syn::Error::new_spanned(
            closure,
            "`when` is a `bool` over the arguments and no closure, because it is asked before there is a value; \
             write one like `when = !fresh`, or ask the value with `unless`",
        )),
        _ => Ok(when),
    }
}

/// A literal between 0 and 1 as a float, or any expression.
fn share(expression: Expr) -> syn::Result<Expr> {
    let value = match ungrouped(&expression) {
        Expr::Unary(negative) if matches!(negative.op, UnOp::Neg(_)) => number(&negative.expr).map(|value| -value),
        Expr::Lit(literal) if !matches!(literal.lit, Lit::Int(_) | Lit::Float(_)) => Some(f64::NAN),
        other => number(other),
    };
    match value {
        None => Ok(expression),
        Some(value) if (0.0..=1.0).contains(&value) => {
            let mut literal = Literal::f64_unsuffixed(value);
            literal.set_span(expression.span());
            syn::parse2(quote!(#literal))
        }
        Some(_) => Err(syn::Error::new_spanned(
            expression,
            "`jitter` is a share from 0.0 to 1.0; write one like `jitter = 0.1`",
        )),
    }
}

fn spanned(expression: Expr) -> syn::Result<(Time, Span)> {
    let span = expression.span();
    Ok((Time::parse(expression)?, span))
}

/// A literal that fits a `u32`, or any expression.
fn number_of_a_version(expression: Expr) -> syn::Result<Expr> {
    let fits = match ungrouped(&expression) {
        Expr::Lit(literal) => matches!(&literal.lit, Lit::Int(number) if number.base10_parse::<u32>().is_ok()),
        Expr::Unary(negative) => !matches!(negative.op, UnOp::Neg(_)),
        _ => true,
    };
    let message = "`version` is a whole number up to 4294967295, counted up when the stored type changes; write one like `version = 2`";
    if fits { Ok(expression) } else { Err(syn::Error::new_spanned(expression, message)) }
}

fn metric_name(name: LitStr) -> syn::Result<LitStr> {
    let text = name.value();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-._/".contains(letter);
    if (1..=100).contains(&text.len()) && text.chars().all(fits) {
        return Ok(name);
    }
    let message = format!("`{text}` is not a name; write up to 100 letters, digits and `-._/`, as in `users.get`");
    Err(syn::Error::new_spanned(name, message))
}

fn number(expression: &Expr) -> Option<f64> {
    let Expr::Lit(literal) = ungrouped(expression) else { return None };
    match &literal.lit {
        Lit::Int(number) => number.base10_parse().ok(),
        Lit::Float(number) => number.base10_parse().ok(),
        _ => None,
    }
}

fn variant(mode: &Ident) -> syn::Result<&'static str> {
    let written = mode.to_string();
    if let Some((_, variant)) = MODES.iter().find(|(name, _)| *name == written) {
        return Ok(variant);
    }
    let names = || MODES.iter().map(|(name, _)| *name);
    let meant = suggest::nearest(&written, names()).map(|meant| format!("; did you mean `{meant}`?"));
    let message =
        format!("unknown mode `{written}`; expected {}{}", suggest::list(names(), "or"), meant.unwrap_or_default());
    Err(syn::Error::new_spanned(mode, message))
}

/// Whether it says `reject`.
fn is_reject(word: &Ident) -> syn::Result<bool> {
    match word.to_string().as_str() {
        "reject" => Ok(true),
        "proceed" => Ok(false),
        other => {
            let meant = suggest::nearest(other, ["proceed", "reject"]);
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            Err(syn::Error::new_spanned(
                word,
                format!("`{other}` is nothing to do; expected `proceed` or `reject`{meant}"),
            ))
        }
    }
}

const MODES: [(&str, &str); 3] = [("guarded", "Guarded"), ("linearizable", "Linearizable"), ("after", AFTER)];

const AFTER: &str = "After";

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(args: TokenStream, item: TokenStream) -> Vec<String> {
        let errors = Cached::parse(args, item).err();
        errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }

    fn two_arguments(args: TokenStream) -> Vec<String> {
        mistakes(
            args,
            quote!(
                async fn f(&self, tenant: &str, id: u64) -> u64 {
                    id
                }
            ),
        )
    }

    #[test]
    fn every_argument_is_in_the_key_or_skipped() {
        for args in [
            quote!(ttl = "1s", key = "{tenant}:{id}"),
            quote!(ttl = "1s", key = "{id}", skip(tenant)),
            quote!(ttl = "1s", key = "one", skip(tenant, id)),
            quote!(ttl = "1s", key = "{tenant.0}:{id}", skip(tenant)),
            quote!(ttl = "1s"),
            quote!(ttl = "1s", skip(id)),
        ] {
            assert_eq!(two_arguments(args), [""; 0]);
        }
        for args in [quote!(ttl = "1s", key = "{id}"), quote!(ttl = "1s", key = "{tenant.0}:{id}", tags = ["{tenant}"])]
        {
            let [mistake] = &two_arguments(args)[..] else { panic!("the forgotten argument is one mistake") };
            let ways_out = ["add `{tenant}` to `key`", "say `skip(tenant)`"];
            assert!(ways_out.iter().all(|way_out| mistake.contains(way_out)), "{mistake}");
        }
    }

    #[test]
    fn a_misspelt_name_is_one_mistake() {
        assert_eq!(two_arguments(quote!(ttl = "1s", key = "{tenat}:{id}")).len(), 1);
        assert_eq!(two_arguments(quote!(ttl = "1s", key = "{id}", skip(tenat))).len(), 1);
        assert_eq!(two_arguments(quote!(ttk = "1s", key = "{id}", skip(tenant))).len(), 1);
    }

    #[test]
    fn only_what_is_not_named_yet_is_suggested() {
        for (args, expected) in [
            (quote!(ttl = "1s", key = "{id}:{db}", skip(tenant)), "write `tenant`"),
            (quote!(ttl = "1s", key = "{id}:{tenant}:{db}"), "whose arguments are all named; take it out"),
            (quote!(ttl = "1s", key = "{id}:{tenant}:{ids}"), "whose arguments are all named; take it out"),
            (quote!(ttl = "1s", skip(db)), "take it out: the arguments are `tenant` and `id`"),
        ] {
            let [mistake] = &two_arguments(args.clone())[..] else { panic!("{args} is one mistake") };
            assert!(mistake.contains(expected), "{mistake}");
        }
    }

    #[test]
    fn a_share_is_a_literal_in_range_or_an_expression() {
        for (given, printed) in
            [(quote!(0), "0.0"), (quote!(1), "1.0"), (quote!(0.25), "0.25"), (quote!(self.jitter), "self . jitter")]
        {
            let share = share(syn::parse2(given).unwrap()).unwrap();
            assert_eq!(quote!(#share).to_string(), printed);
        }
        for refused in [quote!(1.01), quote!(-0.5), quote!(2), quote!("10%"), quote!(true)] {
            assert!(share(syn::parse2(refused).unwrap()).is_err());
        }
    }
}
