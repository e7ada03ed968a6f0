//! Templates, checked when the program is compiled.

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::spec::is_spec;
use crate::key::writer::is_unreserved;

/// A template that is known to be well formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    text: &'static str,
    placeholders: usize,
    /// Whether there is no brace in it.
    literal: bool,
    /// Where the first placeholders begin and end, for as long as no brace is doubled: the usual template is not searched for them.
    places: [(u8, u8); Self::PLACES],
    /// How many of the placeholders those are.
    placed: usize,
    /// Whether that is all of them, and no brace is doubled.
    simple: bool,
}

impl Template {
    const PLACES: usize = 4;

    /// Checks `text`.
    ///
    /// # Panics
    ///
    /// When a brace is not closed or not opened, when there is a NUL, when a placeholder asks for a spec that there is not, or when two placeholders have nothing between them that a part cannot hold.
    /// In a `static`, which is where sites live, that is an error of the build.
    pub(crate) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut at, mut placeholders, mut separated) = (0, 0, true);
        let (mut literal, mut doubled_before) = (true, false);
        let (mut places, mut placed) = ([(0, 0); Self::PLACES], 0);
        // The compiler takes every step of this at every build, so an ordinary byte takes few.
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == 0 {
                panic!("a key or tag cannot hold a NUL");
            } else if byte != b'{' && byte != b'}' {
                separated = separated || !(is_unreserved(byte) || byte == b'%');
                at += 1;
                continue;
            }
            literal = false;
            if at + 1 < bytes.len() && bytes[at + 1] == byte {
                separated = true;
                doubled_before = true;
                at += 2;
                continue;
            }
            assert!(byte == b'{', "a `}}` in a key or tag has no `{{`; write `}}}}` for a brace");
            assert!(separated, "two placeholders of a key or tag have no separator between them; put a `:` there");
            let end = end_of_placeholder(bytes, at);
            assert!(
                is_spec(bytes, at, end),
                "after the `:` in a placeholder of a key or tag stands `json`, `hash` or `display`"
            );
            if placeholders == placed && placed < Self::PLACES && end < u8::MAX as usize && !doubled_before {
                places[placed] = (at as u8, end as u8);
                placed += 1;
            }
            placeholders += 1;
            separated = false;
            at = end + 1;
        }
        let simple = placed == placeholders && !doubled_before;
        Self { text, placeholders, literal, places, placed, simple }
    }

    /// The text as it was written.
    pub(crate) const fn as_str(&self) -> &'static str {
        self.text
    }

    /// The text, if it is the same with whatever parts.
    #[inline]
    pub(crate) const fn literal(&self) -> Option<&'static str> {
        if self.literal { Some(self.text) } else { None }
    }

    /// How many parts it takes.
    pub(crate) const fn placeholders(&self) -> usize {
        self.placeholders
    }

    /// What stands in the braces of each placeholder, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            loop {
                let brace = rest.find(['{', '}'])?;
                let after = &rest[brace + 1..];
                if after.as_bytes().first() == Some(&rest.as_bytes()[brace]) {
                    rest = &after[1..];
                    continue;
                }
                let (name, after) = after.split_once('}')?;
                rest = after;
                return Some(name);
            }
        })
    }

    /// Writes the template to `out` with `parts` in place of its placeholders, in order.
    #[inline]
    pub(crate) fn render(&self, parts: &[&dyn KeyPart], out: &mut KeyWriter<'_>) {
        let text = self.text.as_bytes();
        let mut at = 0;
        for (part, (start, end)) in parts.iter().zip(&self.places[..self.placed]) {
            out.verbatim(&text[at..usize::from(*start)]);
            part.write(out);
            at = usize::from(*end) + 1;
        }
        if self.simple {
            // Most templates end with a placeholder.
            if at < text.len() {
                out.verbatim(&text[at..]);
            }
        } else {
            self.render_rest(&text[at..], parts.get(self.placed..).unwrap_or_default(), out);
        }
    }

    fn render_rest(&self, mut rest: &[u8], parts: &[&dyn KeyPart], out: &mut KeyWriter<'_>) {
        let mut parts = parts.iter();
        while let Some(brace) = rest.iter().position(|byte| matches!(byte, b'{' | b'}')) {
            out.verbatim(&rest[..brace]);
            if rest.get(brace + 1) == Some(&rest[brace]) {
                out.verbatim(&rest[brace..=brace]);
                rest = &rest[brace + 2..];
            } else {
                if let Some(part) = parts.next() {
                    part.write(out);
                }
                rest = &rest[end_of_placeholder(rest, brace) + 1..];
            }
        }
        out.verbatim(rest);
    }
}

