//! What `#[cached]` says of values past their time, of errors, and of loads that find no place.

use proc_macro2::Ident;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use quote::quote;
use quote::quote_spanned;
use syn::Expr;
use syn::Lit;
use syn::spanned::Spanned;

use crate::args::Args;
use crate::args::ungrouped;
use crate::duration::Time;
use crate::errors::Errors;
use crate::function::Function;

/// See the module.
pub(crate) struct Serving {
    while_revalidate: Option<Time>,
    if_error: Option<Time>,
    even_invalidated: bool,
    soft_timeout: Option<Time>,
    early: Option<Expr>,
    idle: Option<Time>,
    max_loads: Option<Expr>,
    /// Which errors are stored.
    negative: Option<Expr>,
    /// Where it says that a call without a place fails.
    rejects: Option<Span>,
    /// Whether a refresh must not go on beside its caller.
    inline: bool,
}

impl Serving {
    pub(crate) fn parse(args: &mut Args, errors: &mut Errors) -> Self {
        reject_what_has_no_effect(args, errors);
        let mut time = |given: Option<Expr>| given.and_then(|given| errors.check(Time::parse(given)));
        let (while_revalidate, if_error) = (time(args.stale_while_revalidate.take()), time(args.stale_if_error.take()));
        let (soft_timeout, idle) = (time(args.soft_timeout.take()), time(args.time_to_idle.take()));
        Self {
            while_revalidate,
            if_error,
            even_invalidated: args.even_invalidated.is_some(),
            soft_timeout,
            early: args.early_refresh.take().and_then(|early| errors.check(beta(early)).flatten()),
            idle,
            max_loads: args.max_loads.take().and_then(|loads| errors.check(count(loads))),
            negative: args.negative.take().and_then(|negative| errors.check(of_one_error(negative))),
            rejects: args.overload.take().and_then(|overload| errors.check(rejection(&overload)).flatten()),
            inline: args.refresh_inline.is_some(),
        }
    }

