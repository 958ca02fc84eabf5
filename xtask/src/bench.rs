//! `cargo xtask bench packets`: what a packet costs with the product, on the rig in `perf`; `cargo xtask bench change`:
//! what a change of policy costs, from the store to the kernel.

use anyhow::{Result, bail};

use crate::packages;
use crate::run::{cargo, command, run};

const USAGE: &str = "cargo xtask bench packets [--shape a,b] [--sizes 10,100] [--without ipt,nftlin] [--quick] \
                     [--json FILE] [--write] [--compare], or cargo xtask bench change [PART…] [--etcd]";

/// Options that take a value, and those that do not; `perf/product.py` knows what they mean.
const WITH_VALUE: [&str; 4] = ["--shape", "--sizes", "--without", "--json"];
const ALONE: [&str; 3] = ["--quick", "--write", "--compare"];

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    if let Some((_, parts)) = arguments.split_first().filter(|(what, _)| *what == "change") {
        // The bench itself says which parts there are.
        return run(command(&cargo(), &["bench", "--package", "tortie", "--bench", "change", "--"]).args(parts));
    }
    let Some(options) = packets(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    if !packages::is_root() {
        bail!("the rig makes network namespaces: run this as root");
    }
    packages::ensure()?;
    packages::ensure_rig()?;
    run(&mut command("make", &["--silent", "--directory", "perf"]))?;
    run(&mut command(&cargo(), &["build", "--release", "--package", "tortie"]))?;
    // The rig ends with this process, whatever ends it, and takes all that it made along.
    run(command("setpriv", &["--pdeathsig", "TERM", "python3", "perf/product.py"]).args(options))
}

/// The options for the rig; nothing where help is asked for.
fn packets(arguments: &[String]) -> Result<Option<&[String]>> {
    let Some((what, options)) = arguments.split_first() else { bail!("which bench? {USAGE}") };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(None);
    }
    if what != "packets" {
        bail!("there is no bench `{what}`: {USAGE}");
    }
    let mut rest = options.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match value {
            _ if !WITH_VALUE.contains(&name) && !ALONE.contains(&name) => bail!("`{option}` is not known: {USAGE}"),
            Some(_) if ALONE.contains(&name) => bail!("`{name}` takes no value: {USAGE}"),
            None if WITH_VALUE.contains(&name) && rest.next().is_none() => bail!("`{name}` takes a value: {USAGE}"),
            _ => {}
        }
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<usize>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        packets(&words).map(|options| options.map(<[String]>::len))
    }

    #[test]
    fn options_are_those_of_the_usage() {
        assert_eq!(parse("packets").unwrap(), Some(0));
        assert_eq!(parse("packets --shape a,b --sizes=10 --quick").unwrap(), Some(4));
        assert_eq!(parse("--help").unwrap(), None);
        for option in WITH_VALUE.iter().chain(&ALONE) {
            assert!(USAGE.contains(option), "{option}");
        }
    }

    #[test]
    fn mistakes_are_told_with_the_usage() {
        for (line, what) in [
            ("", "which bench?"),
            ("bytes", "no bench `bytes`"),
            ("packets --shapes a", "`--shapes` is not known"),
            ("packets --quick=1", "takes no value"),
            ("packets --sizes", "takes a value"),
        ] {
            let said = parse(line).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains(USAGE), "{line}: {said}");
        }
    }
}
