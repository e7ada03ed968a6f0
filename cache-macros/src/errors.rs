//! Reports every mistake in one build, and never hides the user's function.

use proc_macro2::Span;
use proc_macro2::TokenStream;
use quote::ToTokens;
use quote::quote;

/// The mistakes found so far in one attribute.
///
/// A check that fails pushes here and carries on; [`finish`](Errors::finish) is the only way out, so none is lost.
#[derive(Default)]
#[must_use = "call `finish`, or the mistakes found are lost"]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Records `message`, underlining all of `at`.
    pub(crate) fn push(&mut self, at: impl ToTokens, message: impl AsRef<str>) {
        self.record(syn::Error::new_spanned(at, message.as_ref()));
    }

    /// Records `message` about what the attribute does not say.
    pub(crate) fn missing(&mut self, message: &str) {
        self.record(syn::Error::new(Span::call_site(), message));
    }

    /// Unwraps `result`, or records its error and returns `None`.
    pub(crate) fn check<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.record(error)).ok()
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns `value` if nothing was wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> syn::Result<T> {
        match (self.0, value) {
            (None, Some(value)) => Ok(value),
            (Some(errors), _) => Err(errors),
            (None, None) => Err(syn::Error::new(Span::call_site(), "this attribute cannot be understood")),
        }
    }

    /// Records `error`.
    pub(crate) fn record(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }
}

/// Emits `error` next to `item` as the user wrote it, so that callers of a misconfigured function still resolve and only the
/// real mistake is shown.
pub(crate) fn beside(error: &syn::Error, item: &TokenStream) -> TokenStream {
    let error = error.to_compile_error();
    quote!(#error #item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_reported() {
        let mut errors = Errors::default();
        errors.push(quote!(a), "first");
        errors.missing("second");
        assert_eq!(errors.check(syn::parse2::<syn::Ident>(quote!(3))), None);
        let error = errors.finish(Some(())).unwrap_err();
        assert_eq!(error.into_iter().count(), 3);
    }

    #[test]
    fn the_function_stays() {
        let output = beside(
            &syn::Error::new(Span::call_site(), "wrong"),
            &quote!(
                fn kept() {}
            ),
        );
        assert_eq!(output.to_string(), quote!(::core::compile_error! { "wrong" } fn kept() {}).to_string());
    }
}
