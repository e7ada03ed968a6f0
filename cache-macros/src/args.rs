//! Attribute tokens to spanned values, with no judgement of them.

use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::Expr;
use syn::ExprLit;
use syn::Ident;
use syn::Lit;
use syn::LitStr;
use syn::Path;
use syn::Token;
use syn::ext::IdentExt;
use syn::parenthesized;
use syn::parse::ParseStream;
use syn::parse::Parser;
use syn::parse::discouraged::Speculative;
use syn::punctuated::Punctuated;

use crate::errors::Errors;
use crate::foreign;
use crate::suggest;

/// What `#[cached]` takes.
pub(crate) const CACHED: &[&str] = &[
    "ttl",
    "key",
    "skip",
    "tags",
    "jitter",
    "negative_ttl",
    "negative",
    "when",
    "unless",
    "stale_while_revalidate",
    "stale_if_error",
    "even_invalidated",
    "soft_timeout",
    "early_refresh",
    "refresh_inline",
    "time_to_idle",
    "max_loads",
    "overload",
    "version",
    "name",
    "handle",
    "allow_stale",
    "cache",
    "in_transaction",
    "crate",
];

/// What `#[invalidates]` takes.
pub(crate) const INVALIDATES: &[&str] = &[
    "key",
    "keys",
    "tags",
    "entries",
    "mode",
    "hold_off",
    "grace",
    "on_unreachable",
    "when",
    "cache",
    "in_transaction",
    "crate",
];

/// What the user wrote between the parentheses.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) ttl: Option<Expr>,
    pub(crate) key: Option<LitStr>,
    pub(crate) keys: Vec<LitStr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) entries: Vec<Expr>,
    pub(crate) jitter: Option<Expr>,
    pub(crate) negative_ttl: Option<Expr>,
    pub(crate) negative: Option<Expr>,
    pub(crate) stale_while_revalidate: Option<Expr>,
    pub(crate) stale_if_error: Option<Expr>,
    pub(crate) even_invalidated: Option<Ident>,
    pub(crate) soft_timeout: Option<Expr>,
    pub(crate) early_refresh: Option<Expr>,
    pub(crate) refresh_inline: Option<Ident>,
    pub(crate) time_to_idle: Option<Expr>,
    pub(crate) max_loads: Option<Expr>,
    pub(crate) overload: Option<Ident>,
    pub(crate) when: Option<Expr>,
    pub(crate) unless: Option<Expr>,
    pub(crate) version: Option<Expr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) handle: Option<Path>,
    pub(crate) mode: Option<Ident>,
    pub(crate) hold_off: Option<Expr>,
    pub(crate) grace: Option<Expr>,
    pub(crate) on_unreachable: Option<Ident>,
    pub(crate) allow_stale: bool,
    pub(crate) cache: Option<Expr>,
    pub(crate) in_transaction: bool,
    pub(crate) runtime: Option<Path>,
    given: Vec<String>,
    /// What the unknown ones were most likely meant to be.
    meant: Vec<String>,
}

