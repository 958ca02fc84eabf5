//! `cargo xtask verdicts`: reference, compiled ruleset and kernel over random worlds.

use anyhow::{Result, bail};

use crate::packages;
use crate::run::{capture, cargo, command, root, run};

/// Packets that CI judges without the kernel, and with it.
const CI: [(&str, &[&str]); 2] = [("2000000", &[]), ("50000", &["--kernel"])];
/// Random updates that CI walks, without the kernel and with it.
const CI_STEPS: [(&str, &[&str]); 2] = [("60000", &[]), ("20000", &["--kernel"])];

pub(crate) fn verdicts(arguments: &[String]) -> Result<()> {
    build()?;
    let cases = root().join("target/cases");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(command("target/release/tortie-verdicts", &arguments).arg("--cases").arg(cases))
}

fn build() -> Result<()> {
    packages::ensure()?;
    run(&mut command(&cargo(), &["build", "--release", "--locked", "-p", "tortie-verdicts"]))
}

/// The step of CI; gives the counts in words.
pub(crate) fn step() -> Result<String> {
    build()?;
    let searches = CI.iter().map(|(count, more)| ("--count", count, [*more, &["--coverage"]].concat()));
    let walks = CI_STEPS.iter().map(|(steps, more)| ("--order", steps, more.to_vec()));
    for (what, count, more) in searches.chain(walks) {
        let arguments = [&[what, count][..], &more].concat();
        let (is_good, text) = capture(&mut command("target/release/tortie-verdicts", &arguments))?;
        let last = text.lines().last().unwrap_or_default();
        if !is_good || !last.contains("0 differences") {
            bail!("the roads part, or nothing was judged: {last}");
        }
    }
    Ok(format!("0 differences in {} packets, {} with the kernel", CI[0].0, CI[1].0))
}
