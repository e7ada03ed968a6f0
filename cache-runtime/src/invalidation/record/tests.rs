use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;
use crate::cache::Cache;

/// Any text at all, as what a key or a tag is made of.
fn register() -> impl Strategy<Value = Register> {
    let text = prop_oneof![".{0,30}", "[a-z:0-9%#{} .]{0,12}", "x{190,210}", Just(".".to_owned())];
    (text, any::<bool>()).prop_map(|(text, is_key)| {
        let name = Name::new(text.as_bytes());
        if is_key { Register::Key(name) } else { Register::Tag(name) }
    })
}

/// Mostly few, and sometimes more than one record holds.
fn registers() -> impl Strategy<Value = BTreeSet<Register>> {
    prop_oneof![7 => btree_set(register(), 0..20), 1 => btree_set(register(), 250..550)]
}

fn records(namespace: &str, registers: BTreeSet<Register>) -> Vec<Record> {
    with_grace(namespace, registers, Duration::ZERO)
}

fn with_grace(namespace: &str, registers: BTreeSet<Register>, grace: Duration) -> Vec<Record> {
    Record::of(Collection::from([(namespace.into(), InOne { registers, grace })]))
}

proptest! {
    #[test]
    fn a_record_that_is_read_is_the_one_that_was_written(
        namespace in "[a-zA-Z0-9_.:-]{1,64}", registers in registers(), grace in prop_oneof![Just(0), 1..5_000_000_u64],
    ) {
        let written = with_grace(&namespace, registers.clone(), Duration::from_micros(grace));
        let mut read = BTreeSet::new();
        for record in &written {
            let text = record.to_string();
            prop_assert!(text.len() <= Record::LONGEST && text.is_ascii());
            prop_assert_eq!(&text.parse::<Record>().unwrap(), record);
            let json = serde_json::to_string(record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Record>(&json).unwrap(), record);
            prop_assert_eq!(record.namespace(), &namespace);
            prop_assert!(record.grace.as_micros() < u128::from(grace) + 1000 && record.grace.as_micros() >= u128::from(grace));
            read.extend(record.targets.registers());
        }
        prop_assert_eq!(read, registers);
    }

    #[test]
    fn a_record_that_was_cut_off_is_none(registers in btree_set(register(), 1..20), at in any::<prop::sample::Index>()) {
        for record in records("shop", registers) {
            let text = record.to_string();
            prop_assert_eq!(text[..at.index(text.len())].parse::<Record>(), Err(RecordError::Malformed));
        }
    }
}

#[test]
fn the_text_of_a_record_stays_as_it_is() {
    let names =
        [Register::Tag(Name::new(b"users")), Register::Key(Name::new(b"a b")), Register::Key(Name::new(b"user:7"))];
    let records = records("shop:prod", names.into());
    let text = "v1 shop:prod key:#c95e5a48e784bd89e908893ff0a228fc91d2f1f9 key:user:7 tag:users .";
    assert_eq!(records.iter().map(Record::to_string).collect::<Vec<_>>(), [text]);
    let grace = with_grace("shop", BTreeSet::from([Register::Key(Name::new(b"user:7"))]), Duration::from_secs(2));
    assert_eq!(grace[0].to_string(), "v1 shop grace:2000 key:user:7 .");
}

#[test]
fn white_space_and_order_do_not_matter() {
    let one: Record = "v1 shop key:a key:b tag:c .".parse().unwrap();
    assert_eq!("  v1\tshop tag:c\n key:a   key:b .\n".parse(), Ok(one));
}

#[test]
fn what_is_no_record_is_an_error() {
    for text in [
        "",
        "v1",
        "v1 .",
        "v1 shop .",
        "v1 shop key:a",
        "v1 shop key:a . .",
        "v1 shop key: .",
        "v1 shop key:a{b .",
        "v1 shop key:#c95e5a48 .",
        "v1 shop tag:#epoch .",
        "v1 shop a .",
        "v1 shop Key:a .",
        "v1 shop key:caf\u{e9} .",
        "v1 sh/op key:a .",
        "v shop key:a .",
        "vendor shop key:a .",
        "V1 shop key:a .",
        "key:a",
        "v1 shop grace:1 .",
        "v1 shop grace: key:a .",
        "v1 shop grace:+1 key:a .",
        "v1 shop grace:1s key:a .",
        "v1 shop grace:1 grace:1 key:a .",
        "v1 shop key:a grace:1 .",
        "v1 shop grace:315360000001 key:a .",
        "v1 shop grace:99999999999999999999 key:a .",
    ] {
        assert_eq!(text.parse::<Record>(), Err(RecordError::Malformed), "{text:?}");
    }
    let long = format!("v1 shop key:{} .", "x".repeat(201));
    assert_eq!(long.parse::<Record>(), Err(RecordError::Malformed), "a name of that length is stored as a hash");
}

#[test]
fn a_record_of_another_version_is_told_apart() {
    for version in ["v2", "v0", "v10", "v01"] {
        let record = format!("{version} whatever that means").parse::<Record>();
        assert_eq!(record, Err(RecordError::Version(version.to_owned())));
    }
}

#[test]
fn a_record_is_bounded() {
    let of = |names: usize| (0..names).map(|name| format!(" key:{name}")).collect::<String>();
    assert!(format!("v1 shop{} .", of(Record::MOST_NAMES)).parse::<Record>().is_ok());
    assert_eq!(format!("v1 shop{} .", of(Record::MOST_NAMES + 1)).parse::<Record>(), Err(RecordError::TooLong));
    assert_eq!(" ".repeat(Record::LONGEST + 1).parse::<Record>(), Err(RecordError::TooLong));
    let names = (0..600).map(|name| Register::Tag(Name::new(format!("{name:0200}").as_bytes()))).collect();
    let records = records(&"n".repeat(64), names);
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.to_string().len() <= Record::LONGEST));
}

#[test]
fn what_is_not_the_text_of_a_record_does_not_deserialize() {
    assert!(serde_json::from_str::<Record>("7").is_err());
    let error = serde_json::from_str::<Record>("\"v9 shop\"").unwrap_err();
    assert!(error.to_string().contains("`v9`"), "{error}");
}

#[tokio::test]
async fn a_record_of_another_namespace_is_refused_and_none_is_applied() {
    let cache = Cache::builder().namespace("shop").build().unwrap();
    let ours: Record = "v1 shop key:a .".parse().unwrap();
    let theirs: Record = "v1 warehouse key:a .".parse().unwrap();
    let refused = RecordError::Namespace { record: "warehouse".to_owned(), cache: "shop".to_owned() };
    assert_eq!(cache.apply([&ours, &theirs]).await, Err(refused));
    assert_eq!(cache.stats().total.applied, 0);
    assert_eq!(cache.apply([ours]).await, Ok(Delivery::Applied));
    assert_eq!(cache.apply(Vec::<Record>::new()).await, Ok(Delivery::Applied));
    assert_eq!(cache.stats().total.applied, 1);
}
