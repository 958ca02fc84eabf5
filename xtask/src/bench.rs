//! `cargo xtask bench packets`, `cargo xtask bench xdp`: what a packet costs with the product, on the rig in `perf`;
//! `cargo xtask bench change`: what a change of policy costs, from the store to the kernel.

use anyhow::{Result, bail};

use crate::packages;
use crate::run::{cargo, command, run};

const USAGE: &str = "cargo xtask bench packets [--shape a,b] [--sizes 10,100] [--without ipt,nftlin] [--quick] \
                     [--json FILE] [--write] [--compare], cargo xtask bench xdp [--quick] [--json FILE] [--write], \
                     or cargo xtask bench change [PART…] [--etcd]";

/// A script of the rig, with the options that take a value, and those that do not; it knows what they mean.
struct Bench {
    name: &'static str,
    script: &'static str,
    with_value: &'static [&'static str],
    alone: &'static [&'static str],
}

const BENCHES: [Bench; 2] = [
    Bench {
        name: "packets",
        script: "perf/product.py",
        with_value: &["--shape", "--sizes", "--without", "--json"],
        alone: &["--quick", "--write", "--compare"],
    },
    Bench { name: "xdp", script: "perf/xdp.py", with_value: &["--json"], alone: &["--quick", "--write"] },
];

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    if let Some((_, parts)) = arguments.split_first().filter(|(what, _)| *what == "change") {
        // The bench itself says which parts there are.
        return run(command(&cargo(), &["bench", "--package", "tortie", "--bench", "change", "--"]).args(parts));
    }
    let Some((bench, options)) = chosen(arguments)? else {
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
    run(command("setpriv", &["--pdeathsig", "TERM", "python3", bench.script]).args(options))
}

/// The bench and its options; nothing where help is asked for.
fn chosen(arguments: &[String]) -> Result<Option<(&'static Bench, &[String])>> {
    let Some((what, options)) = arguments.split_first() else { bail!("which bench? {USAGE}") };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(None);
    }
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == what) else {
        bail!("there is no bench `{what}`: {USAGE}");
    };
    let mut rest = options.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match value {
            _ if !bench.with_value.contains(&name) && !bench.alone.contains(&name) => {
                bail!("`{option}` is not known: {USAGE}")
            }
            Some(_) if bench.alone.contains(&name) => bail!("`{name}` takes no value: {USAGE}"),
            None if bench.with_value.contains(&name) && rest.next().is_none() => {
                bail!("`{name}` takes a value: {USAGE}")
            }
            _ => {}
        }
    }
    Ok(Some((bench, options)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<usize>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        chosen(&words).map(|found| found.map(|(_, options)| options.len()))
    }

    #[test]
    fn options_are_those_of_the_usage() {
        assert_eq!(parse("packets").unwrap(), Some(0));
        assert_eq!(parse("packets --shape a,b --sizes=10 --quick").unwrap(), Some(4));
        assert_eq!(parse("--help").unwrap(), None);
        assert_eq!(parse("xdp --quick --json=f").unwrap(), Some(2));
        for option in BENCHES.iter().flat_map(|bench| bench.with_value.iter().chain(bench.alone)) {
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
            ("xdp --compare", "`--compare` is not known"),
        ] {
            let said = parse(line).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains(USAGE), "{line}: {said}");
        }
    }
}
