//! `cargo xtask bench packets`, `cargo xtask bench xdp`: what a packet costs with the product, on the rig in `perf`;
//! `cargo xtask bench change`: what a change of policy costs, from the store to the kernel; `cargo xtask bench scale`: what
//! the calculation costs in a large cluster. Without a name, all of them.

use anyhow::{Result, bail};

use crate::packages;
use crate::run::{cargo, command, run};

const USAGE: &str = "cargo xtask bench [--quick] [--write] [--compare] for all, \
                     cargo xtask bench packets [--shape a,b] [--sizes 10,100] [--without ipt,nftlin] [--quick] \
                     [--json FILE] [--write] [--compare], \
                     cargo xtask bench xdp [--quick] [--json FILE] [--write] [--compare], \
                     cargo xtask bench change [PART…] [--etcd] [--json FILE] [--write] [--compare], \
                     or cargo xtask bench scale [PART…]";

/// A script of the rig, with the options that take a value, and those that do not; it knows what they mean.
struct Bench {
    name: &'static str,
    script: &'static str,
    with_value: &'static [&'static str],
    alone: &'static [&'static str],
    /// Whether words that are no options name parts of it.
    has_parts: bool,
}

const BENCHES: [Bench; 3] = [
    Bench {
        name: "packets",
        script: "perf/product.py",
        with_value: &["--shape", "--sizes", "--without", "--json"],
        alone: &["--quick", "--write", "--compare"],
        has_parts: false,
    },
    Bench {
        name: "xdp",
        script: "perf/xdp.py",
        with_value: &["--json"],
        alone: &["--quick", "--write", "--compare"],
        has_parts: false,
    },
    Bench {
        name: "change",
        script: "perf/change.py",
        with_value: &["--json"],
        alone: &["--etcd", "--write", "--compare"],
        has_parts: true,
    },
];

/// Options that can be given to all benches at once.
const OF_ALL: [&str; 3] = ["--quick", "--write", "--compare"];

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        // The bench itself says which parts there are.
        Some((what, parts)) if what == "scale" => scale(parts),
        Some((what, _)) if !what.starts_with('-') => one(arguments),
        _ if arguments.iter().all(|option| OF_ALL.contains(&option.as_str())) => all(arguments),
        _ => one(arguments),
    }
}

/// All of them, one after the other; what fails does not keep the next from running.
fn all(options: &[String]) -> Result<()> {
    let mut failed = Vec::new();
    for bench in &BENCHES {
        let known = options.iter().filter(|option| bench.alone.contains(&option.as_str())).cloned();
        let arguments: Vec<String> = std::iter::once(bench.name.to_owned()).chain(known).collect();
        if let Err(error) = one(&arguments) {
            eprintln!("{}: {error:#}", bench.name);
            failed.push(bench.name);
        }
    }
    scale(&[])?;
    if failed.is_empty() { Ok(()) } else { bail!("goals or former figures are missed by: {}", failed.join(", ")) }
}

fn scale(parts: &[String]) -> Result<()> {
    run(command(&cargo(), &["bench", "--package", "tortie-calc", "--bench", "scale", "--"]).args(parts))
}

fn one(arguments: &[String]) -> Result<()> {
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
            None if bench.has_parts && !option.starts_with('-') => {}
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
        assert_eq!(parse("change member list --etcd").unwrap(), Some(3));
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
            ("xdp --etcd", "`--etcd` is not known"),
            ("xdp member", "`member` is not known"),
        ] {
            let said = parse(line).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains(USAGE), "{line}: {said}");
        }
    }
}
