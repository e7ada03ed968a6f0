//! Types and expressions as people write them, for the catalog.

use proc_macro2::Delimiter;
use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use quote::ToTokens;

/// `tokens` without the blanks that tokens have between them: `Arc<[User]>` and not `Arc < [User] >`.
pub(crate) fn spelled(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                letter @ (',' | ';') => text.extend([letter, ' ']),
                letter @ ('+' | '*' | '=') => text.extend([' ', letter, ' ']),
                letter => text.push(letter),
            },
            word => {
                if text.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '"')) {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn types_and_expressions_read_as_written() {
        for (tokens, expected) in [
            (quote!(Arc<[Airport]>), "Arc<[Airport]>"),
            (quote!(HashMap<String, Vec<(u8, u8)>>), "HashMap<String, Vec<(u8, u8)>>"),
            (quote!(Box<dyn Shape + Send>), "Box<dyn Shape + Send>"),
            (quote!([u8; 4]), "[u8; 4]"),
            (quote!(&'static str), "&'static str"),
            (quote!(models::User<Item = u8>), "models::User<Item = u8>"),
            (quote!(()), "()"),
            (quote!(self.config.ttl(3) * 2), "self.config.ttl(3) * 2"),
        ] {
            assert_eq!(spelled(&tokens), expected);
        }
    }
}
