//! `Decimal`.

use rust_decimal::Decimal;

use crate::key::KeyPart;
use crate::key::KeyWriter;

/// Written without trailing zeros: `1.0` and `1.00` are one value, and one text.
impl KeyPart for Decimal {
    fn write(&self, out: &mut KeyWriter<'_>) {
        let value = self.normalize();
        let (mantissa, scale) = (value.mantissa(), value.scale() as usize);
        if mantissa < 0 {
            out.verbatim(b"-");
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(mantissa.unsigned_abs()).as_bytes();
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
        out.verbatim(if whole.is_empty() { b"0" } else { whole });
        if scale > 0 {
            out.verbatim(b".");
            (fraction.len()..scale).for_each(|_| out.verbatim(b"0"));
            out.verbatim(fraction);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key_part;

    fn decimal() -> impl Strategy<Value = Decimal> {
        let most = (1_i128 << 96) - 1;
        let mantissa = prop_oneof![-300_i128..300, Just(0), -most..=most];
        (mantissa, 0_u32..=28).prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn equal_ones_are_written_alike_and_others_not(one in decimal(), other in decimal(), zeros in 0_u32..5) {
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
            let mut longer = one;
            longer.rescale(one.scale() + zeros);
            prop_assert_eq!(key_part(&one) == key_part(&longer), one == longer);
            prop_assert_eq!(key_part(&one), one.normalize().to_string());
        }

        #[test]
        fn whole_ones_are_written_as_integers(number in any::<i64>()) {
            prop_assert_eq!(key_part(&Decimal::from(number)), key_part(&number));
        }
    }

    #[test]
    fn zero_has_no_sign() {
        let mut zero = Decimal::new(0, 3);
        zero.set_sign_negative(true);
        assert_eq!(key_part(&zero), "0");
    }
}
