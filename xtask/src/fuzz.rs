//! `cargo xtask fuzz [TARGET] [--seconds N] [--minimise]`: runs the fuzz targets, one after the other (docs/fuzzing.md).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, command, root, run};

/// How long a target runs when nobody says.
const SECONDS: u64 = 60;
/// Bytes of an input: what is found in large ones is found in small ones too, and small ones are kept.
const INPUT_LEN_MAX: usize = 4096;
/// Bytes that are kept for one target.
const CORPUS_LEN_MAX: u64 = 9 << 10;
/// Inputs that are kept for one target.
const CORPUS_FILES_MAX: usize = 60;

struct Arguments {
    target: Option<String>,
    seconds: u64,
    minimises: bool,
}

pub(crate) fn fuzz(arguments: &[String]) -> Result<()> {
    let arguments = parse(arguments)?;
    let mut targets = targets()?;
    if let Some(name) = &arguments.target {
        if !targets.contains(name) {
            bail!("there is no target `{name}`; there are {}", targets.join(", "));
        }
        targets.retain(|target| target == name);
    }
    ensure()?;
    for target in &targets {
        if arguments.minimises { minimise(target)? } else { search(target, arguments.seconds)? }
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Arguments> {
    let mut parsed = Arguments { target: None, seconds: SECONDS, minimises: false };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().context("`--seconds` needs a number")?;
                parsed.seconds = number.parse().with_context(|| format!("`{number}` is no number of seconds"))?;
            }
            "--minimise" => parsed.minimises = true,
            option if option.starts_with('-') => bail!("there is no option `{option}`"),
            name if parsed.target.is_none() => parsed.target = Some(name.to_owned()),
            other => bail!("one target or all of them: what is `{other}`?"),
        }
    }
    Ok(parsed)
}

/// The targets, by the programs that there are.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Installs cargo-fuzz when it is missing.
fn ensure() -> Result<()> {
    let is_there = command(&cargo(), &["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
    if is_there {
        return Ok(());
    }
    eprintln!("cargo-fuzz is missing and is installed now");
    run(&mut command(&cargo(), &["install", "cargo-fuzz", "--locked"]))
}

/// Runs cargo-fuzz. The compiler's flags for it are not stable yet, which the stable compiler is told to overlook; there is
/// no sanitizer, since there is no unsafe code to watch.
fn cargo_fuzz(arguments: &[&str]) -> Result<()> {
    let all = [&["fuzz", "run", "--sanitizer", "none"], arguments].concat();
    run(command(&cargo(), &all).env("RUSTC_BOOTSTRAP", "1"))
}

/// Where new inputs of a target gather; not kept.
fn found(target: &str) -> PathBuf {
    root().join("fuzz/target/found").join(target)
}

/// The folders of inputs that are kept and exist.
fn kept(target: &str) -> Vec<PathBuf> {
    let folders = ["corpus", "regressions"].map(|kind| root().join("fuzz").join(kind).join(target));
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

fn search(target: &str, seconds: u64) -> Result<()> {
    let found = found(target);
    fs::create_dir_all(&found)?;
    let mut folders = vec![found.display().to_string()];
    folders.extend(kept(target).iter().map(|folder| folder.display().to_string()));
    let seconds = format!("-max_total_time={seconds}");
    let len = format!("-max_len={INPUT_LEN_MAX}");
    let mut arguments = vec![target];
    arguments.extend(folders.iter().map(String::as_str));
    arguments.extend(["--", &seconds, &len, "-rss_limit_mb=2048", "-timeout=20", "-print_final_stats=1"]);
    cargo_fuzz(&arguments).with_context(|| {
        format!("the input lies in fuzz/artifacts/{target}; with the repair it goes to fuzz/regressions/{target}/NAME")
    })
}

/// Replaces the corpus of a target by a small one that reaches as much of what was found as fits.
fn minimise(target: &str) -> Result<()> {
    let corpus = root().join("fuzz/corpus").join(target);
    let merged = root().join("fuzz/target/merged").join(target);
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(found(target))?;
    let folders = [&merged, &corpus, &found(target)].map(|folder| folder.display().to_string());
    let len = format!("-max_len={INPUT_LEN_MAX}");
    cargo_fuzz(&[target, &folders[0], &folders[1], &folders[2], "--", "-merge=1", &len])?;
    for (file, _) in files(&corpus)?.into_iter().filter(|(file, _)| !is_named(file)) {
        fs::remove_file(file)?;
    }
    for file in spread(files(&merged)?) {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, corpus.join(name))?;
    }
    Ok(())
}

/// Whether somebody gave an input its name: libFuzzer takes 40 hexadecimal digits. Such an input stays.
fn is_named(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.len() != 40 || !name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Files and their lengths.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.path(), entry.metadata()?.len()));
    }
    Ok(files)
}

/// As many files as fit, of all lengths: the short ones reach the edges, the long ones are whole documents.
fn spread(mut files: Vec<(PathBuf, u64)>) -> Vec<PathBuf> {
    files.sort_by(|(a, a_len), (b, b_len)| (a_len, a).cmp(&(b_len, b)));
    let total = |step: usize| files.iter().step_by(step).map(|(_, len)| len).sum::<u64>();
    let fits = |step: &usize| files.len().div_ceil(*step) <= CORPUS_FILES_MAX && total(*step) <= CORPUS_LEN_MAX;
    let step = (1..=files.len()).find(fits).unwrap_or(1);
    files.iter().step_by(step).map(|(file, _)| file.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_a_target_and_a_time() {
        let parse = |words: &[&str]| parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let parsed = parse(&["selector", "--seconds", "9"]).unwrap();
        assert_eq!((parsed.target.as_deref(), parsed.seconds, parsed.minimises), (Some("selector"), 9, false));
        assert!(parse(&["--minimise"]).unwrap().minimises);
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--fast"], &["a", "b"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_corpus_has_inputs_of_all_lengths_and_no_more_than_fit() {
        let files: Vec<(PathBuf, u64)> = (0..100).map(|len| (PathBuf::from(len.to_string()), len * 10)).collect();
        let kept = spread(files.clone());
        let len = |name: &PathBuf| files.iter().find(|(file, _)| file == name).map(|(_, len)| *len);
        let total: u64 = kept.iter().filter_map(len).sum();
        assert!((CORPUS_LEN_MAX / 2..=CORPUS_LEN_MAX).contains(&total), "{total}");
        assert!(kept.iter().filter_map(len).max() > Some(900));
        assert_eq!(spread(files[..10].to_vec()).len(), 10, "all of a few");
    }

    #[test]
    fn inputs_with_a_name_stay() {
        assert!(is_named(Path::new("corpus/selector/nested-lists")));
        assert!(!is_named(Path::new("corpus/selector/8c478be6e40fb1f6f8e363c417573cb5ed13863e")));
    }

    #[test]
    fn each_target_is_found() {
        assert!(targets().unwrap().contains(&"selector".to_owned()));
    }
}
