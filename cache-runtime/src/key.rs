//! Names: how a template and its parts become the text of a key or a tag.
//!
//! A template is literal text with placeholders, `user:{id}`. Every placeholder is filled by one [`KeyPart`], and what a part
//! writes holds only letters, digits, `-`, `.`, `_`, `~` and percent escapes. So long as two placeholders have one other
//! character between them, different parts give different texts: [`Template`] refuses templates where they have not.
//!
//! - A name is its text: the literal `user:7` and `user:{id}` with 7 are one name.
//! - A [`Name`] is what a store sees: the text itself where it is plain and at most [`Name::LONGEST`] bytes, and a hash of it where not.

mod name;
mod part;
mod shape;
mod template;
mod text;

pub(crate) use name::HASHED;
pub(crate) use name::Name;
pub(crate) use name::Written;
pub use part::KeyPart;
pub use part::KeyWriter;
pub use part::TypeKey;
pub use part::key_part;
pub use part::type_key;
pub(crate) use shape::Shape;
pub(crate) use template::Template;
pub(crate) use text::Text;
