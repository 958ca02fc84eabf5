//! Gives every target the inputs that are kept for it, and some that are large, and counts the memory that they take.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod large;
mod memory;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use tortie_fuzz::{MEMORY_BASE, TARGETS, Target};

/// Bytes of all inputs that are kept together.
const CORPUS_LEN_MAX: usize = 128 << 10;
/// Bytes of one of them.
const INPUT_LEN_MAX: usize = 4 << 10;

/// The folder of cargo-fuzz.
fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "fuzz"].iter().collect()
}

/// Names and contents of the files in a folder; none where there is no folder.
fn inputs(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder().join(kind).join(target)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

/// Runs one input, and says what is wrong with it.
fn run(target: &Target, name: &str, input: &[u8]) -> Option<String> {
    let mut has_panicked = false;
    let peak = memory::peak_of(|| has_panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err());
    let allowed = MEMORY_BASE + target.memory_per_byte * input.len();
    if has_panicked {
        Some(format!("{}: {name} breaks a promise (see above)", target.name))
    } else if peak > allowed {
        Some(format!("{}: {name} takes {peak} bytes of memory, {allowed} are allowed", target.name))
    } else {
        None
    }
}

fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn each_input_that_is_kept_keeps_all_promises() {
    let mut problems = Vec::new();
    for target in TARGETS {
        let kept = ["corpus", "regressions"].map(|kind| inputs(kind, target.name)).concat();
        // The first input pays for what is made once.
        (target.run)(b"");
        problems.extend(kept.iter().filter_map(|(name, input)| run(target, name, input)));
    }
    assert_none(problems);
}

#[test]
fn each_target_has_a_small_corpus_and_a_program() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let mut total = 0;
    for Target { name, .. } in TARGETS {
        let corpus = inputs("corpus", name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} is missing or empty");
        for (file, input) in corpus.iter().chain(&inputs("regressions", name)) {
            assert!(input.len() <= INPUT_LEN_MAX, "{file} is longer than {INPUT_LEN_MAX} bytes");
            total += input.len();
        }
        assert!(folder().join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no program");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not name {name}");
    }
    assert!(total <= CORPUS_LEN_MAX, "{total} bytes of inputs: minimise them (`cargo fuzz cmin`)");
    let known: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    for kind in ["corpus", "regressions"] {
        let Ok(entries) = fs::read_dir(folder().join(kind)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(name.as_str()), "fuzz/{kind}/{name} belongs to no target");
        }
    }
}

#[test]
fn what_is_large_deep_or_many_keeps_all_promises_too() {
    let mut problems = Vec::new();
    for (target, name, input) in large::inputs() {
        let target = TARGETS.iter().find(|found| found.name == target).expect("a target");
        problems.extend(run(target, name, &input));
    }
    assert_none(problems);
}

#[test]
fn memory_is_counted() {
    let peak = memory::peak_of(|| drop(std::hint::black_box(vec![1_u8; 1 << 20])));
    assert!((1 << 20..2 << 20).contains(&peak), "{peak}");
}
