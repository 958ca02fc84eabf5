//! What is installed: units, manifests, manual pages, completions, examples (cli.md section 2.3, 2.10; E-706 to E-708).
//! The packages themselves are tried by `cargo xtask package --try`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

mod completion;
mod confined;
mod examples;
#[path = "../life/host.rs"]
mod host;
mod kubernetes;
mod manual;
mod terminal;
mod units;

/// The folder `packaging` of the source tree.
fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// What the program prints; it must succeed.
fn tortie(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tortie")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
