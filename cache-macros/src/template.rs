//! Templates of keys and tags: `user:{id}`.
//!
//! What is accepted here is accepted by the runtime, which reads the same literal again when the user's crate is compiled. Here it is known
//! which arguments there are, and where the user wrote the literal.

use syn::Ident;
use syn::Index;
use syn::LitStr;
use syn::Member;

use crate::spec::Spec;

/// A literal, the placeholders in it, and what is wrong with it.
pub(crate) struct Template {
    pub(crate) literal: LitStr,
    pub(crate) placeholders: Vec<Placeholder>,
    pub(crate) mistakes: Vec<String>,
}

/// `{name.field.0}` or `{name.field.0:spec}`.
#[derive(Clone)]
pub(crate) struct Placeholder {
    /// What it starts with: an argument, a type or const parameter, or `self`.
    pub(crate) name: String,
    pub(crate) fields: Vec<Member>,
    pub(crate) spec: Option<Spec>,
}

impl Template {
    /// Reads the template in `literal`, past every mistake but a brace that is not closed.
    pub(crate) fn parse(literal: LitStr) -> Self {
        let mut template = Self { placeholders: Vec::new(), mistakes: Vec::new(), literal };
        template.read(&template.literal.value());
        template
    }

    fn read(&mut self, text: &str) {
        if text.is_empty() {
            self.mistakes.push("an empty template names nothing; write one like `user:{id}`".to_owned());
        }
        let mut separated = true;
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            rest = match letter {
                '{' | '}' if after.starts_with(letter) => {
                    separated = true;
                    &after[1..]
                }
                '{' => {
                    let Some((inside, after)) = after.split_once('}') else {
                        return self.mistakes.push("a `{` here is not closed; write `{{` for a brace".to_owned());
                    };
                    self.read_placeholder(inside, separated);
                    separated = false;
                    after
                }
                _ => {
                    self.mistakes.extend(misplaced(letter));
                    separated |= !may_be_in_a_part(letter);
                    after
                }
            };
        }
    }

    fn read_placeholder(&mut self, inside: &str, separated: bool) {
        if !separated {
            self.mistakes.push(unseparated(inside));
        }
        match Placeholder::parse(inside) {
            Ok(placeholder) => self.placeholders.push(placeholder),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }
}

impl Placeholder {
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("::") {
            return Err(malformed(text));
        }
        let (path, spec) = text.split_once(':').map_or((text, None), |(path, spec)| (path, Some(spec)));
        let mut segments = path.split('.');
        let name = segments.next().filter(|name| is_name(name));
        let fields = segments.map(member).collect::<Option<Vec<_>>>();
        let (Some(name), Some(fields)) = (name, fields) else { return Err(malformed(path)) };
        let spec = spec.map(|spec| Spec::parse(path, spec)).transpose()?;
        Ok(Self { name: name.to_owned(), fields, spec })
    }
}

fn misplaced(letter: char) -> Option<String> {
    match letter {
        '}' => Some("a `}` here has no `{`; write `}}` for a brace".to_owned()),
        '\0' => Some("a key or tag cannot hold a NUL; take it out".to_owned()),
        _ => None,
    }
}

/// What a rendered part is made of; all else is escaped in it, and so can separate two of them.
fn may_be_in_a_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-._~%".contains(letter)
}

fn unseparated(second: &str) -> String {
    format!("no separator before `{{{second}}}`: letters, digits and `-._~%` may be part of a value; put a `:` there")
}

fn malformed(text: &str) -> String {
    let name = text.split(|letter: char| !is_name_letter(letter)).find(|name| is_name(name)).unwrap_or("id");
    let raw = text.strip_prefix("r#").filter(|rest| is_name(rest));
    if text.is_empty() {
        "`{}` names no argument; write one, as in `{id}`".to_owned()
    } else if let Some(name) = raw {
        format!("in a template a name stands without `r#`; write `{{{name}}}`")
    } else if text.contains("::") {
        format!(
            "`{{{text}}}` is a path, which cannot be read here; write out what it stands for, or take it as an argument"
        )
    } else if text.contains('(') {
        format!("a placeholder calls nothing, unlike `{{{text}}}`; write an argument or a field, as in `{{{name}}}`")
    } else {
        format!("`{{{text}}}` is not an argument or a field; write one like `{{{name}}}` or `{{{name}.0}}`")
    }
}

fn member(text: &str) -> Option<Member> {
    if let Ok(index) = text.parse::<u32>() {
        return (index.to_string() == text).then(|| Member::Unnamed(Index::from(index as usize)));
    }
    if !is_name(text) {
        return None;
    }
    let name = syn::parse_str::<Ident>(text).or_else(|_| syn::parse_str::<Ident>(&format!("r#{text}")));
    name.ok().map(Member::Named)
}

