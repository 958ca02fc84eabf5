//! Project chores: `cargo xtask` lists them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod bench;
mod check;
mod conformance;
mod coverage;
mod demo;
mod faults;
mod fire;
mod fuzz;
mod links;
mod package;
mod packages;
mod run;
mod test;
mod verdicts;

/// Name, what it does, and the function.
type Task = (&'static str, &'static str, fn(&[String]) -> anyhow::Result<()>);

const TASKS: &[Task] = &[
    ("demo", "build the release binary and show it all in namespaces of its own", demo::demo),
    ("test", "everything that CI runs: format, lints, docs, checks, all tests, the conformance kit", test::test),
    ("check", "direction of dependencies, purity of the core, unsafe, licences, links", check::check),
    (
        "conformance",
        "the packet-level kit against the release binary; `-- ARGS` go to conformance/run.py",
        conformance::conformance,
    ),
    (
        "coverage",
        "tests and scenarios for each rule of the specification; `--missing`, `--rule E-415`",
        coverage::coverage,
    ),
    (
        "verdicts",
        "three roads to each verdict over random worlds: `--seed S --count N`, `--kernel`, `--coverage`, `--order STEPS`",
        verdicts::verdicts,
    ),
    (
        "faults",
        "seeded faults, each of which the search for verdicts must find: `--only TEXT`, `--from N`, `--sample N`",
        faults::faults,
    ),
    (
        "fire",
        "policy changes 10,000 times under packets and kills; `--changes N`, `--seed S`, `--one-transaction`",
        fire::fire,
    ),
    (
        "bench",
        "`packets`: what a packet costs, beside no firewall and linear layouts; `xdp`: early drops beside an interval set; `change`: from the store to the kernel; `scale`: the calculation; all without a name; `--quick`, `--compare`, `--write`",
        bench::bench,
    ),
    ("fuzz", "run the fuzz targets on new input; `TARGET`, `--seconds N`, `--minimise`", fuzz::fuzz),
    (
        "package",
        ".deb and .rpm in target/packages; `--static` for a static binary and a container image; `--try [SYSTEM…]`",
        package::package,
    ),
    ("reference", "write docs/reference: a page for each kind, and one for the commands", test::reference),
    ("golden", "rewrite the golden files of all tests", test::golden),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        list();
        return ExitCode::SUCCESS;
    };
    let Some((.., task)) = TASKS.iter().find(|(task, ..)| task == name) else {
        eprintln!("error: there is no task `{name}`");
        list();
        return ExitCode::from(2);
    };
    let rest: Vec<String> = rest.iter().filter(|argument| *argument != "--").cloned().collect();
    match task(&rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    println!("cargo xtask TASK");
    for (name, what, _) in TASKS {
        println!("  {name:<12}{what}");
    }
}
