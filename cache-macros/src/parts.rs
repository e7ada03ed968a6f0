//! Placeholders joined with the arguments they name.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::Ident;
use syn::LitStr;
use syn::Member;
use syn::Token;
use syn::ext::IdentExt;

use crate::arguments::Argument;
use crate::arguments::Arguments;
use crate::arguments::Kind;
use crate::errors::Errors;
use crate::spec::Spec;
use crate::template::Placeholder;
use crate::template::Template;

/// Templates whose placeholders are all known.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) literals: Vec<LitStr>,
    /// The parts of all of them that are known before the body runs, in order.
    pub(crate) parts: Vec<Part>,
    /// Those that are read from what it returns, in order.
    pub(crate) results: Vec<Part>,
    /// Whether one of the templates needs nothing of what it returns.
    pub(crate) known_before: bool,
}

/// One value that goes into a key or a tag.
pub(crate) struct Part {
    pub(crate) root: Root,
    pub(crate) fields: Vec<Member>,
    pub(crate) spec: Option<Spec>,
    /// Where the user named it.
    pub(crate) span: Span,
}

/// What a part is, or is a field of.
pub(crate) enum Root {
    Receiver(Token![self]),
    /// The type that a method belongs to.
    This(Token![Self]),
    Argument(Argument),
    /// What a mutator returns, if it succeeds.
    Result,
}

/// What a template may name.
pub(crate) struct Scope<'a> {
    pub(crate) arguments: &'a Arguments,
    /// Whether `{result}` is what the function returns.
    pub(crate) result: bool,
}

impl Names {
    /// The most keys, and the most tags, of one attribute.
    const MOST: usize = 16;

    /// Reports every mistake in the templates, and every name in them that is not an argument.
    pub(crate) fn parse(templates: Vec<Template>, scope: &Scope<'_>, errors: &mut Errors) -> Self {
        let mut names = Self::default();
        if let Some(extra) = templates.get(Self::MOST) {
            errors.push(&extra.literal, "more than 16 keys or tags; repeat the attribute, or use broader tags");
        }
        for template in templates {
            for mistake in &template.mistakes {
                errors.push(&template.literal, mistake);
            }
            let results = names.results.len();
            for placeholder in &template.placeholders {
                let part = Part::resolve(placeholder, &template, scope, errors);
                match part {
                    Some(part) if matches!(part.root, Root::Result) => names.results.push(part),
                    part => names.parts.extend(part),
                }
            }
            names.known_before |= names.results.len() == results;
            names.literals.push(template.literal);
        }
        names
    }
}

impl Part {
    /// All of `argument`, for a key that is not given.
    pub(crate) fn whole(argument: &Argument) -> Self {
        Self { root: Root::Argument(argument.clone()), fields: Vec::new(), spec: None, span: argument.ident.span() }
    }

    fn resolve(placeholder: &Placeholder, template: &Template, scope: &Scope<'_>, errors: &mut Errors) -> Option<Self> {
        let span = template.literal.span();
        let root = errors.check(scope.root(placeholder, template))?;
        let inside = Span::mixed_site().located_at(span);
        let fields = placeholder.fields.iter().cloned().map(|field| at(field, inside)).collect();
        Some(Self { root, fields, spec: placeholder.spec, span })
    }
}

impl Scope<'_> {
    fn root(&self, placeholder: &Placeholder, template: &Template) -> syn::Result<Root> {
        let Placeholder { name, fields, spec } = placeholder;
        let literal = &template.literal;
        let wrong = |message: String| Err(syn::Error::new_spanned(literal, message));
        if name == "self" {
            let Some(mut this) = self.arguments.receiver else {
                return wrong("this function has no `self`; name one of its arguments".to_owned());
            };
            this.span = this.span.located_at(literal.span());
            return Ok(Root::Receiver(this));
        }
        if name == "Self" {
            let what = match (fields.is_empty(), spec) {
                (true, None) => return Ok(Root::This(Token![Self](literal.span()))),
                (true, Some(_)) => "is a type, which is written by its name",
                (false, _) => "is a type and has no fields",
            };
            return wrong(format!("`Self` {what}; write `{{Self}}`, or `self` for a field"));
        }
        let argument = self.arguments.find(name).cloned();
        if self.result && name == "result" {
            return match argument {
                None => Ok(Root::Result),
                Some(_) => wrong(
                    "`{result}` is what the function returns, and an argument has that name too; rename the argument"
                        .to_owned(),
                ),
            };
        }
        let Some(argument) = argument else {
            let named: Vec<_> = template.placeholders.iter().map(|other| other.name.as_str()).collect();
            return wrong(self.arguments.unknown(name, &named));
        };
        if argument.kind != Kind::Value && !fields.is_empty() {
            return wrong(format!("the parameter `{name}` has no fields; write `{{{name}}}`"));
        }
        if argument.kind == Kind::Type && spec.is_some() {
            return wrong(format!("`{name}` is a type, which is written by its name; write `{{{name}}}`"));
        }
        Ok(Root::Argument(argument))
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
    let in_question = |argument: &&Argument| !argument.mutably && !covered.contains(&argument.name());
    for argument in arguments.list.iter().filter(in_question) {
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
            errors.push(name, arguments.unknown_to_skip(&name.unraw().to_string()));
        }
    }
}

/// Reports every argument that the body may change for its caller and that is not in `skip`: a hit does not run the body.
pub(crate) fn check_borrowed_mutably(skip: &[Ident], arguments: &Arguments, errors: &mut Errors) {
    for argument in arguments.list.iter().filter(|argument| argument.mutably && !is_skipped(argument, skip)) {
        let name = argument.name();
        let message = format!(
            "`{name}` is borrowed mutably, and a hit leaves it as it was; take it by value or by `&`, \
             or say `skip({name})` if it neither tells calls apart nor is looked at after them"
        );
        errors.push(&argument.ident, message);
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
    name.unraw() == argument.name()
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
