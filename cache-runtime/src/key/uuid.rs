//! `Uuid`.

use uuid::Uuid;

use crate::key::KeyPart;
use crate::key::KeyWriter;

/// Written with hyphens, in lower case.
impl KeyPart for Uuid {
    fn write(&self, out: &mut KeyWriter<'_>) {
        let mut text = Self::encode_buffer();
        out.verbatim(self.hyphenated().encode_lower(&mut text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key_part;

    proptest! {
        #[test]
        fn equal_ones_are_written_alike_and_others_not(one in any::<u128>(), other in any::<u128>(), bit in 0_u32..128) {
            let [one, other, near] = [one, other, one ^ (1 << bit)].map(Uuid::from_u128);
            prop_assert_eq!(key_part(&one), one.to_string());
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
            prop_assert_ne!(key_part(&one), key_part(&near));
        }
    }
}
