//! `#[derive(KeyPart)]`: a type, proven fit to be written into a key, and what writes it.
//!
//! Two values that differ are written differently, whatever their fields hold:
//!
//! - a tuple struct of one field is written as that field, and one of more as the tuple of them;
//! - a struct with names is written as its names and fields, sorted by name, so that moving a field changes no key;
//! - a variant without fields is written as its name, and one with fields as the sequence of its name and all of those. A name never begins as a
//!   sequence does.
//!
//! A `PhantomData` is left out: there is but one value of it.

mod bounds;

use proc_macro2::Literal;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;
use quote::format_ident;
use quote::quote;
use syn::Attribute;
use syn::Data;
use syn::DeriveInput;
use syn::Field;
use syn::Fields;
use syn::Ident;
use syn::Member;
use syn::Path;
use syn::Type;
use syn::Variant;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::errors::Errors;

/// A type whose values are to be written, each in another way.
pub(crate) struct KeyPart {
    input: DeriveInput,
    runtime: Path,
}

impl KeyPart {
    pub(crate) fn parse(input: TokenStream) -> syn::Result<Self> {
        let input: DeriveInput = syn::parse2(input)?;
        let mut errors = Errors::default();
        let runtime = runtime(&input.attrs, &mut errors);
        if let Data::Union(union) = &input.data {
            errors.push(union.union_token, "nobody knows which field of a union is set; implement `KeyPart` by hand");
        }
        if let Some(packed) = packed(&input.attrs) {
            errors.push(packed, "the fields of a packed struct cannot be borrowed; implement `KeyPart` by hand");
        }
        for attribute in inner_attributes(&input.data) {
            errors.push(
                attribute,
                "every field counts: values that differ in one left out would share an entry; \
                 keep such a field out of the type, or implement `KeyPart` by hand",
            );
        }
        errors.finish(Some(Self { input, runtime }))
    }

