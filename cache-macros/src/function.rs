//! The function under the attribute, proven fit to be wrapped.

use proc_macro2::Delimiter;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::Attribute;
use syn::FnArg;
use syn::Path;
use syn::ReturnType;
use syn::Signature;
use syn::Token;
use syn::Type;
use syn::TypeParamBound;
use syn::Visibility;
use syn::braced;
use syn::ext::IdentExt;
use syn::parse::Parse;
use syn::parse::ParseStream;

use crate::arguments::Arguments;
use crate::boxed::Boxed;
use crate::boxed::argument_of;
use crate::errors::Errors;

/// An `async fn` with a body, or what `#[async_trait]` made of one.
pub(crate) struct Function {
    pub(crate) item: Item,
    /// The shape under `#[async_trait]`.
    pub(crate) boxed: Option<Boxed>,
    /// What the `async fn` returns, by the type as written.
    pub(crate) output: Type,
    pub(crate) arguments: Arguments,
}

/// A function as written, its body not looked into.
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// Those at the top of the body.
    pub(crate) inner_attributes: Vec<Attribute>,
    pub(crate) body: TokenStream,
}

impl Function {
    /// Reads `item`; `act` says what it cannot do otherwise.
    pub(crate) fn parse(item: TokenStream, act: &str, errors: &mut Errors) -> Option<Self> {
        let is_function = item.clone().into_iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "fn"));
        let item: Item = match syn::parse2(item) {
            Ok(item) => item,
            Err(error) if error.to_string() == NO_BODY => {
                let message = format!("a method without body cannot {act}; put the attribute on its implementations");
                return errors.check(Err(syn::Error::new(error.span(), message)));
            }
            Err(error) if is_function => return errors.check(Err(error)),
            Err(error) => return errors.check(Err(syn::Error::new(error.span(), only_async(act)))),
        };
        let sync = item.signature.asyncness.is_none();
        let boxed = sync.then(|| Boxed::parse(&item.signature.output, &item.body)).flatten();
        reject_other_shapes(&item.signature, boxed.is_some(), act, errors);
        let output = match (&boxed, &item.signature.output) {
            (Some(boxed), _) => boxed.output.clone(),
            (None, ReturnType::Type(_, output)) => Type::clone(output),
            (None, ReturnType::Default) => syn::parse_quote!(()),
        };
        let arguments = Arguments::of(&item.signature, boxed.as_ref());
        Some(Self { item, boxed, output, arguments })
    }

    /// Its name as people write it.
    pub(crate) fn name(&self) -> String {
        self.item.signature.ident.unraw().to_string()
    }

    /// Whether it returns a type that has no name.
    pub(crate) fn returns_impl_trait(&self) -> bool {
        mentions(self.output.to_token_stream(), "impl", &[])
    }

    /// The type of what is stored, as far as spelling tells.
    pub(crate) fn value(&self) -> &Type {
        let returned = argument_of(&self.output, "Result").unwrap_or(&self.output);
        argument_of(returned, "Option").unwrap_or(returned)
    }

    /// Whether it visibly returns no value: `()`, no type at all, or either in a `Result` or an `Option`.
    pub(crate) fn returns_nothing(&self) -> bool {
        matches!(ungrouped(self.value()), Type::Tuple(tuple) if tuple.elems.is_empty())
    }

    /// Whether no type is written for what it returns.
    pub(crate) fn has_no_output(&self) -> bool {
        self.boxed.is_none() && matches!(self.item.signature.output, ReturnType::Default)
    }

    /// Whether `Self` can be named in it, as far as its own tokens tell.
    pub(crate) fn knows_self(&self) -> bool {
        self.arguments.receiver.is_some()
            || mentions(self.item.signature.to_token_stream(), "Self", &[])
            || mentions(self.item.body.clone(), "Self", &ITEMS)
    }

    /// Reports each attribute named `name` that stands below the one that is read.
    pub(crate) fn reject_attributes(&self, name: &str, message: &str, errors: &mut Errors) {
        let named = |attribute: &&Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == name);
        for attribute in self.item.attributes.iter().filter(named) {
            errors.push(attribute, message);
        }
    }

    /// Reports every parameter that is a transaction by the name of its type.
    pub(crate) fn reject_transactions(&self, way_out: &str, errors: &mut Errors) {
        for input in &self.item.signature.inputs {
            if let FnArg::Typed(typed) = input
                && let Some(transaction) = transaction(&typed.ty)
            {
                errors.push(transaction, format!("this function takes a transaction, so {way_out}"));
            }
        }
    }
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        if input.peek(Token![;]) {
            return Err(input.error(NO_BODY));
        }
        let content;
        braced!(content in input);
        let inner_attributes = content.call(Attribute::parse_inner)?;
        Ok(Self { attributes, visibility, signature, inner_attributes, body: content.parse()? })
    }
}

const NO_BODY: &str = "no body";

fn only_async(act: &str) -> String {
    format!("only an `async fn` can {act}")
}

