//! What tells one call of a function from another.

use proc_macro2::Span;
use syn::Attribute;
use syn::FnArg;
use syn::GenericParam;
use syn::Ident;
use syn::Pat;
use syn::Signature;
use syn::Token;
use syn::Type;
use syn::ext::IdentExt;

use crate::boxed::Boxed;
use crate::boxed::Pattern;
use crate::suggest;

/// The arguments of a function, its type and const parameters included.
pub(crate) struct Arguments {
    pub(crate) receiver: Option<Token![self]>,
    pub(crate) list: Vec<Argument>,
}

/// A name that a template can use and that the key has to cover.
#[derive(Clone)]
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) kind: Kind,
    /// Whether it is a `&mut`, by the spelling of its type.
    pub(crate) mutably: bool,
    /// The `#[cfg(…)]` it stands under.
    pub(crate) conditions: Vec<Attribute>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value,
    Type,
    Const,
}

impl Arguments {
    /// Collects what `signature` declares: the bindings of every pattern, then type and const parameters.
    ///
    /// What is bound to `_` cannot reach the body, and does not count.
    pub(crate) fn of(signature: &Signature, boxed: Option<&Boxed>) -> Self {
        let mut arguments = Self { receiver: None, list: Vec::new() };
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) => arguments.receiver = Some(receiver.self_token),
                FnArg::Typed(typed) => {
                    let conditions: Vec<_> =
                        typed.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
                    let pattern = original(&typed.pat, boxed);
                    let mutably = matches!(pattern, Some(Pat::Ident(_))) && is_mutable(&typed.ty);
                    bindings(pattern, |ident| arguments.list.push(Argument::value(ident, mutably, &conditions)));
                }
            }
        }
        arguments.list.extend(signature.generics.params.iter().filter_map(Argument::parameter));
        arguments
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Argument> {
        self.list.iter().find(|argument| argument.name() == name)
    }

    /// The argument that `name` was most likely meant to be.
    pub(crate) fn nearest(&self, name: &str) -> Option<String> {
        let names = self.names();
        suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Says that `name`, which a template names, is none of them, and which was meant or which there are that are not `named` yet.
    pub(crate) fn unknown(&self, name: &str, named: &[&str]) -> String {
        let names = self.names();
        let free: Vec<_> = names.iter().map(String::as_str).filter(|name| !named.contains(name)).collect();
        let meant = suggest::nearest(name, free.iter().copied());
        match (meant, suggest::list(free.iter().copied(), "or")) {
            (Some(meant), _) => format!("`{name}` is not an argument of this function; did you mean `{meant}`?"),
            (None, _) if names.is_empty() => format!("`{name}` is not an argument of this function, which takes none"),
            (None, none) if none.is_empty() => {
                format!("`{name}` is not an argument of this function, whose arguments are all named; take it out")
            }
            (None, names) => format!("`{name}` is not an argument of this function; write {names}"),
        }
    }

    /// Says that `name`, which `skip` names, is none of them, and which was meant or which there are.
    ///
    /// What there is, is not what to write: it would be skipped.
    pub(crate) fn unknown_to_skip(&self, name: &str) -> String {
        let names = self.names();
        if let Some(meant) = self.nearest(name) {
            return format!("`{name}` is not an argument of this function; did you mean `{meant}`?");
        }
        match suggest::list(names.iter().map(String::as_str), "and") {
            none if none.is_empty() => {
                format!("`{name}` is not an argument of this function, which takes none; take it out")
            }
            list if names.len() == 1 => {
                format!("`{name}` is not an argument of this function; take it out: the argument is {list}")
            }
            list => format!("`{name}` is not an argument of this function; take it out: the arguments are {list}"),
        }
    }

    fn names(&self) -> Vec<String> {
        self.list.iter().map(Argument::name).collect()
    }
}

impl Argument {
    /// Its name as templates and people write it.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Its identifier, resolved as in the signature and reported at `span`.
    pub(crate) fn at(&self, span: Span) -> Ident {
        let mut ident = self.ident.clone();
        ident.set_span(ident.span().located_at(span));
        ident
    }

