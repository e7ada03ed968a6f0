//! Standing between cargo and rustc, to measure rustc alone.

use std::env;
use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::exit;

use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;
use nix::sys::time::TimeVal;
use nix::sys::time::TimeValLike;

/// Makes `cargo` call this program in place of rustc for the crates of the workspace, and write down in `log` what rustc took.
pub(crate) fn measured(cargo: &mut Command, log: &Path) {
    let own = env::current_exe().expect("this program");
    cargo.env("RUSTC_WORKSPACE_WRAPPER", own).env(LOG, log);
}

/// Runs rustc, if this is the call for that.
pub(crate) fn stands_in() -> bool {
    let Some(log) = env::var_os(LOG) else { return false };
    let mut arguments = env::args_os().skip(1);
    let rustc = arguments.next().expect("the path of rustc");
    let status = Command::new(rustc).args(arguments).status().expect("rustc");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what rustc took");
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let mut log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    writeln!(log, "{}", seconds(usage.user_time()) + seconds(usage.system_time())).expect("a log");
    exit(status.code().unwrap_or(1));
}

/// The seconds, user and system, that rustc took when it was last called.
pub(crate) fn last(log: &Path) -> f64 {
    let log = fs::read_to_string(log).expect("a log");
    log.lines().last().and_then(|seconds| seconds.parse().ok()).expect("seconds")
}

const LOG: &str = "SECONDS_OF_RUSTC";