fn reject_other_shapes(signature: &Signature, boxed: bool, act: &str, errors: &mut Errors) {
    if let Some(constness) = &signature.constness {
        errors.push(constness, format!("{}; a `const fn` cannot wait", only_async(act)));
    } else if signature.asyncness.is_none() && !boxed {
        let name = &signature.ident;
        errors.push(signature.fn_token, format!("{}; write `async fn {name}`", only_async(act)));
    }
}

/// Looks through the invisible groups that `macro_rules!` puts around what it captured, and through parentheses.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// The part of `ty` that is named like a transaction.
fn transaction(ty: &Type) -> Option<&Path> {
    let path = match ty {
        Type::Reference(reference) => return transaction(&reference.elem),
        Type::Group(group) => return transaction(&group.elem),
        Type::Paren(paren) => return transaction(&paren.elem),
        Type::Path(path) => &path.path,
        Type::ImplTrait(implementor) => return implementor.bounds.iter().find_map(transaction_bound),
        Type::TraitObject(object) => return object.bounds.iter().find_map(transaction_bound),
        _ => return None,
    };
    is_transaction(path).then_some(path)
}

fn transaction_bound(bound: &TypeParamBound) -> Option<&Path> {
    match bound {
        TypeParamBound::Trait(bound) => Some(&bound.path).filter(|path| is_transaction(path)),
        _ => None,
    }
}

fn is_transaction(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Transaction"))
}

/// Whether `word` stands in `tokens`, outside of `items`.
fn mentions(tokens: TokenStream, word: &str, items: &[&str]) -> bool {
    let mut in_item = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if !in_item && ident == word => return true,
            TokenTree::Ident(ident) => in_item |= items.iter().any(|item| ident == item),
            TokenTree::Group(group) if in_item && group.delimiter() == Delimiter::Brace => in_item = false,
            TokenTree::Group(group) if !in_item && mentions(group.stream(), word, items) => return true,
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_item = false,
            _ => {}
        }
    }
    false
}

/// What starts an item that has a `Self` of its own.
const ITEMS: [&str; 5] = ["impl", "trait", "struct", "enum", "union"];

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn function(item: TokenStream) -> Function {
        let mut errors = Errors::default();
        let function = Function::parse(item, "be cached", &mut errors);
        errors.finish(function).unwrap_or_else(|error| panic!("{error}"))
    }

    fn mistake(item: TokenStream) -> String {
        let mut errors = Errors::default();
        let function = Function::parse(item, "be cached", &mut errors);
        errors.finish(function).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(
            mistake(quote!(
                fn f() {}
            ))
            .contains("write `async fn f`")
        );
        assert!(
            mistake(quote!(
                const fn f() {}
            ))
            .contains("a `const fn` cannot wait")
        );
        assert!(
            mistake(quote!(
                async fn f(&self);
            ))
            .contains("without body")
        );
        assert!(
            mistake(quote!(
                struct S;
            ))
            .contains("only an `async fn`")
        );
    }

    #[test]
    fn self_is_known_where_it_is_named() {
        assert!(
            function(quote!(
                async fn f(&self) {}
            ))
            .knows_self()
        );
        assert!(
            function(quote!(
                async fn f() -> Option<Self> {}
            ))
            .knows_self()
        );
        assert!(
            function(quote!(
                async fn f() {
                    { Self::g() }
                }
            ))
            .knows_self()
        );
        assert!(
            !function(quote!(
                async fn f() {
                    g()
                }
            ))
            .knows_self()
        );
        assert!(
            !function(quote!(
                async fn f() {
                    struct S;
                    impl S {
                        fn new() -> Self {
                            Self
                        }
                    }
                    S::new();
                }
            ))
            .knows_self()
        );
    }

    #[test]
    fn what_returns_nothing_is_seen_by_its_spelling() {
        for (output, expected) in [
            (quote!(), true),
            (quote!(-> ()), true),
            (quote!(-> Result<(), Error>), true),
            (quote!(-> io::Result<()>), true),
            (quote!(-> Result<Option<()>, Error>), true),
            (quote!(-> u64), false),
            (quote!(-> Result<u64, ()>), false),
            (quote!(-> ((),)), false),
            (quote!(-> fmt::Result), false),
        ] {
            let item = quote!(async fn f() #output {});
            assert_eq!(function(item).returns_nothing(), expected, "{output}");
        }
    }

    #[test]
    fn transactions_are_known_by_the_last_name_of_their_type() {
        for (ty, expected) in [
            (quote!(&mut sqlx::Transaction<'_, Db>), true),
            (quote!(&DatabaseTransaction), true),
            (quote!(&mut dyn Transaction), true),
            (quote!(impl db::Transaction), true),
            (quote!(Vec<Transaction>), false),
            (quote!(TransactionId), false),
            (quote!((Transaction, u8)), false),
        ] {
            assert_eq!(transaction(&syn::parse2(ty.clone()).unwrap()).is_some(), expected, "{ty}");
        }
    }
}
