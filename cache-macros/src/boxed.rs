//! The shape that `#[async_trait]` gives a method before we see it.
//!
//! An attribute on an `impl` runs before those inside, so instead of `async fn f(&self, (a, b): (A, B)) -> T` there is
//!
//! ```text
//! fn f<'life0, 'async_trait>(&'life0 self, __arg1: (A, B)) -> Pin<Box<dyn Future<Output = T> + Send + 'async_trait>> {
//!     Box::pin(async move { let (a, b) = { let __arg1 = __arg1; __arg1 }; … })
//! }
//! ```
//!
//! The `async` block is wrapped in place of the body. The statements that take patterns apart stay in front of what is
//! inserted, so that a template can name their bindings.

use proc_macro2::TokenStream;
use syn::Attribute;
use syn::Block;
use syn::Expr;
use syn::ExprAsync;
use syn::ExprCall;
use syn::GenericArgument;
use syn::Ident;
use syn::Pat;
use syn::Path;
use syn::PathArguments;
use syn::ReturnType;
use syn::Stmt;
use syn::Type;
use syn::TypeParamBound;
use syn::parse::Parser;

/// A body that is one boxed `async` block.
pub(crate) struct Boxed {
    /// What the block yields.
    pub(crate) output: Type,
    /// Statements in front of the block.
    pub(crate) before: Vec<Stmt>,
    /// `Box::pin`.
    pub(crate) pin: Expr,
    pub(crate) attributes: Vec<Attribute>,
    /// The first statements of the block, which take patterns apart.
    pub(crate) bindings: Vec<Stmt>,
    pub(crate) body: Vec<Stmt>,
}

impl Boxed {
    /// Recognises the shape by its return type and its last expression.
    pub(crate) fn parse(output: &ReturnType, body: &TokenStream) -> Option<Self> {
        let output = future_output(output)?;
        let mut before = Block::parse_within.parse2(body.clone()).ok()?;
        let Some(Stmt::Expr(Expr::Call(ExprCall { func: pin, mut args, .. }), None)) = before.pop() else {
            return None;
        };
        if !is_box_pin(&pin) || args.len() != 1 {
            return None;
        }
        let Some(Expr::Async(ExprAsync { attrs: attributes, capture: Some(_), block, .. })) = args.pop() else {
            return None;
        };
        let (bindings, body) = block.stmts.into_iter().partition(|statement| taken_apart(statement).is_some());
        Some(Self { output, before, pin: *pin, attributes, bindings, body })
    }

    /// The pattern that `argument` stands for, if it was put in its place.
    pub(crate) fn pattern(&self, argument: &Ident) -> Option<Pattern<'_>> {
        let mut patterns = self.bindings.iter().filter_map(taken_apart);
        patterns.find(|(name, _)| *name == argument).map(|(_, pattern)| pattern)
    }
}

/// What the user wrote where `#[async_trait]` put a name.
pub(crate) enum Pattern<'a> {
    Wild,
    Bindings(&'a Pat),
}

/// The argument and the pattern of `let PATTERN = { let __arg1 = __arg1; __arg1 };`, or of `let __arg1 = __arg1;`, which stands for `_`.
fn taken_apart(statement: &Stmt) -> Option<(&Ident, Pattern<'_>)> {
    let Stmt::Local(local) = statement else { return None };
    match &*local.init.as_ref()?.expr {
        Expr::Path(_) => match &local.pat {
            Pat::Ident(name) if is_positional(&name.ident) => Some((&name.ident, Pattern::Wild)),
            _ => None,
        },
        Expr::Block(block) => {
            let [Stmt::Local(_), Stmt::Expr(Expr::Path(name), None)] = &block.block.stmts[..] else { return None };
            let name = name.path.get_ident().filter(|name| is_positional(name))?;
            Some((name, Pattern::Bindings(&local.pat)))
        }
        _ => None,
    }
}

fn is_positional(argument: &Ident) -> bool {
    let name = argument.to_string();
    let position = name.strip_prefix("__arg").unwrap_or_default();
    !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit())
}

/// `T` of `Pin<Box<dyn Future<Output = T> + …>>`.
fn future_output(output: &ReturnType) -> Option<Type> {
    let ReturnType::Type(_, output) = output else { return None };
    let Type::TraitObject(object) = argument_of(argument_of(output, "Pin")?, "Box")? else { return None };
    object.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => associated_output(&bound.path),
        _ => None,
    })
}

fn associated_output(path: &Path) -> Option<Type> {
    let future = path.segments.last().filter(|segment| segment.ident == "Future")?;
    let PathArguments::AngleBracketed(arguments) = &future.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(output) if output.ident == "Output" => Some(output.ty.clone()),
        _ => None,
    })
}

/// The first type argument of `ty`, if it is a path that ends in `name`.
pub(crate) fn argument_of<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    let path = match ty {
        Type::Group(group) => return argument_of(&group.elem, name),
        Type::Path(path) => path,
        _ => return None,
    };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument),
        _ => None,
    })
}

fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(function) = function else { return false };
    let mut segments = function.path.segments.iter().rev();
    segments.next().is_some_and(|last| last.ident == "pin") && segments.next().is_some_and(|last| last.ident == "Box")
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;
    use quote::format_ident;
    use quote::quote;
    use syn::parse_quote;

    use super::*;

    fn boxed(body: &TokenStream) -> Option<Boxed> {
        Boxed::parse(&parse_quote!(-> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = u8> + Send + 'a>>), body)
    }

    #[test]
    fn the_shape_is_recognised() {
        let boxed = boxed(&quote!(Box::pin(async move { 1 }))).unwrap();
        assert_eq!(boxed.output.to_token_stream().to_string(), "u8");
        assert_eq!(boxed.body.len(), 1);
    }

    #[test]
    fn other_bodies_are_not() {
        for body in
            [quote!(Box::pin(other())), quote!(Box::pin(async { 1 })), quote!(pinned(async move { 1 })), quote!()]
        {
            assert!(boxed(&body).is_none(), "{body}");
        }
        assert!(Boxed::parse(&parse_quote!(-> u8), &quote!(Box::pin(async move { 1 }))).is_none());
    }

    #[test]
    fn patterns_are_found_again() {
        let boxed = boxed(&quote!(Box::pin(async move {
            let __self = self;
            let (a, b) = {
                let __arg1 = __arg1;
                __arg1
            };
            let __arg2 = __arg2;
            a + b
        })))
        .unwrap();
        assert!(matches!(boxed.pattern(&format_ident!("__arg1")), Some(Pattern::Bindings(Pat::Tuple(_)))));
        assert!(matches!(boxed.pattern(&format_ident!("__arg2")), Some(Pattern::Wild)));
        assert!(boxed.pattern(&format_ident!("__arg3")).is_none());
        assert_eq!((boxed.bindings.len(), boxed.body.len()), (2, 2));
    }
}
