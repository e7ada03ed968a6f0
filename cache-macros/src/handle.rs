//! The function that `handle = user_entry` puts beside the annotated one.

use std::collections::BTreeSet;

use proc_macro2::Span;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use quote::quote;
use quote::quote_spanned;
use syn::Attribute;
use syn::FnArg;
use syn::GenericParam;
use syn::Generics;
use syn::Ident;
use syn::Pat;
use syn::Path;
use syn::Token;
use syn::Type;
use syn::WherePredicate;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::arguments::Argument;
use crate::arguments::Kind;
use crate::errors::Errors;
use crate::function::Function;
use crate::parts::Part;
use crate::parts::Root;

/// A function that takes, by reference, what key and tags name.
pub(crate) struct Handle {
    pub(crate) name: Ident,
    /// Whether it is known to stand in an `impl` or a `trait`.
    pub(crate) associated: bool,
    pub(crate) receiver: Option<Token![self]>,
    pub(crate) parameters: Vec<Parameter>,
    /// Of the function's own, those that its parameters, its key, its tags or its returned type need.
    pub(crate) generics: Generics,
}

pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) conditions: Vec<Attribute>,
    /// What the argument refers to, or what it is.
    pub(crate) referent: TokenStream,
    /// Whether the argument is a reference already.
    pub(crate) reference: bool,
}

