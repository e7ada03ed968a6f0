//! The `#[cached]` and `#[invalidates]` attributes of `cache-runtime`.

mod args;
mod arguments;
mod attribute;
mod boxed;
mod duration;
mod errors;
mod expand;
mod function;
mod parts;
mod suggest;
mod template;

use proc_macro::TokenStream;

use crate::attribute::Cached;
use crate::attribute::Invalidates;

/// Cached.
#[proc_macro_attribute]
pub fn cached(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    match Cached::parse(args.into(), proc_macro2::TokenStream::clone(&item)) {
        Ok(cached) => expand::cached(&cached).into(),
        Err(error) => errors::beside(&error, &item).into(),
    }
}

/// Invalidates.
#[proc_macro_attribute]
pub fn invalidates(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    match Invalidates::parse(args.into(), proc_macro2::TokenStream::clone(&item)) {
        Ok(invalidates) => expand::invalidates(&invalidates).into(),
        Err(error) => errors::beside(&error, &item).into(),
    }
}
