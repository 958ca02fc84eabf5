//! `cargo xtask conformance`: the packet-level kit against the release binary.

use anyhow::{Result, bail};

use crate::run::{capture, cargo, command, root, run};

/// The two values of `compatibility` (D-1): what the agent is told, the features that belong to the other mode, and
/// whether workloads must be declared because unknown ones are dropped (E-442).
const MODES: [(&str, &str, &str); 2] = [("Safe", "mode.strict", "0"), ("Strict", "mode.safe", "1")];

pub(crate) fn conformance(arguments: &[String]) -> Result<()> {
    crate::packages::ensure()?;
    kit(arguments).map(|_| ())
}

/// Runs the kit in both modes; gives what they printed last.
pub(crate) fn kit(arguments: &[String]) -> Result<String> {
    run(&mut command(&cargo(), &["build", "--release", "--package", "tortie"]))?;
    run(&mut command(&cargo(), &["build", "--package", "tortie-datastore", "--example", "put"]))?;
    let mut ends = Vec::new();
    for (mode, left_out, workloads) in MODES {
        println!("-- compatibility: {mode}");
        ends.push(kit_in_mode(arguments, mode, left_out, workloads)?);
    }
    Ok(ends.join("\n"))
}

fn kit_in_mode(arguments: &[String], mode: &str, left_out: &str, workloads: &str) -> Result<String> {
    let store = "embedded:{dir}/store.db";
    let mut kit = command("python3", &["conformance/run.py", "--adapter", "cli"]);
    kit.args(arguments)
        .env("TORTIE_BIN", root().join("target/release/tortie"))
        .env("TORTIE_AGENT", format!("{{bin}} agent --node {{host}} --store {store} --socket {{dir}}/{{host}}.sock"))
        .env("TORTIE_APPLY", format!("{{bin}} apply --store {store} -f -"))
        .env("TORTIE_DELETE", format!("{{bin}} delete --store {store} -f -"))
        .env("TORTIE_PUT", format!("{} {{dir}}/store.db", root().join("target/debug/examples/put").display()))
        .env("TORTIE_SETTLED", "{bin} status --socket {dir}/{host}.sock --wait --timeout {timeout}s")
        .env("TORTIE_REFUSED", "3")
        .env("TORTIE_SKIP", left_out)
        .env("TORTIE_WORKLOADS", workloads)
        .env("TORTIE_ENV", format!("TORTIE_COMPATIBILITY={mode}"));
    let (is_good, text) = capture(&mut kit)?;
    if !is_good {
        bail!("the conformance kit failed with `compatibility: {mode}`");
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
