//! What the attributes say to a mistake: each family of `ui/` is a folder, each mistake a file, what rustc prints beside it.

#[test]
fn mistakes_are_reported_where_they_are() {
    let cases = trybuild::TestCases::new();
    let families = [
        "args",
        "key",
        "ttl",
        "function",
        "types",
        "negative_ttl",
        "when",
        "unless",
        "version",
        "name",
        "handle",
        "entries",
        "spec",
        "derive",
        "result",
        "on_unreachable",
        "stale",
        "negative",
        "loads",
    ];
    for family in families {
        cases.compile_fail(format!("tests/ui/{family}/*.rs"));
    }
    cases.pass("tests/ui/pass/*.rs");
}
