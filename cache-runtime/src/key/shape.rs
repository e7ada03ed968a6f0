//! What templates have in common, whatever their placeholders are called.

use std::collections::HashSet;

use crate::key::Template;
use crate::key::writer::is_unreserved;

/// A template without the names of its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape(Vec<Letter>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Letter {
    Byte(u8),
    /// What a part may be written with, none or more of it.
    Part,
    /// A hash, as of `{x:json}`: nothing else is written like it but a hash of the same kind.
    Hash(&'static str),
}

impl Shape {
    pub(crate) fn of(template: &Template) -> Self {
        let text = template.as_str();
        let (mut letters, mut at) = (Vec::new(), 0);
        while let Some(&byte) = text.as_bytes().get(at) {
            let doubled = text.as_bytes().get(at + 1) == Some(&byte);
            at += match byte {
                b'{' if !doubled => {
                    let inside = text[at + 1..].split('}').next().unwrap_or_default();
                    letters.push(placeholder(inside));
                    inside.len() + 2
                }
                _ => {
                    letters.push(Letter::Byte(byte));
                    if matches!(byte, b'{' | b'}') { 2 } else { 1 }
                }
            };
        }
        Self(letters)
    }

    /// Whether some text can be rendered from both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![(&self.0[..], &other.0[..])];
        while let Some((ours, theirs)) = open.pop() {
            if !seen.insert((ours.len(), theirs.len())) {
                continue;
            }
            match (ours.split_first(), theirs.split_first()) {
                (None, None) => return true,
                (Some((our, rest)), Some((their, others))) if our == their => open.push((rest, others)),
                _ => {}
            }
            open.extend(past_part(ours, theirs));
            open.extend(past_part(theirs, ours).map(|(theirs, ours)| (ours, theirs)));
        }
        false
    }
}

/// What is left of both if `ours` begins with a part: it ends here, or takes one more letter.
fn past_part<'l>(ours: &'l [Letter], theirs: &'l [Letter]) -> impl Iterator<Item = (&'l [Letter], &'l [Letter])> {
    let rest = ours.strip_prefix(&[Letter::Part]);
    let taken = match theirs {
        [Letter::Byte(byte), others @ ..] if is_unreserved(*byte) || *byte == b'%' => rest.map(|_| (ours, others)),
        _ => None,
    };
    rest.map(|rest| (rest, theirs)).into_iter().chain(taken)
}

fn placeholder(inside: &'static str) -> Letter {
    match inside.split_once(':') {
        None | Some((_, "display")) => Letter::Part,
        Some((_, kind)) => Letter::Hash(kind),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyPart;
    use crate::key::KeyWriter;
    use crate::key::SecretOf;
    use crate::key::Text;

    fn shape(text: &'static str) -> Shape {
        Shape::of(&Template::new(text))
    }

    fn rendered(template: &'static str, parts: &[String]) -> Shape {
        let parts: Vec<&dyn KeyPart> = parts.iter().map(|part| part as &dyn KeyPart).collect();
        let mut out = Text::new();
        Template::new(template).render(&parts, &mut KeyWriter::new(&mut out, SecretOf::Known(&None)));
        Shape(out.iter().copied().map(Letter::Byte).collect())
    }

    const TEMPLATES: [&str; 10] = [
        "users",
        "user:{id}",
        "user:{id}:name",
        "{kind}:{id}",
        "{{{id}}}",
        "user:{id}x/{name}",
        "%{id}",
        "{a}:{b}:{c}",
        "é{a}é",
        "a{{b}}c",
    ];

    #[test]
    fn names_of_placeholders_do_not_count() {
        assert_eq!(shape("user:{id}"), shape("user:{user.id}"));
        assert_eq!(shape("user:{id}"), shape("user:{id:display}"));
        assert_ne!(shape("user:{id}"), shape("user:{{id}}"));
        assert_eq!(shape("f:{filter:json}"), shape("f:{other:json}"));
    }

    #[test]
    fn templates_meet_where_one_text_is_of_both() {
        for (one, other, meet) in [
            ("user:{id}", "user:{user_id}", true),
            ("user:{id}", "user:7", true),
            ("user:{id}", "user:a b", false),
            ("user:{id}", "user:7:name", false),
            ("user:{id}", "users:{id}", false),
            ("{kind}:{id}", "user:{id}", true),
            ("{kind}:7", "user:{id}", true),
            ("user:{id}", "{{user}}:{id}", false),
            ("{{{id}}}", "{{7}}", true),
            ("a{x}", "{y}b", true),
            ("a{x}c", "a{y}d", false),
            ("f:{x:json}", "f:{y:json}", true),
            ("f:{x:json}", "f:{y:hash}", false),
            ("f:{x:json}", "f:{y}", false),
            ("f:{x:json}", "f:all", false),
        ] {
            assert_eq!(shape(one).meets(&shape(other)), meet, "{one} and {other}");
            assert_eq!(shape(other).meets(&shape(one)), meet, "{other} and {one}");
        }
    }

    proptest! {
        #[test]
        fn a_template_meets_every_text_that_it_renders(at in 0..TEMPLATES.len(), parts in prop::collection::vec(any::<String>(), 3)) {
            prop_assert!(shape(TEMPLATES[at]).meets(&rendered(TEMPLATES[at], &parts)));
        }

        #[test]
        fn templates_that_render_one_text_meet(
            (one, other) in (0..TEMPLATES.len(), 0..TEMPLATES.len()),
            parts in prop::collection::vec("[ab]{0,2}", 3),
            others in prop::collection::vec("[ab]{0,2}", 3),
        ) {
            let text = rendered(TEMPLATES[one], &parts);
            if text == rendered(TEMPLATES[other], &others) {
                prop_assert!(shape(TEMPLATES[one]).meets(&shape(TEMPLATES[other])));
            }
            prop_assert_eq!(shape(TEMPLATES[other]).meets(&text), text.meets(&shape(TEMPLATES[other])));
        }
    }
}