impl Handle {
    /// Joins the `path` that was given with the `parts` of key and tags, and with the `expressions` that are evaluated beside them.
    pub(crate) fn parse<'p>(
        path: &Path,
        function: &Function,
        parts: impl Iterator<Item = &'p Part>,
        expressions: &[TokenStream],
        errors: &mut Errors,
    ) -> Option<Self> {
        let (name, in_self) = errors.check(named(path))?;
        if name.unraw() == function.name() {
            errors.push(
                path,
                format!(
                    "`{name}` is this function; give the handle a name of its own, such as `handle = {}_entry`",
                    function.name()
                ),
            );
            return None;
        }
        if function.boxed.is_some() {
            errors.push(path, format!(
                "a method under `#[async_trait]` has no room for `{name}` beside it; cache a method of an inherent `impl`, and call that from here"
            ));
            return None;
        }
        let parts: Vec<_> = parts.collect();
        let named_self = parts.iter().any(|part| matches!(part.root, Root::Receiver(_)))
            || expressions.iter().any(|expression| names(expression.clone()).contains("self"));
        let parameters = parameters(&name, function, &parts, errors);
        let generics = generics(function, &parameters, &parts);
        let receiver = function.arguments.receiver.filter(|_| named_self);
        let associated = in_self || function.knows_self();
        Some(Self { name, associated, receiver, parameters, generics })
    }

    /// `self.user_entry(&id)`.
    pub(crate) fn call(&self) -> TokenStream {
        let Self { name, receiver, .. } = self;
        let arguments = self.parameters.iter().map(|Parameter { ident, conditions, reference, .. }| match reference {
            true => quote!(#(#conditions)* &*#ident),
            false => quote!(#(#conditions)* &#ident),
        });
        let path = match (receiver, self.associated) {
            (Some(this), _) => quote!(#this.#name),
            (None, true) => quote!(Self::#name),
            (None, false) => quote!(#name),
        };
        let types: Vec<_> = self.generics.params.iter().filter_map(type_argument).collect();
        let types = (!types.is_empty()).then(|| quote!(::<#(#types),*>));
        quote!(#path #types (#(#arguments),*))
    }

    /// `fn user_entry(&self, id: &UserId) -> Handle<R> { sentence.here(&|| ()).handle() }`, with the visibility of `function`.
    pub(crate) fn print(&self, function: &Function, runtime: &Path, sentence: &TokenStream) -> TokenStream {
        let Self { name, receiver, generics, .. } = self;
        let (visibility, output) = (&function.item.visibility, &function.output);
        let conditions = function.item.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        let doc = format!(" The entry of `{}` in its cache, by what tells its calls apart.", function.name());
        let receiver = receiver.map(|this| quote!(&#this,));
        // Where the function reports it too, so that a value that cannot be stored is reported once.
        let value = Span::mixed_site().located_at(function.value().span());
        let into_handle = quote_spanned!(value=> .here(&|| ()).handle());
        let parameters = self
            .parameters
            .iter()
            .map(|Parameter { ident, conditions, referent, .. }| quote!(#(#conditions)* #ident: &#referent));
        let bounds = &generics.where_clause;
        let span = Span::mixed_site().located_at(name.span());
        quote_spanned! {span=>
            #(#conditions)*
            #[doc = #doc]
            #visibility fn #name #generics(#receiver #(#parameters),*) -> #runtime::Handle<#output> #bounds {
                #sentence #into_handle
            }
        }
    }
}

/// `user_entry`, or `Self::user_entry` where nothing else tells that the function stands in an `impl`.
fn named(path: &Path) -> syn::Result<(Ident, bool)> {
    let segments: Vec<_> = path.segments.iter().filter(|part| part.arguments.is_none()).collect();
    match segments[..] {
        [name] if path.segments.len() == 1 && name.ident != "Self" => Ok((name.ident.clone(), false)),
        [this, name] if path.segments.len() == 2 && this.ident == "Self" => Ok((name.ident.clone(), true)),
        _ => Err(syn::Error::new_spanned(
            path,
            "`handle` is the name of a function that does not exist yet; write one like `handle = user_entry`",
        )),
    }
}

fn parameters(name: &Ident, function: &Function, parts: &[&Part], errors: &mut Errors) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for argument in &function.arguments.list {
        if argument.kind != Kind::Value || !parts.iter().any(|part| names_argument(part, argument)) {
            continue;
        }
        match written_type(function, &argument.ident) {
            Some(ty) => {
                let (referent, reference) = referent(ty);
                let (ident, conditions) = (argument.ident.clone(), argument.conditions.clone());
                parameters.push(Parameter { ident, conditions, referent, reference });
            }
            None => errors.push(
                &argument.ident,
                format!("`{name}` cannot take `{0}` alone, which is a part of a pattern; give the whole argument a name, and take it apart in the body", argument.name()),
            ),
        }
    }
    parameters
}

fn names_argument(part: &Part, argument: &Argument) -> bool {
    matches!(&part.root, Root::Argument(named) if named.ident == argument.ident)
}

/// The type of the argument that is `ident` and no pattern.
fn written_type<'f>(function: &'f Function, ident: &Ident) -> Option<&'f Type> {
    function.item.signature.inputs.iter().find_map(|input| match input {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(binding) if binding.ident == *ident && binding.subpat.is_none() => Some(&*typed.ty),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    })
}

/// What a reference to an argument of this type refers to, and whether the argument is one already. A `String` is asked for as `str`.
fn referent(ty: &Type) -> (TokenStream, bool) {
    match ty {
        Type::Group(group) => referent(&group.elem),
        Type::Paren(paren) => referent(&paren.elem),
        Type::Reference(reference) => (unsized_form(&reference.elem), true),
        Type::ImplTrait(_) => (quote!((#ty)), false),
        other => (unsized_form(other), false),
    }
}

fn unsized_form(ty: &Type) -> TokenStream {
    match ty {
        Type::Path(path) if path.qself.is_none() => match path.path.segments.last() {
            Some(last) if last.ident == "String" && last.arguments.is_none() => {
                quote!(::core::primitive::str)
            }
            _ => ty.to_token_stream(),
        },
        Type::ImplTrait(_) => quote!((#ty)),
        _ => ty.to_token_stream(),
    }
}

/// The generics of `function` that are needed: those that are named in what the handle takes and returns, and what their bounds name in turn.
fn generics(function: &Function, parameters: &[Parameter], parts: &[&Part]) -> Generics {
    let mut generics = function.item.signature.generics.clone();
    let mut needed = names(function.output.to_token_stream());
    needed.extend(parameters.iter().flat_map(|parameter| names(parameter.referent.clone())));
    needed.extend(parts.iter().filter_map(|part| match &part.root {
        Root::Argument(argument) if argument.kind != Kind::Value => Some(argument.ident.to_string()),
        _ => None,
    }));
    let known: BTreeSet<String> = generics.params.iter().map(parameter_name).collect();
    loop {
        let before = needed.len();
        for parameter in &generics.params {
            if needed.contains(&parameter_name(parameter)) {
                needed.extend(names(parameter.to_token_stream()));
            }
        }
        for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
            if names(subject(predicate)).iter().any(|name| known.contains(name) && needed.contains(name)) {
                needed.extend(names(predicate.to_token_stream()));
            }
        }
        if needed.len() == before {
            break;
        }
    }
    generics.params =
        generics.params.into_iter().filter(|parameter| needed.contains(&parameter_name(parameter))).collect();
    if let Some(clause) = &mut generics.where_clause {
        let kept = |predicate: &WherePredicate| {
            names(predicate.to_token_stream()).iter().all(|name| !known.contains(name) || needed.contains(name))
        };
        clause.predicates = std::mem::take(&mut clause.predicates).into_iter().filter(kept).collect();
    }
    generics
}

fn parameter_name(parameter: &GenericParam) -> String {
    match parameter {
        GenericParam::Lifetime(parameter) => parameter.lifetime.to_string(),
        GenericParam::Type(parameter) => parameter.ident.to_string(),
        GenericParam::Const(parameter) => parameter.ident.to_string(),
    }
}

fn type_argument(parameter: &GenericParam) -> Option<&Ident> {
    match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
    }
}

fn subject(predicate: &WherePredicate) -> TokenStream {
    match predicate {
        WherePredicate::Type(predicate) => predicate.bounded_ty.to_token_stream(),
        WherePredicate::Lifetime(predicate) => predicate.lifetime.to_token_stream(),
        other => other.to_token_stream(),
    }
}

/// Every name in `tokens`, lifetimes with their mark.
fn names(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut mark = "";
    for token in tokens {
        match &token {
            TokenTree::Ident(ident) => drop(found.insert(format!("{mark}{ident}"))),
            TokenTree::Group(group) => found.extend(names(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        mark = if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'') { "'" } else { "" };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Cached;

    fn handle(args: TokenStream, item: TokenStream) -> Handle {
        Cached::parse(args, item).unwrap().handle.unwrap()
    }

    fn mistakes(args: TokenStream, item: TokenStream) -> Vec<String> {
        Cached::parse(args, item).err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    #[test]
    fn it_takes_what_key_and_tags_name_and_no_more() {
        let handle = handle(
            quote!(ttl = "1s", key = "{a}", tags = ["{c.x}"], skip(b, c, d), handle = of),
            quote!(
                async fn f(&self, a: u8, b: Vec<u8>, c: &C, d: &Db) -> u8 {}
            ),
        );
        let names: Vec<_> = handle.parameters.iter().map(|parameter| parameter.ident.to_string()).collect();
        assert_eq!(names, ["a", "c"]);
        assert!(handle.receiver.is_none());
        assert_eq!(handle.call().to_string(), quote!(Self::of(&a, &*c)).to_string());
    }

    #[test]
    fn self_is_taken_where_it_is_named() {
        for args in [
            quote!(ttl = "1s", key = "{self.a}", handle = of),
            quote!(ttl = "1s", key = "a", tags = ["{self.a}"], handle = of),
            quote!(ttl = self.ttl, key = "a", handle = of),
            quote!(ttl = "1s", key = "a", cache = self.cache, handle = of),
        ] {
            let item = quote!(
                async fn f(&mut self) -> u8 {}
            );
            assert!(handle(args.clone(), item).receiver.is_some(), "{args}");
        }
    }

    #[test]
    fn a_free_function_is_told_from_an_associated_one() {
        let item = quote!(
            async fn f(a: u8) -> u8 {}
        );
        assert_eq!(handle(quote!(ttl = "1s", handle = of), item.clone()).call().to_string(), "of (& a)");
        assert_eq!(handle(quote!(ttl = "1s", handle = Self::of), item).call().to_string(), "Self :: of (& a)");
    }

    #[test]
    fn generics_that_nothing_needs_are_left_out() {
        let handle = handle(
            quote!(ttl = "1s", key = "{T}:{id}", skip(F, V, W, load, by), handle = of),
            quote!(
                async fn f<'a, 'b, T: Kind<V>, F: Future, V, W>(id: &'a Id<'b>, load: F, by: W) -> u8
                where
                    F: Send,
                    V: Copy,
                    Self: Sized,
                {
                }
            ),
        );
        let generics = &handle.generics;
        assert_eq!(quote!(#generics).to_string(), quote!(<'b, T: Kind<V>, V>).to_string());
        let bounds = &generics.where_clause;
        assert_eq!(quote!(#bounds).to_string(), quote!(where V: Copy, Self: Sized).to_string());
    }

    #[test]
    fn what_cannot_have_one_is_refused() {
        let pattern = quote!(
            async fn f((a, b): (u8, u8)) -> u8 {}
        );
        assert_eq!(mistakes(quote!(ttl = "1s", handle = of), pattern).len(), 2);
        let plain = quote!(
            async fn f(a: u8) -> u8 {}
        );
        for path in [quote!(a::b), quote!(crate::of), quote!(Self), quote!(Self::a::b)] {
            assert_eq!(mistakes(quote!(ttl = "1s", handle = #path), plain.clone()).len(), 1, "{path}");
        }
    }
}
