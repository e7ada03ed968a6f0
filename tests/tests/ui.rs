//! What the attributes say to a mistake, and what they take.

#[test]
fn mistakes_are_reported_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/*/pass-*.rs");
    for family in ["args", "key", "ttl", "function", "types"] {
        cases.compile_fail(format!("tests/ui/{family}/[!p]*.rs"));
    }
}
