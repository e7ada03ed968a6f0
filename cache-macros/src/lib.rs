//! The `#[cached]` and `#[invalidates]` attributes of `cache-runtime`.
use proc_macro::TokenStream;
/// Cached.
#[proc_macro_attribute]
pub fn cached(_args: TokenStream, item: TokenStream) -> TokenStream {
    item
}
/// Invalidates.
#[proc_macro_attribute]
pub fn invalidates(_args: TokenStream, item: TokenStream) -> TokenStream {
    item
}
