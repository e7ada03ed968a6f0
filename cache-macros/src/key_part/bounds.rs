//! What a derived implementation asks of the type's parameters: that those which stand in a field are `KeyPart`s, and so are the types that fields
//! name through them, such as `T::Id`. As serde does, and unlike a bound on each field's whole type, that lets a type contain itself.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::Data;
use syn::Generics;
use syn::Path;
use syn::Type;
use syn::parse_quote;

use crate::key_part::is_phantom;

/// Adds the bounds to `generics`.
pub(super) fn add(generics: &mut Generics, data: &Data, runtime: &Path) {
    let parameters: BTreeSet<String> = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
    let mut found = Found { parameters: &parameters, used: BTreeSet::new(), projections: Vec::new() };
    types(data).into_iter().filter(|ty| !is_phantom(ty)).for_each(|ty| found.look(ty));
    let Found { used, projections, .. } = found;
    for parameter in generics.type_params_mut().filter(|parameter| used.contains(&parameter.ident.to_string())) {
        parameter.bounds.push(parse_quote!(#runtime::KeyPart));
    }
    if !projections.is_empty() {
        let conditions = generics.make_where_clause();
        conditions
            .predicates
            .extend(projections.iter().map(|ty| -> syn::WherePredicate { parse_quote!(#ty: #runtime::KeyPart) }));
    }
}

struct Found<'a> {
    parameters: &'a BTreeSet<String>,
    used: BTreeSet<String>,
    /// Types such as `T::Id`.
    projections: Vec<Type>,
}

impl Found<'_> {
    fn look(&mut self, ty: &Type) {
        match ty {
            Type::Path(path) if self.is_projection(&path.path) => self.projections.push(ty.clone()),
            Type::Path(path) if path.qself.is_none() => {
                path.path.get_ident().into_iter().for_each(|name| self.mention(name.to_token_stream()));
                path.path.segments.iter().for_each(|segment| self.arguments(&segment.arguments));
            }
            Type::Array(array) => self.look(&array.elem),
            Type::Group(group) => self.look(&group.elem),
            Type::Paren(paren) => self.look(&paren.elem),
            Type::Reference(reference) => self.look(&reference.elem),
            Type::Slice(slice) => self.look(&slice.elem),
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| self.look(ty)),
            Type::Path(_) => self.projections.push(ty.clone()),
            other => self.mention(other.to_token_stream()),
        }
    }

    fn arguments(&mut self, arguments: &syn::PathArguments) {
        let syn::PathArguments::AngleBracketed(arguments) = arguments else { return };
        for argument in &arguments.args {
            if let syn::GenericArgument::Type(ty) = argument {
                self.look(ty);
            }
        }
    }

    /// Whether `path` is something of a parameter, such as `T::Id`.
    fn is_projection(&self, path: &Path) -> bool {
        path.segments.len() > 1
            && path.segments.first().is_some_and(|first| self.parameters.contains(&first.ident.to_string()))
    }

    fn mention(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(name) if self.parameters.contains(&name.to_string()) => {
                    self.used.insert(name.to_string());
                }
                TokenTree::Group(group) => self.mention(group.stream()),
                _ => {}
            }
        }
    }
}

fn types(data: &Data) -> Vec<&Type> {
    match data {
        Data::Struct(data) => data.fields.iter().map(|field| &field.ty).collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).map(|field| &field.ty).collect(),
        Data::Union(_) => Vec::new(),
    }
}