impl Args {
    /// Reads the arguments named in `known`.
    pub(crate) fn parse(tokens: TokenStream, known: &[&str], errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let parsed = args.parse_one(input, known, errors).and_then(|()| end_of_argument(input));
                if errors.check(parsed).is_none() {
                    skip_to_comma(input)?;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        let parsed = parser.parse2(tokens);
        errors.check(parsed);
        args
    }

    /// Whether `name` was attempted, so that it is not missing: a mistake in it is reported already.
    pub(crate) fn attempts(&self, name: &str) -> bool {
        self.given.iter().chain(&self.meant).any(|attempted| attempted == name)
    }

    fn parse_one(&mut self, input: ParseStream<'_>, known: &[&str], errors: &mut Errors) -> syn::Result<()> {
        let Ok(name) = input.call(Ident::parse_any) else {
            let likely = known.first().copied().unwrap_or_default();
            self.meant.push(likely.to_owned());
            return Err(input.error(format!("expected an argument, such as `{}`", example(likely))));
        };
        let text = name.to_string();
        if !known.contains(&text.as_str()) {
            let foreign = foreign::meant(&text, known);
            let meant = foreign.or_else(|| suggest::nearest(&text, known.iter().copied()));
            self.meant.extend(meant.map(str::to_owned));
            return Err(unknown(&name, meant, known));
        }
        if self.given.contains(&text) {
            return Err(syn::Error::new_spanned(&name, format!("`{name}` is given twice; keep one")));
        }
        self.given.push(text);
        self.parse_value(&name, input, errors)
    }

    fn parse_value(&mut self, name: &Ident, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let text = name.to_string();
        match text.as_str() {
            "allow_stale" => self.allow_stale = flag(name, input)?,
            "even_invalidated" => self.even_invalidated = flag(name, input)?.then(|| name.clone()),
            "refresh_inline" => self.refresh_inline = flag(name, input)?.then(|| name.clone()),
            "in_transaction" => self.in_transaction = flag(name, input)?,
            "skip" => self.skip = names(name, input)?,
            "crate" => self.runtime = Some(path(name, input)?),
            "handle" => self.handle = Some(path(name, input)?),
            _ => {
                equals(name, input)?;
                let value = expression(name, input)?;
                match text.as_str() {
                    "ttl" => self.ttl = Some(value),
                    "key" => self.key = Some(literal(name, &value)?),
                    "keys" => self.keys = literals(name, &value, errors)?,
                    "tags" => self.tags = literals(name, &value, errors)?,
                    "entries" => self.entries = elements(name, &value)?.iter().cloned().collect(),
                    "jitter" => self.jitter = Some(value),
                    "negative_ttl" => self.negative_ttl = Some(value),
                    "negative" => self.negative = Some(value),
                    "stale_while_revalidate" => self.stale_while_revalidate = Some(value),
                    "stale_if_error" => self.stale_if_error = Some(value),
                    "soft_timeout" => self.soft_timeout = Some(value),
                    "early_refresh" => self.early_refresh = Some(value),
                    "time_to_idle" => self.time_to_idle = Some(value),
                    "max_loads" => self.max_loads = Some(value),
                    "overload" => self.overload = Some(word(name, &value)?),
                    "when" => self.when = Some(value),
                    "unless" => self.unless = Some(value),
                    "version" => self.version = Some(value),
                    "name" => self.name = Some(literal(name, &value)?),
                    "mode" => self.mode = Some(word(name, &value)?),
                    "hold_off" => self.hold_off = Some(value),
                    "grace" => self.grace = Some(value),
                    "on_unreachable" => self.on_unreachable = Some(word(name, &value)?),
                    _ => self.cache = Some(value),
                }
            }
        }
        Ok(())
    }
}

/// How `name` is written.
fn example(name: &str) -> &'static str {
    match name {
        "ttl" => "ttl = \"5m\"",
        "key" => "key = \"user:{id}\"",
        "keys" => "keys = [\"user:{id}\", \"profile:{id}\"]",
        "skip" => "skip(db)",
        "tags" => "tags = [\"users\", \"user:{id}\"]",
        "entries" => "entries = [user_entry(&id)]",
        "jitter" => "jitter = 0.1",
        "negative_ttl" => "negative_ttl = \"30s\"",
        "negative" => "negative = DbError::NotFound",
        "stale_while_revalidate" => "stale_while_revalidate = \"30s\"",
        "stale_if_error" => "stale_if_error = \"10m\"",
        "even_invalidated" => "even_invalidated",
        "soft_timeout" => "soft_timeout = \"200ms\"",
        "early_refresh" => "early_refresh = true",
        "refresh_inline" => "refresh_inline",
        "time_to_idle" => "time_to_idle = \"30m\"",
        "max_loads" => "max_loads = 16",
        "overload" => "overload = reject",
        "when" => "when = !fresh",
        "unless" => "unless = |user| user.is_draft()",
        "version" => "version = 2",
        "name" => "name = \"users.get\"",
        "handle" => "handle = user_entry",
        "mode" => "mode = linearizable",
        "hold_off" => "hold_off = \"60s\"",
        "grace" => "grace = \"2s\"",
        "on_unreachable" => "on_unreachable = reject",
        "allow_stale" => "allow_stale",
        "cache" => "cache = self.cache",
        "crate" => "crate = my_facade::cache_runtime",
        _ => "in_transaction",
    }
}

/// Looks through the invisible groups that `macro_rules!` puts around what it captured, and through parentheses.
pub(crate) fn ungrouped(expression: &Expr) -> &Expr {
    match expression {
        Expr::Group(group) => ungrouped(&group.expr),
        Expr::Paren(paren) => ungrouped(&paren.expr),
        other => other,
    }
}

fn unknown(name: &Ident, meant: Option<&str>, known: &[&str]) -> syn::Error {
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
    let hint = foreign::unneeded(&name.to_string()).filter(|_| meant.is_none()).map(|why| format!("; {why}"));
    let expected = suggest::list(known.iter().copied(), "or");
    let hint = meant.or(hint).unwrap_or_default();
    syn::Error::new_spanned(name, format!("unknown argument `{name}`; expected {expected}{hint}"))
}