const fn end_of_placeholder(bytes: &[u8], open: usize) -> usize {
    let mut at = open;
    while bytes[at] != b'}' {
        at += 1;
        assert!(at < bytes.len(), "a `{{` in a key or tag is not closed; write `{{{{` for a brace");
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::key::SecretOf;
    use crate::key::Text;

    fn rendered(template: &Template, parts: &[&dyn KeyPart]) -> String {
        let mut out = Text::new();
        template.render(parts, &mut KeyWriter::new(&mut out, SecretOf::Known(&None)));
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn part(value: &dyn KeyPart) -> String {
        rendered(&Template::new("{}"), &[value])
    }

    /// Text that looks like what parts are written with.
    fn tricky() -> impl Strategy<Value = String> {
        prop_oneof!["[%25DEF:~._a-]{0,6}", any::<String>()]
    }

    type Nested = (Option<Option<String>>, Vec<Option<String>>, (String, Vec<String>));

    fn nested() -> impl Strategy<Value = Nested> {
        let optional = || prop::option::of(tricky());
        (prop::option::of(optional()), vec(optional(), 0..3), (tricky(), vec(tricky(), 0..3)))
    }

    proptest! {
        #[test]
        fn different_parts_are_written_differently(one in nested(), other in nested()) {
            prop_assert_eq!(one == other, part(&one) == part(&other));
            prop_assert_eq!(one.0 == other.0, part(&one.0) == part(&other.0));
            prop_assert_eq!(one.1 == other.1, part(&one.1) == part(&other.1));
        }

        #[test]
        fn different_parts_make_different_keys(one in (tricky(), tricky()), other in (tricky(), tricky())) {
            let template = Template::new("user:{}:{}");
            let key = |(first, second): &(String, String)| rendered(&template, &[first, second]);
            prop_assert_eq!(one == other, key(&one) == key(&other));
        }

        #[test]
        fn a_part_holds_only_harmless_characters(value in nested()) {
            prop_assert!(part(&value).bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
        }

        #[test]
        fn numbers_are_written_alike_whatever_their_type(number in any::<u32>()) {
            prop_assert_eq!(part(&number), part(&u64::from(number)));
            prop_assert_eq!(part(&number), part(&number.to_string()));
            prop_assert_eq!(part(&number), part(&Some(number)));
        }
    }

    #[test]
    fn braces_are_doubled() {
        assert_eq!(rendered(&Template::new("{{{id}}}"), &[&7]), "{7}");
        assert_eq!(Template::new("{{}}").placeholders(), 0);
        assert_eq!(Template::new("{{{id}}}:{{x}}{a.b:json}").names().collect::<Vec<_>>(), ["id", "a.b:json"]);
        assert_eq!(rendered(&Template::new("a:{x}:{{b}}:{y}:{{"), &[&1, &2]), "a:1:{b}:2:{");
        assert_eq!(rendered(&Template::new("{a}:{b}:{c}:{d}:{e}:{f}!"), &[&1, &2, &3, &4, &5, &6]), "1:2:3:4:5:6!");
    }

    #[test]
    fn what_is_made_of_several_is_written_the_same_in_every_release() {
        let nothing: Option<u64> = None;
        for (value, text) in [
            (&(1, "a b") as &dyn KeyPart, "%5F1%2Ea%20b%2E%2D"),
            (&Vec::<u64>::new(), "%5F%2D"),
            (&vec![vec![7], vec![]], "%5F%5F7%2E%2D%2E%5F%2D%2E%2D"),
            (&nothing, "%7E"),
            (&Some(nothing), "%7E%7E"),
            (&Some(7), "7"),
        ] {
            assert_eq!(part(value), text);
        }
    }

    #[test]
    fn text_of_every_type_is_written_alike() {
        let texts: [&dyn KeyPart; 4] =
            [&"a b", &"a b".to_owned(), &std::borrow::Cow::Borrowed("a b"), &std::sync::Arc::<str>::from("a b")];
        for text in texts {
            assert_eq!(part(text), "a%20b");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for text in ["{a", "a}", "{a}{b}", "{a}-{b}", "{a}x%20{b}", "\0", "{a:jsn}", "{a:}", "{a:json:hash}"] {
            assert!(std::panic::catch_unwind(|| Template::new(text)).is_err(), "{text:?}");
        }
    }
}
