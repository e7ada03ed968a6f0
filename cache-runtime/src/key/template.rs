//! Templates, checked when the program is compiled.

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::Text;
use crate::key::part::is_unreserved;

/// A template that is known to be well formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    text: &'static str,
    placeholders: usize,
}

impl Template {
    /// Checks `text`.
    ///
    /// # Panics
    ///
    /// When a brace is not closed or not opened, when there is a NUL, or when two placeholders have nothing between them that a part cannot hold.
    /// In a `static`, which is where sites live, that is an error of the build.
    pub(crate) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut at, mut placeholders, mut separated) = (0, 0, true);
        while at < bytes.len() {
            let doubled = at + 1 < bytes.len() && bytes[at + 1] == bytes[at];
            match bytes[at] {
                b'{' | b'}' if doubled => {
                    at += 1;
                    separated = true;
                }
                b'{' => {
                    assert!(
                        separated,
                        "two placeholders of a key or tag have no separator between them; put a `:` there"
                    );
                    at = end_of_placeholder(bytes, at);
                    placeholders += 1;
                    separated = false;
                }
                b'}' => panic!("a `}}` in a key or tag has no `{{`; write `}}}}` for a brace"),
                0 => panic!("a key or tag cannot hold a NUL"),
                byte => separated = separated || !(is_unreserved(byte) || byte == b'%'),
            }
            at += 1;
        }
        Self { text, placeholders }
    }

    /// The text as it was written.
    pub(crate) const fn as_str(&self) -> &'static str {
        self.text
    }

    /// How many parts it takes.
    pub(crate) const fn placeholders(&self) -> usize {
        self.placeholders
    }

    /// Writes the template to `out` with `parts` in place of its placeholders, in order.
    pub(crate) fn render(&self, parts: &[&dyn KeyPart], out: &mut Text) {
        let mut parts = parts.iter();
        let mut rest = self.text.as_bytes();
        while let Some(brace) = rest.iter().position(|byte| matches!(byte, b'{' | b'}')) {
            out.extend_from_slice(&rest[..brace]);
            if rest.get(brace + 1) == Some(&rest[brace]) {
                out.push(rest[brace]);
                rest = &rest[brace + 2..];
            } else {
                if let Some(part) = parts.next() {
                    part.write(&mut KeyWriter::new(out));
                }
                rest = &rest[end_of_placeholder(rest, brace) + 1..];
            }
        }
        out.extend_from_slice(rest);
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