fn misshapen(name: &Ident, error: syn::Error) -> syn::Error {
    syn::Error::new(error.span(), wanted(name))
}

fn wanted(name: &Ident) -> String {
    format!("`{name}` is written like `{}`", example(&name.to_string()))
}

fn equals(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if !input.peek(Token![=]) {
        return Err(syn::Error::new_spanned(name, wanted(name)));
    }
    input.parse::<Token![=]>().map(drop)
}

/// What does not parse is left where it stands: syn would report what it had not read once more.
fn expression(name: &Ident, input: ParseStream<'_>) -> syn::Result<Expr> {
    let ahead = input.fork();
    let value = ahead.parse::<Expr>().map_err(|error| misshapen(name, error))?;
    input.advance_to(&ahead);
    Ok(value)
}

fn flag(name: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(true);
    }
    Err(syn::Error::new_spanned(name, format!("`{name}` takes no value; write `{name}` alone")))
}

fn names(name: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    if !input.peek(syn::token::Paren) {
        return Err(syn::Error::new_spanned(name, wanted(name)));
    }
    let content;
    parenthesized!(content in input);
    let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any);
    // What is left would be reported once more.
    content.parse::<TokenStream>()?;
    names.map(|names| names.into_iter().collect()).map_err(|error| misshapen(name, error))
}

fn literal(name: &Ident, value: &Expr) -> syn::Result<LitStr> {
    match ungrouped(value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other @ (Expr::Path(_) | Expr::Macro(_) | Expr::Reference(_)) => {
            let message =
                format!("{}; constants and macros cannot be read here, so write the text itself", wanted(name));
            Err(syn::Error::new_spanned(other, message))
        }
        other => Err(syn::Error::new_spanned(other, wanted(name))),
    }
}

fn literals(name: &Ident, value: &Expr, errors: &mut Errors) -> syn::Result<Vec<LitStr>> {
    Ok(elements(name, value)?.iter().filter_map(|element| errors.check(literal(name, element))).collect())
}

fn elements<'e>(name: &Ident, value: &'e Expr) -> syn::Result<&'e Punctuated<Expr, Token![,]>> {
    match ungrouped(value) {
        Expr::Array(array) => Ok(&array.elems),
        _ => Err(syn::Error::new_spanned(value, wanted(name))),
    }
}

fn path(name: &Ident, input: ParseStream<'_>) -> syn::Result<Path> {
    equals(name, input)?;
    Path::parse_mod_style(input).map_err(|error| misshapen(name, error))
}

fn word(name: &Ident, value: &Expr) -> syn::Result<Ident> {
    syn::parse2(ungrouped(value).to_token_stream()).map_err(|_| syn::Error::new_spanned(value, wanted(name)))
}

fn end_of_argument(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error("expected a `,` between two arguments"))
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn mistakes(tokens: TokenStream, known: &[&str]) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(tokens, known, &mut errors);
        match errors.finish(Some(())) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn every_argument_is_read() {
        let mut errors = Errors::default();
        let args = Args::parse(
            quote!(
                ttl = |t| t.ttl(),
                key = "k",
                skip(a, b,),
                tags = ["x"],
                jitter = 0.5,
                allow_stale,
                cache = self.cache,
                in_transaction,
                crate = a::b
            ),
            CACHED,
            &mut errors,
        );
        errors.finish(Some(())).unwrap();
        assert!(args.ttl.is_some() && args.key.is_some() && args.jitter.is_some() && args.cache.is_some());
        assert!(args.in_transaction && args.allow_stale && args.runtime.is_some());
        assert_eq!((args.skip.len(), args.tags.len()), (2, 1));
    }

    #[test]
    fn every_mistake_is_reported() {
        let tokens = quote!(tll = "5m", key = 3, key = "x", tags = [1, "y", z], "5m", mode = after, ttl);
        assert_eq!(mistakes(tokens, CACHED).len(), 8);
    }

    #[test]
    fn every_example_is_taken() {
        for known in [CACHED, INVALIDATES] {
            for name in known {
                assert_eq!(mistakes(example(name).parse().unwrap(), known), [""; 0]);
            }
        }
    }

    #[test]
    fn unknown_arguments_list_the_known() {
        let [message] = &mistakes(quote!(tll = "5m"), CACHED)[..] else { panic!() };
        for name in CACHED {
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
        assert!(message.ends_with("did you mean `ttl`?"), "{message}");
    }

    #[test]
    fn a_forgotten_comma_is_one_mistake() {
        assert_eq!(
            mistakes(quote!(ttl = "5m" key = "x", jitter = 0.1), CACHED),
            ["expected a `,` between two arguments"]
        );
    }
}
