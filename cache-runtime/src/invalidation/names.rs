//! The names that a mutation invalidates, before and after its result is known.

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Name;
use crate::key::Secret;
use crate::key::SecretOf;
use crate::key::Text;
use crate::key::Unwritable;
use crate::site::Templates;

/// Names with holes in them, for what the result fills. A NUL stands after each name.
#[derive(Debug)]
pub(super) struct Half {
    text: Text,
    holes: usize,
}

/// Stands where the result is to be written. No text holds this byte.
const HOLE: u8 = 0xF8;

/// Writes `templates`, a NUL after each, with `parts` dealt in order to all placeholders but those of the result.
#[track_caller]
pub(super) fn rendered(templates: &Templates, parts: &[&dyn KeyPart], secret: &Option<Secret>) -> Text {
    let holes = || templates.iter().flat_map(|template| template.names()).filter(|name| is_result(name));
    let takes = templates.placeholders() - holes().count();
    assert!(takes == parts.len(), "the templates take {takes} parts, not {}", parts.len());
    let mut out = Text::new();
    let writer = &mut KeyWriter::new(&mut out, SecretOf::Known(secret));
    if takes == templates.placeholders() {
        templates.render(parts, writer);
    } else {
        let mut parts = parts.iter();
        let names = templates.iter().flat_map(|template| template.names());
        let dealt: Vec<&dyn KeyPart> = names
            .map(|name| if is_result(name) { &Hole } else { parts.next().map_or(&Hole as _, |part| *part) })
            .collect();
        templates.render(&dealt, writer);
    }
    out
}

/// The names in `text` that are whole, in order and each once, and those with holes.
pub(super) fn sorted_out(text: &[u8]) -> (Vec<Name>, Half) {
    let mut half = Half { text: Text::new(), holes: 0 };
    let mut whole = Vec::new();
    for name in names_in(text) {
        match name.iter().filter(|byte| **byte == HOLE).count() {
            0 if Unwritable::find(name).is_none() => whole.push(Name::new(name)),
            0 => {}
            holes => {
                half.holes += holes;
                half.text.extend_from_slice(name);
                half.text.push(0);
            }
        }
    }
    whole.sort_unstable();
    whole.dedup();
    (whole, half)
}

impl Half {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Writes `parts` into the holes, in order.
    #[track_caller]
    pub(super) fn fill(&mut self, parts: &[&dyn KeyPart], secret: &Option<Secret>) {
        let holes = self.holes;
        assert!(holes == parts.len(), "the templates take {holes} parts of the result, not {}", parts.len());
        let mut out = Text::new();
        let writer = &mut KeyWriter::new(&mut out, SecretOf::Known(secret));
        let mut parts = parts.iter();
        for (at, piece) in self.text.split(|byte| *byte == HOLE).enumerate() {
            if let Some(part) = (at > 0).then(|| parts.next()).flatten() {
                part.write(writer);
            }
            writer.verbatim(piece);
        }
        *self = Self { text: out, holes: 0 };
    }

    /// The names, and why one of them could not be written; `None` while there are holes.
    pub(super) fn names(&self) -> Option<(Vec<Name>, Option<Unwritable>)> {
        (self.holes == 0).then(|| (sorted_out(&self.text).0, Unwritable::find(&self.text)))
    }
}

/// Leaves a hole.
struct Hole;

impl KeyPart for Hole {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.verbatim(&[HOLE]);
    }
}

/// Whether a placeholder is of what the function returns.
fn is_result(placeholder: &str) -> bool {
    placeholder.split(['.', ':']).next() == Some("result")
}

fn names_in(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // There is a NUL after each of them.
    text.split_inclusive(|byte| *byte == 0).map(|name| &name[..name.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATES: Templates =
        Templates::new(&["all", "a:{x}", "b:{result.id}:{y:json}:{result}", "{{{result:hash}"]);

    fn text(names: &[Name]) -> Vec<&str> {
        names.iter().map(Name::as_str).collect()
    }

    #[test]
    fn the_result_fills_its_own_placeholders_and_no_others() {
        let (whole, mut half) = sorted_out(&rendered(&TEMPLATES, &[&1, &2], &None));
        assert_eq!(text(&whole), ["a:1", "all"]);
        assert_eq!(half.names(), None);
        half.fill(&[&"i d", &4, &5], &None);
        let (names, unwritable) = half.names().unwrap();
        let (braced, plain) = (Name::new(b"{5"), Name::new(b"b:i%20d:2:4"));
        assert!(
            unwritable.is_none() && names.contains(&braced) && names.contains(&plain) && names.len() == 2,
            "{names:?}"
        );
    }

    #[test]
    fn what_could_not_be_written_is_left_out_and_told() {
        let nan = crate::json_part(&f64::NAN);
        let (_, mut half) = sorted_out(&rendered(&TEMPLATES, &[&1, &2], &None));
        half.fill(&[&7, &nan, &8], &None);
        assert_eq!(half.names(), Some((vec![Name::new(b"{8")], Some(Unwritable::NotSerializable))));
    }

    #[test]
    fn as_many_parts_as_placeholders_or_a_panic() {
        let panics = |run: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
        assert!(panics(&|| drop(rendered(&TEMPLATES, &[&1], &None))));
        assert!(panics(&|| sorted_out(&rendered(&TEMPLATES, &[&1, &2], &None)).1.fill(&[&1, &2], &None)));
    }
}
