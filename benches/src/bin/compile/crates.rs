//! The crates that are compiled: the same functions, annotated in different ways or not at all.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The package, what the table calls it, and what it depends on besides.
pub(crate) const ALL: [(&str, &str, Kind); 3] = [
    ("plain", "plain", Kind { dependency: "", import: "", attribute: |_| String::new() }),
    (
        "annotated",
        "annotated",
        Kind {
            dependency: concat!("cache-runtime = { path = \"", env!("CARGO_MANIFEST_DIR"), "/../cache-runtime\" }"),
            import: "use cache_runtime::cached;",
            attribute: |number| {
                format!("#[cached(ttl = \"5m\", key = \"user{number}:{{tenant}}:{{id}}\", tags = [\"users\"])]\n")
            },
        },
    ),
    (
        "peer",
        "cached, `cached` with ttl",
        Kind {
            dependency: "cached = { version = \"4.1\", features = [\"async\"] }",
            import: "use cached::macros::cached;",
            attribute: |_| {
                "#[cached(ttl_secs = 300, key = \"(String, u64)\", convert = \"{ (tenant.to_owned(), id) }\")]\n"
                    .to_owned()
            },
        },
    ),
];

/// What is different about a crate.
pub(crate) struct Kind {
    dependency: &'static str,
    import: &'static str,
    attribute: fn(usize) -> String,
}

/// Writes a workspace with all of them.
pub(crate) fn write(workspace: &Path) {
    let members = ALL.map(|(package, ..)| format!("{package:?}")).join(", ");
    put(&workspace.join("Cargo.toml"), &format!("[workspace]\nmembers = [{members}]\nresolver = \"3\"\n"));
    // The very versions that the other comparisons run.
    put(&workspace.join("Cargo.lock"), include_str!("../../../Cargo.lock"));
    for (package, _, kind) in ALL {
        let sources = workspace.join(package).join("src");
        fs::create_dir_all(&sources).expect("a directory for a crate");
        put(&workspace.join(package).join("Cargo.toml"), &manifest(package, &kind));
        put(&sources.join("lib.rs"), &source(&kind));
    }
}

/// Makes cargo believe that the package has changed.
pub(crate) fn touch(workspace: &Path, package: &str) {
    let path = workspace.join(package).join("src/lib.rs");
    let source = fs::read_to_string(&path).expect("what was written before");
    put(&path, &source);
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).expect("a temporary directory that can be written");
}

fn manifest(package: &str, kind: &Kind) -> String {
    let serde = "serde = { version = \"1\", features = [\"derive\"] }";
    format!(
        "[package]\nname = {package:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{serde}\n{}\n",
        kind.dependency
    )
}

fn source(kind: &Kind) -> String {
    let mut source = format!("{}\n{COMMON}", kind.import);
    for number in 0..FUNCTIONS {
        let attribute = (kind.attribute)(number);
        let _ = write!(
            source,
            "{attribute}pub async fn user{number}(tenant: &str, id: u64) -> Result<User, Error> {{
                let name = load(tenant, id).await?;
                Ok(User {{ id, name }})
            }}\n"
        );
    }
    // A future that nobody polls is not compiled to the end.
    source.push_str("pub fn all() -> Vec<Pin<Box<dyn Future<Output = Result<User, Error>> + Send>>> {\n    vec![\n");
    for number in 0..FUNCTIONS {
        let _ = writeln!(source, "        Box::pin(user{number}(\"acme\", {number})),");
    }
    source + "    ]\n}\n"
}

const COMMON: &str = "
use std::future::Future;
use std::pin::Pin;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct User {
    pub id: u64,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct Error;

async fn load(tenant: &str, id: u64) -> Result<String, Error> {
    if id == 0 { Err(Error) } else { Ok(tenant.to_owned()) }
}
";
pub(crate) const FUNCTIONS: usize = 100;
