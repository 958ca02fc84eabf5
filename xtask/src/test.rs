//! `cargo xtask test`: everything that CI runs, in the order in which it fails fastest.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::run::{capture, cargo, command, run};
use crate::{check, conformance, coverage, faults, packages, verdicts};

/// One line of the summary.
struct Line {
    what: &'static str,
    seconds: u64,
    counts: String,
}

pub(crate) fn test(_arguments: &[String]) -> Result<()> {
    packages::ensure()?;
    if !packages::is_root() {
        bail!("the kernel tests and the conformance kit make network namespaces: run this as root");
    }
    let mut lines = Vec::new();
    step(&mut lines, "format", || run(&mut command(&cargo(), &["fmt", "--all", "--check"])).map(|()| String::new()))?;
    step(&mut lines, "lints", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        run(&mut command(&cargo(), &arguments)).map(|()| String::new())
    })?;
    step(&mut lines, "documentation", || {
        let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"];
        run(command(&cargo(), &arguments).env("RUSTDOCFLAGS", "-D warnings")).map(|()| String::new())
    })?;
    step(&mut lines, "check", || check::check(&[]).map(|()| String::new()))?;
    step(&mut lines, "coverage of the specification", coverage::step)?;
    step(&mut lines, "servers of etcd and Kubernetes", || packages::ensure_servers().map(|()| String::new()))?;
    let mut total = Counts::default();
    step(&mut lines, "tests", || {
        let (is_good, text) = capture(&mut command(&cargo(), &["test", "--workspace", "--locked", "--no-fail-fast"]))?;
        total = counts(&text);
        if !is_good || total.failed > 0 {
            bail!("{} tests failed", total.failed);
        }
        if total.ignored > 0 {
            bail!("{} tests were ignored: a test is run or removed", total.ignored);
        }
        if total.passed == 0 {
            bail!("no test was run");
        }
        Ok(format!("{} passed", total.passed))
    })?;
    step(&mut lines, "verdicts", verdicts::step)?;
    step(&mut lines, "seeded faults", faults::step)?;
    step(&mut lines, "conformance kit, self-test", conformance::self_test)?;
    step(&mut lines, "conformance", || conformance::kit(&[]))?;
    step(&mut lines, "conformance, other stores", conformance::smoke)?;

    println!("\n{:<28} {:>8}  result", "what ran", "seconds");
    for line in &lines {
        println!(
            "{:<28} {:>8}  {}",
            line.what,
            line.seconds,
            if line.counts.is_empty() { "good" } else { &line.counts }
        );
    }
    let passed = total.passed
        + lines
            .iter()
            .filter(|line| line.what.starts_with("conformance"))
            .map(|line| counts(&line.counts).passed)
            .sum::<u64>();
    println!("{passed} passed, 0 failed");
    Ok(())
}

pub(crate) fn golden(_arguments: &[String]) -> Result<()> {
    run(command(&cargo(), &["test", "--workspace", "--locked"]).env("TORTIE_GOLDEN", "write"))
}

/// The test that fails where a page is not up to date writes it when it is told to.
pub(crate) fn reference(_arguments: &[String]) -> Result<()> {
    let arguments = ["test", "-p", "tortie", "--bin", "tortie", "--locked", "docs::reference"];
    run(command(&cargo(), &arguments).env("TORTIE_GOLDEN", "write"))
}

fn step(lines: &mut Vec<Line>, what: &'static str, work: impl FnOnce() -> Result<String>) -> Result<()> {
    println!("== {what}");
    let start = Instant::now();
    let counts = work()?;
    lines.push(Line { what, seconds: start.elapsed().as_secs(), counts });
    Ok(())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Adds up what the runners printed: `N passed; M failed; K ignored` and `N passed, M failed`.
fn counts(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        let is_summary = line.starts_with("test result:")
            || line.split([',', ';']).all(|part| {
                let mut words = part.split_whitespace();
                words.next().is_some_and(|word| word.parse::<u64>().is_ok())
                    && words.next().is_some_and(|word| ["passed", "failed", "skipped"].contains(&word))
            });
        if !is_summary {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1].trim_end_matches([',', ';']) {
                "passed" => counts.passed += number,
                "failed" => counts.failed += number,
                "ignored" => counts.ignored += number,
                _ => {}
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_runners_are_added_up() {
        let text = "running 2 tests\ntest a ... ok\n\
                    test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                    something passed by 7 failed attempts\n\
                    test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n\
                    36 passed, 0 failed\n";
        assert_eq!(counts(text), Counts { passed: 41, failed: 4, ignored: 1 });
        assert_eq!(counts(""), Counts::default());
    }
}
