//! `cargo xtask conformance`: the packet-level kit against the release binary.

use anyhow::{Result, bail};

use crate::run::{capture, cargo, command, root, run};

/// Features of the kit that this version does not have yet. Policies of these classes are reported as not enforced.
const NOT_YET: &str = "";

pub(crate) fn conformance(arguments: &[String]) -> Result<()> {
    crate::packages::ensure()?;
    kit(arguments).map(|_| ())
}

/// Runs the kit; gives its last line.
pub(crate) fn kit(arguments: &[String]) -> Result<String> {
    run(&mut command(&cargo(), &["build", "--release", "--package", "tortie"]))?;
    let store = "embedded:{dir}/store.db";
    let mut kit = command("python3", &["conformance/run.py", "--adapter", "cli"]);
    kit.args(arguments)
        .env("TORTIE_BIN", root().join("target/release/tortie"))
        .env("TORTIE_AGENT", format!("{{bin}} agent --node {{host}} --store {store} --socket {{dir}}/{{host}}.sock"))
        .env("TORTIE_APPLY", format!("{{bin}} apply --store {store} -f -"))
        .env("TORTIE_DELETE", format!("{{bin}} delete --store {store} -f -"))
        .env("TORTIE_SETTLED", "{bin} status --socket {dir}/{host}.sock --wait --timeout {timeout}s")
        .env("TORTIE_REFUSED", "3")
        .env("TORTIE_SKIP", NOT_YET);
    let (is_good, text) = capture(&mut kit)?;
    if !is_good {
        bail!("the conformance kit failed");
    }
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// Runs the kit against its own reference and the broken mutants of it.
pub(crate) fn self_test() -> Result<String> {
    let (is_good, text) = capture(&mut command("python3", &["conformance/run.py", "--self-test"]))?;
    if !is_good {
        bail!("the conformance kit's self-test failed");
    }
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