    fn value(ident: &Ident, mutably: bool, conditions: &[Attribute]) -> Self {
        Self { ident: ident.clone(), kind: Kind::Value, mutably, conditions: conditions.to_vec() }
    }

    fn parameter(parameter: &GenericParam) -> Option<Self> {
        let (ident, kind) = match parameter {
            GenericParam::Type(parameter) => (&parameter.ident, Kind::Type),
            GenericParam::Const(parameter) => (&parameter.ident, Kind::Const),
            _ => return None,
        };
        Some(Self { ident: ident.clone(), kind, mutably: false, conditions: Vec::new() })
    }
}

fn is_mutable(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => reference.mutability.is_some(),
        Type::Group(group) => is_mutable(&group.elem),
        Type::Paren(paren) => is_mutable(&paren.elem),
        _ => false,
    }
}

/// The pattern as the user wrote it, before `#[async_trait]` moved it into the body.
fn original<'a>(pattern: &'a Pat, boxed: Option<&'a Boxed>) -> Option<&'a Pat> {
    let Pat::Ident(name) = pattern else { return Some(pattern) };
    match boxed.and_then(|boxed| boxed.pattern(&name.ident)) {
        Some(Pattern::Wild) => None,
        Some(Pattern::Bindings(pattern)) => Some(pattern),
        None => Some(pattern),
    }
}

fn bindings(pattern: Option<&Pat>, mut add: impl FnMut(&Ident)) {
    let mut waiting: Vec<&Pat> = pattern.into_iter().collect();
    while let Some(pattern) = waiting.pop() {
        if let Pat::Ident(binding) = pattern {
            add(&binding.ident);
        }
        let at = waiting.len();
        waiting.extend(inside(pattern));
        waiting[at..].reverse();
    }
}

/// The patterns directly in `pattern`. All cases of an or-pattern bind the same names, so its first stands for all.
fn inside(pattern: &Pat) -> Vec<&Pat> {
    match pattern {
        Pat::Ident(binding) => binding.subpat.iter().map(|(_, inner)| &**inner).collect(),
        Pat::Or(or) => or.cases.first().into_iter().collect(),
        Pat::Paren(paren) => vec![&*paren.pat],
        Pat::Reference(reference) => vec![&*reference.pat],
        Pat::Slice(slice) => slice.elems.iter().collect(),
        Pat::Struct(fields) => fields.fields.iter().map(|field| &*field.pat).collect(),
        Pat::Tuple(tuple) => tuple.elems.iter().collect(),
        Pat::TupleStruct(tuple) => tuple.elems.iter().collect(),
        Pat::Type(typed) => vec![&*typed.pat],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn names(signature: &Signature) -> Vec<String> {
        Arguments::of(signature, None).names()
    }

    #[test]
    fn every_binding_of_every_pattern_counts() {
        let signature = parse_quote!(
            async fn f(&self, a: A, mut b: B, (c, [d, ..], _): T, P { e, f: ref g, .. }: P, &h: &H, i @ W(j): W)
        );
        assert_eq!(names(&signature), ["a", "b", "c", "d", "e", "g", "h", "i", "j"]);
    }

    #[test]
    fn type_and_const_parameters_count_and_lifetimes_do_not() {
        let signature = parse_quote!(
            async fn f<'a, T: 'a, const N: usize>(x: &'a T)
        );
        assert_eq!(names(&signature), ["x", "T", "N"]);
    }

    #[test]
    fn an_ignored_argument_does_not_count() {
        let signature = parse_quote!(
            async fn f(_: Db, _named: Db)
        );
        assert_eq!(names(&signature), ["_named"]);
    }

    #[test]
    fn what_is_borrowed_mutably_is_seen_by_its_spelling() {
        let signature = parse_quote!(
            async fn f(a: &mut A, b: &B, mut c: C, d: Pin<&mut D>, (e, f): &mut (E, F), _: &mut G)
        );
        let mutably: Vec<_> =
            Arguments::of(&signature, None).list.into_iter().filter(|argument| argument.mutably).collect();
        assert_eq!(mutably.iter().map(Argument::name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn raw_names_are_found_without_their_prefix() {
        let signature = parse_quote!(
            async fn f(r#type: u8)
        );
        assert!(Arguments::of(&signature, None).find("type").is_some());
    }
}
