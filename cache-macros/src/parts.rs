//! Placeholders joined with the arguments they name.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::Ident;
use syn::LitStr;
use syn::Member;
use syn::Token;

use crate::arguments::Argument;
use crate::arguments::Arguments;
use crate::arguments::Kind;
use crate::errors::Errors;
use crate::template::Placeholder;
use crate::template::Template;

/// Templates whose placeholders are all known.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) literals: Vec<LitStr>,
    /// The parts of all of them, in order.
    pub(crate) parts: Vec<Part>,
}

/// One value that goes into a key or a tag.
pub(crate) enum Part {
    Receiver { this: Token![self], fields: Vec<Member> },
    Argument { argument: Argument, fields: Vec<Member>, span: Span },
}

impl Names {
    /// The most keys, and the most tags, of one attribute.
    const MOST: usize = 16;

    /// Reports every mistake in the templates, and every name in them that is not an argument.
    pub(crate) fn parse(templates: Vec<Template>, arguments: &Arguments, errors: &mut Errors) -> Self {
        let mut names = Self::default();
        if let Some(extra) = templates.get(Self::MOST) {
            errors.push(&extra.literal, "more than 16 keys or tags; repeat the attribute, or use broader tags");
        }
        for template in templates {
            for mistake in &template.mistakes {
                errors.push(&template.literal, mistake);
            }
            for placeholder in &template.placeholders {
                names.parts.extend(Part::resolve(placeholder, &template.literal, arguments, errors));
            }
            names.literals.push(template.literal);
        }
        names
    }
}

impl Part {
    /// All of `argument`, for a key that is not given.
    pub(crate) fn whole(argument: &Argument) -> Self {
        Self::Argument { argument: argument.clone(), fields: Vec::new(), span: argument.ident.span() }
    }

    fn resolve(
        placeholder: &Placeholder,
        literal: &LitStr,
        arguments: &Arguments,
        errors: &mut Errors,
    ) -> Option<Self> {
        let Placeholder { name, fields } = placeholder;
        let span = literal.span();
        let fields =
            fields.iter().cloned().map(|field| at(field, Span::mixed_site().located_at(span))).collect::<Vec<_>>();
        if name == "self" {
            let Some(mut this) = arguments.receiver else {
                errors.push(literal, "this function has no `self`; name one of its arguments");
                return None;
            };
            this.span = this.span.located_at(span);
            return Some(Self::Receiver { this, fields });
        }
        let Some(argument) = arguments.find(name).cloned() else {
            errors.push(literal, arguments.unknown(name));
            return None;
        };
        if argument.kind != Kind::Value && !fields.is_empty() {
            errors.push(literal, format!("the parameter `{name}` has no fields; write `{{{name}}}`"));
            return None;
        }
        Some(Self::Argument { argument, fields, span })
    }
}

/// Reports every argument that is neither in the key nor in `skip`.
///
/// A misspelt name is reported where it stands, so what it was meant to be is not reported again.
pub(crate) fn cover(key: &Template, skip: &[Ident], arguments: &Arguments, errors: &mut Errors) {
    let mut covered: BTreeSet<String> = skip.iter().map(|name| meant(&name.to_string(), arguments)).collect();
    let whole = key.placeholders.iter().filter(|placeholder| {
        let parameter = arguments.find(&placeholder.name).is_some_and(|argument| argument.kind != Kind::Value);
        placeholder.fields.is_empty() || parameter
    });
    covered.extend(whole.map(|placeholder| meant(&placeholder.name, arguments)));
    for argument in arguments.list.iter().filter(|argument| !covered.contains(&argument.name())) {
        let name = argument.name();
        let partly = key.placeholders.iter().any(|placeholder| placeholder.name == name);
        let message = match partly {
            true => format!(
                "`{name}` is only in part in the key, so calls that differ in the rest of it would share a value; \
                 if nothing else of it counts, say `skip({name})` too, or add `{{{name}}}` to `key`"
            ),
            false => format!(
                "`{name}` is not part of the key, so calls that differ in it would share a value; \
                 add `{{{name}}}` to `key`, or say `skip({name})`"
            ),
        };
        errors.push(&argument.ident, message);
    }
}

/// Reports every name in `skip` that is not an argument.
pub(crate) fn check_skipped(skip: &[Ident], arguments: &Arguments, errors: &mut Errors) {
    for name in skip {
        if name == "self" {
            errors.push(name, "`self` is in the key only where a template names it; leave it out of `skip`");
        } else if !is_argument(name, arguments) {
            errors.push(name, arguments.unknown(&name.to_string()));
        }
    }
}

/// Whether a call's `skip` names `argument`.
pub(crate) fn is_skipped(argument: &Argument, skip: &[Ident]) -> bool {
    skip.iter().any(|name| same(name, argument))
}

fn is_argument(name: &Ident, arguments: &Arguments) -> bool {
    arguments.list.iter().any(|argument| same(name, argument))
}

fn same(name: &Ident, argument: &Argument) -> bool {
    syn::ext::IdentExt::unraw(name) == argument.name()
}

fn meant(name: &str, arguments: &Arguments) -> String {
    let name = name.trim_start_matches("r#");
    match arguments.find(name) {
        Some(argument) => argument.name(),
        None => arguments.nearest(name).unwrap_or_default(),
    }
}

fn at(mut field: Member, span: Span) -> Member {
    match &mut field {
        Member::Named(name) => name.set_span(span),
        Member::Unnamed(index) => index.span = span,
    }
    field
}
