use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn no_flags_are_plain_json() {
    let form = Form::of_flags(0).unwrap();
    assert_eq!((form.codec(), form.flags()), (Codec::Json, 0));
}

#[test]
fn a_form_that_this_build_does_not_have_is_unreadable() {
    for flags in 0..8 {
        let codec = flags & CODEC;
        let has_codec = codec == 0 || (codec == 1 && cfg!(feature = "msgpack"));
        let known = has_codec && (flags & COMPRESSED == 0 || cfg!(feature = "lz4"));
        match Form::of_flags(flags) {
            Ok(form) => assert!(known && form.flags() == flags, "{flags:b}"),
            Err(error) => assert!(!known && error == Unreadable::Form, "{flags:b}"),
        }
    }
}

proptest! {
    #[test]
    fn any_payload_is_survived_and_bounded(bytes in vec(any::<u8>(), 0..300), flags in 0..8_u8, most in 0..10_000_usize) {
        if let Ok(form) = Form::of_flags(flags) {
            let packed = Packed { form, bytes: bytes.into() };
            if let Ok(plain) = packed.unpacked(most) {
                prop_assert!(!form.compressed || plain.len() <= most);
            }
        }
    }
}

#[cfg(feature = "lz4")]
mod lz4 {
    use super::*;

    const PACKING: Packing = Packing { codec: Codec::Json, compress_above: 100 };
    const MOST: usize = 1 << 20;

    fn packed(plain: &[u8]) -> Packed {
        let mut out = [b"before", plain].concat();
        let form = PACKING.pack(&mut out, 6);
        assert_eq!(&out[..6], b"before");
        Packed { form, bytes: out.split_off(6).into() }
    }

    fn compressed(bytes: Vec<u8>) -> Packed {
        Packed { form: Form { codec: Codec::Json, compressed: true }, bytes: bytes.into() }
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(words in vec("[a-d]{1,4}", 0..500), noise in vec(any::<u8>(), 0..500)) {
            let plain = [words.concat().into_bytes(), noise].concat();
            let packed = packed(&plain);
            prop_assert!(packed.bytes.len() <= plain.len());
            prop_assert_eq!(&*packed.unpacked(plain.len()).unwrap(), &*plain);
        }

        #[test]
        fn changed_or_cut_bytes_are_survived(
            words in vec("[a-d]{1,4}", 50..200), changes in vec(any::<(prop::sample::Index, u8)>(), 1..5), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = packed(words.concat().as_bytes()).bytes.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(plain) = compressed(bytes).unpacked(10_000) {
                prop_assert!(plain.len() <= 10_000);
            }
        }

        #[test]
        fn any_claim_is_bounded(claim in any::<u32>(), block in vec(any::<u8>(), 0..100), most in 0..100_000_usize) {
            let bytes = [claim.to_le_bytes().to_vec(), block].concat();
            if let Ok(plain) = compressed(bytes).unpacked(most) {
                prop_assert!(plain.len() <= most && plain.len() == claim as usize);
            }
        }
    }

    #[test]
    fn only_what_is_long_and_gets_shorter_is_compressed() {
        assert!(!packed(&[b'a'; 100]).form.compressed, "no longer than the threshold");
        assert!(packed(&[b'a'; 101]).form.compressed);
        let noise: Vec<u8> =
            (0..200_u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..8].to_vec()).collect();
        let kept = packed(&noise);
        assert!(!kept.form.compressed, "noise only gets longer");
        assert_eq!(&*kept.bytes, &*noise);
        let never = Packing { compress_above: usize::MAX, ..PACKING };
        let mut out = vec![b'a'; 10_000];
        assert!(!never.pack(&mut out, 0).compressed);
    }

    #[test]
    fn a_bomb_is_refused_before_anything_is_reserved() {
        let unpacked = |packed: &Packed, most| packed.unpacked(most).map(|plain| plain.len());
        let bomb = packed(&vec![0; MOST]);
        assert!(bomb.bytes.len() < 5000);
        assert_eq!(unpacked(&bomb, MOST), Ok(MOST));
        assert_eq!(unpacked(&bomb, MOST - 1), Err(Unreadable::Compression), "beyond the cap");
        // Far beyond all memory, of a block that cannot be so long.
        let claim = compressed([u32::MAX.to_le_bytes().to_vec(), bomb.bytes[4..].to_vec()].concat());
        assert_eq!(unpacked(&claim, usize::MAX), Err(Unreadable::Compression));
    }

    #[test]
    fn a_length_that_is_not_that_of_the_block_is_refused() {
        let plain = [b'a'; 1000];
        for claim in [0, 1, 999, 1001, 2000_u32] {
            let bytes = [claim.to_le_bytes().to_vec(), packed(&plain).bytes[4..].to_vec()].concat();
            assert_eq!(compressed(bytes).unpacked(MOST), Err(Unreadable::Compression), "{claim}");
        }
        for short in 0..5 {
            let bytes = packed(&plain).bytes[..short].to_vec();
            assert_eq!(compressed(bytes).unpacked(MOST), Err(Unreadable::Compression), "{short} bytes");
        }
    }
}
