//! What the README shows is what there is.

use std::fs;
use std::path::Path;

// The functions of a crate that is not named are not linked.
use examples as _;

#[test]
fn expansion_in_the_readme_is_the_snapshot() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("<!-- expansion:begin -->\n```rust,ignore\n").expect("a marked block");
    let (shown, _) = rest.split_once("```\n<!-- expansion:end -->").expect("its end");
    assert_eq!(shown, read("cache-macros/tests/expand/readme.rs"));
}

#[test]
fn picture_in_the_readme_is_what_the_program_draws() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("<!-- catalog:begin -->\n```mermaid\n").expect("a marked block");
    let (shown, _) = rest.split_once("```\n<!-- catalog:end -->").expect("its end");
    assert_eq!(shown, cache_runtime::catalog().within("examples::airports").to_mermaid());
}

#[test]
fn nothing_is_forgotten_in_the_examples() {
    cache_runtime::catalog().audit().assert_clean();
}

#[test]
fn every_link_in_the_documents_leads_to_a_file() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/observability.md",
        "docs/testing.md",
        "examples/data/README.md",
    ] {
        let folder = Path::new(document).parent().expect("a document is in a folder");
        for link in read(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split_once('#').map_or(link, |(file, _)| file);
            let there = root().join(folder).join(file);
            assert!(link.starts_with("https://") || there.exists(), "{document} links to {link}");
        }
    }
}

#[test]
fn every_example_of_the_readme_exists() {
    let readme = read("README.md");
    for name in readme.split("--bin ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert!(root().join("examples/src/bin").join(name).is_dir(), "{name}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of this repository")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}
