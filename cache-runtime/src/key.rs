//! Names: how a template and its parts become the text of a key or a tag.
//!
//! A template is literal text with placeholders, `user:{id}`. Every placeholder is filled by one [`KeyPart`], and what a part
//! writes holds only letters, digits, `-`, `.`, `_`, `~` and percent escapes. So long as two placeholders have one other
//! character between them, different parts give different texts: [`Template`] refuses templates where they have not.
//!
//! - A name is its text: the literal `user:7` and `user:{id}` with 7 are one name.
//! - A [`Name`] is what a store sees: the text itself where it is plain and at most [`Name::LONGEST`] bytes, and a hash of it where not.

#[cfg(any(feature = "chrono", feature = "time"))]
mod calendar;
#[cfg(feature = "rust_decimal")]
mod decimal;
#[cfg(test)]
mod derived;
mod json;
mod name;
mod part;
mod secret;
mod shape;
mod spec;
mod template;
mod text;
#[cfg(feature = "uuid")]
mod uuid;
mod writer;

pub(crate) use name::HASHED;
pub(crate) use name::Name;
pub(crate) use name::Written;
pub use part::KeyPart;
pub use part::TypeKey;
pub use part::type_key;
pub(crate) use secret::Secret;
pub(crate) use shape::Shape;
pub use spec::Spelled;
pub use spec::display_part;
pub use spec::hash_part;
pub use spec::json_part;
pub(crate) use template::Template;
pub(crate) use text::Text;
pub use writer::KeyWriter;
pub(crate) use writer::SecretOf;
pub(crate) use writer::Unwritable;