fn is_name(text: &str) -> bool {
    text.chars().all(is_name_letter) && text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use proptest::prelude::*;
    use quote::ToTokens;

    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(LitStr::new(text, Span::call_site()))
    }

    fn names(text: &str) -> Vec<String> {
        let template = template(text);
        assert_eq!(template.mistakes, [""; 0]);
        let path = |placeholder: &Placeholder| {
            let fields = placeholder.fields.iter().map(|field| format!(".{}", field.to_token_stream()));
            format!("{}{}", placeholder.name, fields.collect::<String>())
        };
        template.placeholders.iter().map(path).collect()
    }

    #[test]
    fn placeholders_come_in_order_and_as_often_as_written() {
        assert_eq!(names("{b}:{a.x.0}:{b}:{self.tenant}"), ["b", "a.x.0", "b", "self.tenant"]);
        assert_eq!(names("users"), [""; 0]);
    }

    #[test]
    fn doubled_braces_are_braces() {
        assert_eq!(names("{{id}}"), [""; 0]);
        assert_eq!(names("{{{id}}}"), ["id"]);
        assert_eq!(names("{a}}}{b}"), ["a", "b"]);
    }

    #[test]
    fn fields_may_be_keywords() {
        assert_eq!(names("{x.type}"), ["x.r#type"]);
    }

    #[test]
    fn a_spec_says_how_a_part_is_written() {
        let template = template("{a}:{b.c:json}:{d:hash}:{self.e:display}");
        assert_eq!(template.mistakes, [""; 0]);
        let specs: Vec<_> = template.placeholders.iter().map(|placeholder| placeholder.spec).collect();
        assert_eq!(specs, [None, Some(Spec::Json), Some(Spec::Hash), Some(Spec::Display)]);
    }

    #[test]
    fn mistakes_are_told_apart() {
        for (text, expected) in [
            ("", "empty template"),
            ("{id", "not closed"),
            ("id}", "has no `{`"),
            ("a\0b", "NUL"),
            ("{}", "names no argument"),
            (
                "{x:jsn}",
                "`jsn` is not known in `{x:jsn}`; expected `json`, `hash` or `display`; did you mean `{x:json}`?",
            ),
            ("{x.0:?}", "`?` is not known in `{x.0:?}`; expected `json`, `hash` or `display`"),
            ("{x:}", "`` is not known in `{x:}`"),
            ("{x:json:hash}", "`json:hash` is not known"),
            ("{:json}", "names no argument"),
            ("{x.len()}", "calls nothing"),
            ("{ id }", "not an argument or a field; write one like `{id}`"),
            ("{r#type}", "without `r#`; write `{type}`"),
            ("{Self::N}", "`{Self::N}` is a path"),
            ("{size_of::<T>()}", "is a path"),
            ("{0}", "not an argument or a field"),
            ("{x.}", "not an argument or a field"),
            ("{x.00}", "not an argument or a field"),
            ("{x.self}", "not an argument or a field"),
            ("{a}{b}", "before `{b}`"),
            ("{a}-x.~_%9{b}", "before `{b}`"),
        ] {
            let [message] = &template(text).mistakes[..] else { panic!("{text:?} is one mistake") };
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn every_mistake_is_found() {
        assert_eq!(template("}{a}{b:jsn}{}\0{c").mistakes.len(), 7);
    }

    #[test]
    fn whatever_no_part_can_hold_separates() {
        for text in ["{a}:{b}", "{a}/{b}", "{a} {b}", "{a}é{b}", "{a}{{{b}", "{a}-|-{b}"] {
            assert_eq!(names(text), ["a", "b"], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[{}a.:\0]{0,10}") {
            template(&text);
        }

        #[test]
        fn the_runtime_takes_what_is_taken_here(text in "[ab{}:.~é]{1,12}|(\\{[ab](:json|:hash|:display|:js)?\\}[:.]?){0,4}") {
            if template(&text).mistakes.is_empty() {
                let text: &'static str = text.leak();
                let _ = cache_runtime::Site::cached("module", "function").key(text);
            }
        }

        #[test]
        fn names_between_separators_are_found(parts in prop::collection::vec("[a-z_][a-z0-9_]{0,6}", 0..6)) {
            let text: String = parts.iter().map(|name| format!(":{{{name}}}")).collect();
            prop_assume!(!text.is_empty());
            prop_assert_eq!(names(&text), parts);
        }
    }
}
