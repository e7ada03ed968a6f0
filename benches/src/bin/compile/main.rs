//! What a hundred annotated functions cost the compiler, beside the same functions without a cache and with another crate's.
//!
//! `cargo run --release --bin compile` writes three crates into a temporary directory and builds them with the `cargo` and the `rustc` on the path.

mod crates;
mod rustc;

use std::path::Path;
use std::process::Command;

use benches::rounds::Contender;
use benches::rounds::race;
use benches::table::Table;

fn main() {
    if rustc::stands_in() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let workspace = directory.path();
    crates::write(workspace);
    let mut contenders: Vec<_> = crates::ALL
        .iter()
        .map(|(package, name, _)| Contender::new(*name, move || seconds(workspace, package)))
        .collect();
    let mut table = Table::new(["", "seconds of CPU", "of plain", "lines after expansion"]);
    let outcomes = race(&mut contenders, ROUNDS);
    for (outcome, (package, ..)) in outcomes.into_iter().zip(crates::ALL) {
        let lines = lines_after_expansion(workspace, package).to_string();
        table.row([outcome.name, outcome.measured.to_string(), outcome.ratio.to_string(), lines]);
    }
    println!("{} functions, `dev` profile, not incremental, dependencies built before:\n\n{table}", crates::FUNCTIONS);
}

/// What one build of `package` takes, all of its dependencies being built.
fn seconds(workspace: &Path, package: &str) -> f64 {
    crates::touch(workspace, package);
    let log = workspace.join("seconds");
    let mut cargo = cargo(workspace, "build", package);
    // What the last build left behind would make this one cheaper.
    rustc::measured(cargo.env("CARGO_INCREMENTAL", "0"), &log);
    assert!(cargo.status().expect("cargo").success(), "{package} does not build");
    rustc::last(&log)
}

/// Counted as `cargo expand` prints it: `rustc` expands, `prettyplease` formats.
fn lines_after_expansion(workspace: &Path, package: &str) -> usize {
    let mut cargo = cargo(workspace, "rustc", package);
    let output = cargo.env("RUSTC_BOOTSTRAP", "1").args(["--", "-Zunpretty=expanded"]).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let source = String::from_utf8(output.stdout).expect("Rust");
    prettyplease::unparse(&syn::parse_file(&source).expect("Rust")).lines().count()
}

fn cargo(workspace: &Path, subcommand: &str, package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace).env_remove("CARGO_TARGET_DIR").args([subcommand, "--quiet", "--package", package]);
    cargo
}

const ROUNDS: usize = 5;
