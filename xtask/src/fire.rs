//! `cargo xtask fire`: swaps under fire.

use anyhow::{Result, bail};

use crate::run::{cargo, command, run};

pub(crate) fn fire(arguments: &[String]) -> Result<()> {
    crate::packages::ensure()?;
    if !crate::packages::is_root() {
        bail!("the rig makes network namespaces: run this as root");
    }
    let mut bench = command(&cargo(), &["bench", "--package", "tortie", "--bench", "fire", "--"]);
    run(bench.args(arguments))
}