    // #[derive(KeyPart)]
    // struct Page { number: u32, size: u32 }
    //
    // becomes
    //
    // impl KeyPart for Page {
    //     fn write(&self, out: &mut KeyWriter<'_>) {
    //         let Self { number: field0, size: field1 } = self;
    //         let items: [&dyn KeyPart; 4] = [&"number", field0, &"size", field1];
    //         out.sequence(items);
    //     }
    // }
    pub(crate) fn expand(&self) -> TokenStream {
        let (runtime, name) = (&self.runtime, &self.input.ident);
        let mut generics = self.input.generics.clone();
        bounds::add(&mut generics, &self.input.data, runtime);
        let (parameters, arguments, conditions) = generics.split_for_impl();
        let (body, out) = match &self.input.data {
            Data::Struct(data) => (self.structure(&data.fields), quote!(out)),
            Data::Enum(data) if data.variants.is_empty() => (quote!(match *self {}), quote!(_)),
            Data::Enum(data) => {
                let arms = data.variants.iter().map(|variant| self.variant(variant));
                (quote!(match self { #(#arms)* }), quote!(out))
            }
            Data::Union(_) => (TokenStream::new(), quote!(_)),
        };
        quote! {
            #[automatically_derived]
            impl #parameters #runtime::KeyPart for #name #arguments #conditions {
                fn write(&self, #out: &mut #runtime::KeyWriter<'_>) {
                    #body
                }
            }
        }
    }

    fn structure(&self, fields: &Fields) -> TokenStream {
        let bound = bound(fields);
        let (pattern, runtime) = (pattern(&bound), &self.runtime);
        match (&fields, &bound[..]) {
            (Fields::Unnamed(_), [only]) => {
                let name = only.at_type();
                let write = quote!(#runtime::KeyPart::write(#name, out););
                quote!(let Self #pattern = self; #write)
            }
            _ => {
                let items = self.items(None, &bound);
                quote!(let Self #pattern = self; #items)
            }
        }
    }

    fn variant(&self, variant: &Variant) -> TokenStream {
        let (ident, text) = (&variant.ident, variant.ident.unraw().to_string());
        let bound = bound(&variant.fields);
        let pattern = pattern(&bound);
        let written = match &variant.fields {
            Fields::Unit => quote!(out.text(#text)),
            _ => self.items(Some(text), &bound),
        };
        quote!(Self::#ident #pattern => { #written })
    }

    /// Writes a sequence: `name`, if any, and the fields, each after its own name if it has one.
    fn items(&self, name: Option<String>, bound: &[Bound<'_>]) -> TokenStream {
        let runtime = &self.runtime;
        let mut items: Vec<_> = name.map(|name| quote!(&#name)).into_iter().collect();
        for field in bound {
            items.extend(field.label.as_ref().map(|label| quote!(&#label)));
            items.push(field.at_type().into_token_stream());
        }
        let length = Literal::usize_unsuffixed(items.len());
        let local = Ident::new("items", Span::mixed_site());
        quote! {
            let #local: [&dyn #runtime::KeyPart; #length] = [#(#items),*];
            out.sequence(#local);
        }
    }
}

/// A field that is written, and the local it is bound to.
struct Bound<'a> {
    field: &'a Field,
    name: Ident,
    /// Its own name as text.
    label: Option<String>,
}

impl Bound<'_> {
    /// The local, reported where the user wrote the type of the field.
    fn at_type(&self) -> Ident {
        let mut name = self.name.clone();
        name.set_span(name.span().located_at(self.field.ty.span()));
        name
    }
}

/// The fields that count, those with names sorted by them.
fn bound(fields: &Fields) -> Vec<Bound<'_>> {
    let counted = fields.iter().enumerate().filter(|(_, field)| !is_phantom(&field.ty));
    let bound = counted.map(|(at, field)| Bound {
        field,
        name: format_ident!("field{at}", span = Span::mixed_site()),
        label: field.ident.as_ref().map(|name| name.unraw().to_string()),
    });
    let mut bound: Vec<_> = bound.collect();
    bound.sort_by(|one, other| one.label.cmp(&other.label));
    bound
}

/// `{ number: field0, 1: field1, .. }`, which fits every kind of fields.
fn pattern(bound: &[Bound<'_>]) -> TokenStream {
    let fields = bound.iter().map(|Bound { field, name, .. }| {
        let member = match &field.ident {
            Some(name) => name.to_token_stream(),
            None => {
                let at = name.to_string().trim_start_matches("field").parse().unwrap_or_default();
                Member::Unnamed(syn::Index { index: at, span: field.ty.span() }).to_token_stream()
            }
        };
        quote!(#member: #name,)
    });
    quote!({ #(#fields)* .. })
}

/// Whether `ty` is a `PhantomData`, by its last name.
fn is_phantom(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "PhantomData"),
        Type::Group(group) => is_phantom(&group.elem),
        Type::Paren(paren) => is_phantom(&paren.elem),
        _ => false,
    }
}

/// Where the runtime is: `#[key_part(crate = facade::cache_runtime)]`.
fn runtime(attributes: &[Attribute], errors: &mut Errors) -> Path {
    let mut runtime = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("key_part")) {
        let parsed = attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error(ONLY_CRATE));
            }
            let path = meta.value().and_then(|value| value.call(Path::parse_mod_style));
            let path = path.map_err(|error| syn::Error::new(error.span(), ONLY_CRATE))?;
            match runtime.replace(path) {
                Some(_) => Err(meta.error("`crate` is given twice; keep one")),
                None => Ok(()),
            }
        });
        errors.check(parsed);
    }
    runtime.unwrap_or_else(|| syn::parse_quote!(::cache_runtime))
}

const ONLY_CRATE: &str = "the one argument is `crate`; write it like `#[key_part(crate = my_facade::cache_runtime)]`";

/// Those that stand on fields and variants, where they mean nothing.
fn inner_attributes(data: &Data) -> Vec<&Attribute> {
    let fields: Vec<&Fields> = match data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => data.variants.iter().map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    let variants = match data {
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.attrs).collect(),
        _ => Vec::new(),
    };
    let on_fields = fields.into_iter().flatten().flat_map(|field| &field.attrs);
    let mut found: Vec<_> = variants.into_iter().chain(on_fields).collect();
    found.retain(|attribute| attribute.path().is_ident("key_part"));
    found
}

/// The word `packed` of `#[repr(packed)]`.
fn packed(attributes: &[Attribute]) -> Option<Ident> {
    let representations = attributes.iter().filter(|attribute| attribute.path().is_ident("repr"));
    let words =
        representations.filter_map(|attribute| attribute.meta.require_list().ok()).flat_map(|list| list.tokens.clone());
    words.into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if word == "packed" => Some(word),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
