//! How a part is written where its type does not say it: `{x:json}`.

use proc_macro2::Ident;
use proc_macro2::Span;

use crate::suggest;

/// What stands after the `:` in a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Json,
    Hash,
    Display,
}

impl Spec {
    /// Reads `spec`, which stands in `{path:spec}`.
    pub(crate) fn parse(path: &str, spec: &str) -> Result<Self, String> {
        if let Some((_, known)) = SPECS.iter().find(|(name, _)| *name == spec) {
            return Ok(*known);
        }
        let names = || SPECS.iter().map(|(name, _)| *name);
        let meant = suggest::nearest(spec, names()).map(|meant| format!("; did you mean `{{{path}:{meant}}}`?"));
        let expected = suggest::list(names(), "or");
        Err(format!("`{spec}` is not known in `{{{path}:{spec}}}`; expected {expected}{}", meant.unwrap_or_default()))
    }

    /// The function of the runtime that writes so.
    pub(crate) fn function(self, span: Span) -> Ident {
        let name = match self {
            Self::Json => "json_part",
            Self::Hash => "hash_part",
            Self::Display => "display_part",
        };
        Ident::new(name, span)
    }
}

const SPECS: [(&str, Spec); 3] = [("json", Spec::Json), ("hash", Spec::Hash), ("display", Spec::Display)];
