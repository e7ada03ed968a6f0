//! Durations as people write them: `"250ms"`, `"30s"`, `"1h 30m"`.

use proc_macro2::Literal;
use proc_macro2::TokenStream;
use quote::ToTokens;
use quote::quote;
use syn::Expr;
use syn::Lit;
use syn::LitStr;

use crate::args::ungrouped;

/// A length of time, or what computes one when the function is called.
#[derive(Clone)]
pub(crate) enum Time {
    /// More than zero milliseconds.
    Fixed(u64),
    /// Any expression of type `Duration`.
    Computed(Expr),
}

impl Time {
    /// Takes a literal apart, and leaves any other expression to rustc.
    pub(crate) fn parse(expression: Expr) -> syn::Result<Self> {
        let literal = match ungrouped(&expression) {
            Expr::Lit(literal) => literal,
            Expr::Closure(closure) => {
                let message =
                    "this is a duration and no closure; write one like `\"30s\"`, or any expression of type `Duration`";
                return Err(syn::Error::new_spanned(closure, message));
            }
            _ => return Ok(Self::Computed(expression)),
        };
        match &literal.lit {
            Lit::Str(text) => milliseconds(text).map(Self::Fixed),
            Lit::Int(number) => {
                let message = format!("`{number}` is not a duration; write one like `\"{number}s\"` or `\"5m\"`");
                Err(syn::Error::new_spanned(literal, message))
            }
            other => {
                let other = other.to_token_stream();
                let message =
                    format!("`{other}` is not a duration; write one like `\"30s\"`, `\"5m\"` or `\"1h 30m\"`");
                Err(syn::Error::new_spanned(literal, message))
            }
        }
    }
}

impl ToTokens for Time {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self {
            Self::Fixed(milliseconds) if milliseconds % 1000 == 0 => {
                let seconds = Literal::u64_unsuffixed(milliseconds / 1000);
                quote!(::core::time::Duration::from_secs(#seconds))
            }
            Self::Fixed(milliseconds) => {
                let milliseconds = Literal::u64_unsuffixed(*milliseconds);
                quote!(::core::time::Duration::from_millis(#milliseconds))
            }
            Self::Computed(expression) => expression.to_token_stream(),
        });
    }
}

fn milliseconds(literal: &LitStr) -> syn::Result<u64> {
    let text = literal.value();
    let message = match parse(&text) {
        Some(0) => format!("`{text}` is no time at all; write a duration like `30s`, `5m` or `1h 30m`"),
        Some(milliseconds) => return Ok(milliseconds),
        None => {
            format!("`{text}` is not a duration; write one like `30s`, `5m` or `1h 30m`, in `ms`, `s`, `m`, `h` or `d`")
        }
    };
    Err(syn::Error::new_spanned(literal, message))
}

/// The sum of all `number unit` in `text`, with blanks between them or not, or `None` when it is something else or too long to count.
fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (milliseconds, after) = component(rest)?;
        total = total.checked_add(milliseconds)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// The first `number unit` of `text`, and what follows it.
fn component(text: &str) -> Option<(u64, &str)> {
    let (number, rest) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let end = rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse::<u64>().ok()?.checked_mul(*scale)?, rest))
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use syn::parse_quote;

    use super::*;

    fn tokens(expression: Expr) -> String {
        Time::parse(expression).unwrap().to_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn units_add_up() {
        assert_eq!(parse("1h 30m"), Some(5_400_000));
        assert_eq!(parse("1h30m"), Some(5_400_000));
        assert_eq!(parse("2d"), Some(172_800_000));
        assert_eq!(parse(" 1s  5ms "), Some(1_005));
    }

    #[test]
    fn anything_else_is_not_a_duration() {
        for text in
            ["", " ", "5", "s", "5 m", "5 minutes", "+5s", "-5s", "1.5s", "5S", "1h30", "h30m", "5us", "5m,3s", "٥s"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn too_long_to_count_is_not_a_duration() {
        assert_eq!(parse("18446744073709551615s"), None);
        assert_eq!(parse("18446744073709551615ms 1ms"), None);
        assert_eq!(parse("99999999999999999999ms"), None);
    }

    #[test]
    fn zero_is_refused() {
        for expression in [parse_quote!("0s"), parse_quote!("0h 0ms")] {
            let error = Time::parse(expression).err().unwrap();
            assert!(error.to_string().contains("is no time at all"), "{error}");
        }
    }

    #[test]
    fn whole_seconds_are_printed_as_seconds() {
        assert_eq!(tokens(parse_quote!("1s 1000ms")), "::core::time::Duration::from_secs(2)");
        assert_eq!(tokens(parse_quote!("1s 1ms")), "::core::time::Duration::from_millis(1001)");
    }

    #[test]
    fn expressions_stay_as_written() {
        assert_eq!(tokens(parse_quote!(self.config.ttl)), "self.config.ttl");
        assert_eq!(tokens(parse_quote!(TTL)), "TTL");
    }

    #[test]
    fn other_literals_are_refused() {
        for expression in [parse_quote!(300), parse_quote!(1.5), parse_quote!(true), parse_quote!(b"5m")] {
            assert!(Time::parse(expression).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_sum_of_components_is_read(parts in prop::collection::vec((0_u64..10_000, 0_usize..5), 1..6), blank in " {0,2}") {
            let text: Vec<_> = parts.iter().map(|&(number, unit)| format!("{number}{}", UNITS[unit].0)).collect();
            let sum: u64 = parts.iter().map(|&(number, unit)| number * UNITS[unit].1).sum();
            prop_assert_eq!(parse(&text.join(&blank)), Some(sum));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            parse(&text);
        }

        #[test]
        fn only_digits_units_and_blanks_are_read(text in "[0-9a-z +.-]{0,12}") {
            if parse(&text).is_some() {
                prop_assert!(text.chars().all(|letter| letter.is_ascii_digit() || "msdh ".contains(letter)));
            }
        }
    }
}
