//! `cargo xtask demo`.

use anyhow::Result;

use crate::run::{cargo, command, root, run};

pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    crate::packages::ensure()?;
    run(&mut command(&cargo(), &["build", "--release", "--package", "tortie"]))?;
    let binary = root().join("target/release/tortie");
    let mut words = vec!["demo"];
    words.extend(arguments.iter().map(String::as_str));
    run(&mut command(&binary.to_string_lossy(), &words))
}
