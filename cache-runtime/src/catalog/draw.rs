//! Pictures of a catalog: mutators on the left, what they invalidate in the middle, readers on the right.

use std::fmt::Write as _;

use crate::catalog::Catalog;
use crate::catalog::common_module;
use crate::key::Shape;
use crate::key::Template;
use crate::site::Site;

impl Catalog {
    /// The catalog as a picture for [Graphviz](https://graphviz.org): ellipses are keys, and hexagons are tags.
    ///
    /// The order is that of the functions, so the text changes only with them.
    pub fn to_dot(&self) -> String {
        let mut dot = "digraph catalog {\n    rankdir=LR;\n    node [shape=box];\n".to_owned();
        self.draw(&DOT, &mut dot);
        dot + "}\n"
    }

    /// The catalog as a picture for [Mermaid](https://mermaid.js.org), which Markdown shows: what is round is a key, and hexagons are tags.
    ///
    /// The order is that of the functions, so the text changes only with them.
    pub fn to_mermaid(&self) -> String {
        let mut mermaid = "flowchart LR\n".to_owned();
        self.draw(&MERMAID, &mut mermaid);
        mermaid
    }

    fn draw(&self, language: &Language, out: &mut String) {
        let common = common_module(self.iter().map(Site::module));
        let short = |site: &Site| site.name().strip_prefix(&common).map_or_else(|| site.name(), str::to_owned);
        let mut line = |text: String| out.extend(["    ", &text, "\n"]);
        let names = self.names();
        for (at, mutator) in self.mutators().enumerate() {
            line((language.function)(&format!("m{at}"), &short(mutator)));
        }
        for (at, name) in names.iter().enumerate() {
            let draw = if name.is_key { language.key } else { language.tag };
            line(draw(&format!("n{at}"), name.template.as_str()));
        }
        for (at, reader) in self.readers().enumerate() {
            line((language.function)(&format!("r{at}"), &short(reader)));
        }
        for (at, name) in names.iter().enumerate() {
            for (mutator, _) in self.mutators().enumerate().filter(|(_, site)| name.meets(site)) {
                line(format!("m{mutator} {} n{at}{}", language.arrow, language.end));
            }
            for (reader, _) in self.readers().enumerate().filter(|(_, site)| name.meets(site)) {
                line(format!("n{at} {} r{reader}{}", language.arrow, language.end));
            }
        }
        for (from, mutator) in self.mutators().enumerate() {
            for (to, _) in self.readers().enumerate().filter(|(_, reader)| mutator.names_entries_of(reader)) {
                line(format!("m{from} {} r{to}{}", language.arrow, language.end));
            }
        }
    }

    /// The keys and tags, each shape once: those of readers, and those of mutators that no reader has.
    fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for site in self.readers() {
            names.extend(
                Name::all_of(site).filter(|name| !names.iter().any(|known| known.is(name))).collect::<Vec<_>>(),
            );
        }
        for site in self.mutators() {
            let unread = |name: &Name| {
                !names.iter().any(|known| known.is_key == name.is_key && known.shape().meets(&name.shape()))
            };
            names.extend(Name::all_of(site).filter(unread).collect::<Vec<_>>());
        }
        names
    }
}

/// A key or a tag.
struct Name {
    is_key: bool,
    template: &'static Template,
}

impl Name {
    fn all_of(site: &'static Site) -> impl Iterator<Item = Self> {
        let keys = site.key_templates().iter().map(|template| Self { is_key: true, template });
        keys.chain(site.tag_templates().iter().map(|template| Self { is_key: false, template }))
    }

    fn shape(&self) -> Shape {
        Shape::of(self.template)
    }

    fn is(&self, other: &Self) -> bool {
        self.is_key == other.is_key && self.shape() == other.shape()
    }

    fn meets(&self, site: &'static Site) -> bool {
        Self::all_of(site).any(|own| own.is_key == self.is_key && own.shape().meets(&self.shape()))
    }
}

/// How a program that draws is spoken to. What draws a box takes the name of the box and what stands in it.
struct Language {
    function: fn(&str, &str) -> String,
    key: fn(&str, &str) -> String,
    tag: fn(&str, &str) -> String,
    arrow: &'static str,
    end: &'static str,
}

const DOT: Language = Language {
    function: |id, text| format!("{id} [label=\"{}\"];", dot_escaped(text)),
    key: |id, text| format!("{id} [label=\"{}\", shape=ellipse];", dot_escaped(text)),
    tag: |id, text| format!("{id} [label=\"{}\", shape=hexagon];", dot_escaped(text)),
    arrow: "->",
    end: ";",
};

const MERMAID: Language = Language {
    function: |id, text| format!("{id}[\"{}\"]", mermaid_escaped(text)),
    key: |id, text| format!("{id}([\"{}\"])", mermaid_escaped(text)),
    tag: |id, text| format!("{id}{{{{\"{}\"}}}}", mermaid_escaped(text)),
    arrow: "-->",
    end: "",
};

fn dot_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Mermaid reads Markdown, HTML and codes of its own in a label.
fn mermaid_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() || " _-.:/|{}(),".contains(letter) {
            escaped.push(letter);
        } else {
            let _ = write!(escaped, "#{};", u32::from(letter));
        }
    }
    escaped
}