    /// What the builder is told that leaves the kind of the entry as it is.
    pub(crate) fn steps(&self) -> TokenStream {
        let time = |method: &str, time: &Option<Time>| {
            let method = Ident::new(method, Span::mixed_site());
            time.as_ref().map(|time| quote!(.#method(#time)))
        };
        let while_revalidate = time("stale_while_revalidate", &self.while_revalidate);
        let if_error = time("stale_if_error", &self.if_error);
        let even_invalidated = self.even_invalidated.then(|| quote!(.even_invalidated()));
        let soft_timeout = time("soft_timeout", &self.soft_timeout);
        let early = self.early.as_ref().map(|beta| quote!(.early_refresh(#beta)));
        let idle = time("time_to_idle", &self.idle);
        let max_loads = self.max_loads.as_ref().map(|loads| quote!(.max_loads(#loads)));
        quote!(#while_revalidate #if_error #even_invalidated #soft_timeout #early #idle #max_loads)
    }

    /// What changes the kind of the entry, and comes last. Errors that are stored live for `negative_ttl`.
    pub(crate) fn kinds(&self, negative_ttl: Option<&Time>) -> TokenStream {
        let negative = self.negative.as_ref().map(|negative| {
            let span = Span::mixed_site().located_at(negative.span());
            match ungrouped(negative) {
                Expr::Closure(_) => quote_spanned!(span=> .negative(#negative, #negative_ttl)),
                pattern => {
                    quote_spanned!(span=> .negative(|error| ::core::matches!(error, #pattern), #negative_ttl))
                }
            }
        });
        let rejects = self.rejects.map(|span| {
            let method = Ident::new("reject_overload", Span::mixed_site().located_at(span));
            quote!(.#method())
        });
        quote!(#negative #rejects)
    }

    /// The expressions of the user that a handle would have to know the arguments of.
    pub(crate) fn expressions(&self) -> TokenStream {
        let times = [&self.while_revalidate, &self.if_error, &self.soft_timeout, &self.idle];
        let computed = times.into_iter().flatten().filter(|time| matches!(time, Time::Computed(_)));
        let (early, loads) = (&self.early, &self.max_loads);
        let negative = self.negative.as_ref().filter(|negative| matches!(ungrouped(negative), Expr::Closure(_)));
        quote!(#(#computed)* #early #loads #negative)
    }

    /// Whether errors are stored.
    pub(crate) fn is_negative(&self) -> bool {
        self.negative.is_some()
    }

    /// Whether a load can go on beside the call of `function`: it may have to, and nothing that it needs is borrowed.
    pub(crate) fn goes_on(&self, function: &Function) -> bool {
        let may = self.while_revalidate.is_some() || self.soft_timeout.is_some() || self.early.is_some();
        may && !self.inline && function.boxed.is_none() && owns_everything(function)
    }
}

/// Whether the signature has no reference, no lifetime, and no type that only its caller knows.
fn owns_everything(function: &Function) -> bool {
    let signature = &function.item.signature;
    signature.generics.type_params().next().is_none() && !borrows(signature.inputs.to_token_stream())
}

fn borrows(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '&' || punct.as_char() == '\'',
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => borrows(group.stream()),
        TokenTree::Literal(_) => false,
    })
}

fn reject_what_has_no_effect(args: &Args, errors: &mut Errors) {
    if let Some(soft_timeout) = args.soft_timeout.as_ref().filter(|_| !args.attempts("stale_if_error")) {
        errors.push(
            soft_timeout,
            "`soft_timeout` returns what `stale_if_error` keeps; say for how long, as in `stale_if_error = \"10m\"`",
        );
    }
    if let Some(even) = args.even_invalidated.as_ref().filter(|_| !args.attempts("stale_if_error")) {
        errors.push(
            even,
            "`even_invalidated` is said of what `stale_if_error` serves; say for how long, as in `stale_if_error = \"10m\"`",
        );
    }
    if let Some(negative) = args.negative.as_ref().filter(|_| !args.attempts("negative_ttl")) {
        errors.push(
            negative,
            "`negative` stores errors for the `negative_ttl`; say how long, as in `negative_ttl = \"30s\"`",
        );
    }
    let refreshes = ["stale_while_revalidate", "soft_timeout", "early_refresh"];
    if let Some(inline) = args.refresh_inline.as_ref().filter(|_| !refreshes.iter().any(|name| args.attempts(name))) {
        errors.push(
            inline,
            "`refresh_inline` has no effect without `stale_while_revalidate`, `soft_timeout` or `early_refresh`; take it out",
        );
    }
}

/// `true` is a beta of one, and `false` none.
fn beta(early: Expr) -> syn::Result<Option<Expr>> {
    let Expr::Lit(literal) = ungrouped(&early) else { return Ok(Some(early)) };
    let written = |literal: &Lit| match literal {
        Lit::Bool(on) => Some(if on.value { 1.0 } else { 0.0 }),
        Lit::Float(beta) => beta.base10_parse::<f64>().ok(),
        Lit::Int(beta) => beta.base10_parse::<f64>().ok(),
        _ => None,
    };
    match written(&literal.lit) {
        Some(0.0) if matches!(&literal.lit, Lit::Bool(_)) => Ok(None),
        Some(beta) if beta > 0.0 && beta.is_finite() => Ok(Some(syn::parse_quote!(#beta))),
        _ => Err(syn::Error::new_spanned(
            early,
            "`early_refresh` is `true`, or a number greater than zero, of which more refreshes earlier; write `early_refresh = true`",
        )),
    }
}

/// A whole number greater than zero, or any expression.
fn count(loads: Expr) -> syn::Result<Expr> {
    let fits = match ungrouped(&loads) {
        Expr::Lit(literal) => {
            matches!(&literal.lit, Lit::Int(number) if number.base10_parse::<u32>().is_ok_and(|loads| loads > 0))
        }
        Expr::Unary(_) => false,
        _ => true,
    };
    let message = "`max_loads` is how many loads may run at once, one or more; write one like `max_loads = 16`";
    if fits { Ok(loads) } else { Err(syn::Error::new_spanned(loads, message)) }
}

/// A pattern, or a closure of one error.
fn of_one_error(negative: Expr) -> syn::Result<Expr> {
    match ungrouped(&negative) {
        Expr::Closure(closure) if closure.inputs.len() != 1 => Err(syn::Error::new_spanned(
            closure,
            "the closure of `negative` takes one argument, the error; write one like `negative = |error| error.is_not_found()`",
        )),
        Expr::Lit(_) => Err(syn::Error::new_spanned(
            &negative,
            "`negative` says which errors are stored; write a pattern like `negative = DbError::NotFound`, or a closure like `negative = |error| error.is_not_found()`",
        )),
        _ => Ok(negative),
    }
}

fn rejection(overload: &Ident) -> syn::Result<Option<Span>> {
    match overload.to_string().as_str() {
        "reject" => Ok(Some(overload.span())),
        "load" => Ok(None),
        other => Err(syn::Error::new_spanned(overload, format!("unknown `{other}`; expected `load` or `reject`"))),
    }
}
