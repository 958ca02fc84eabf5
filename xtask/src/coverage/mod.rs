//! `cargo xtask coverage`: each rule of the specification has a test or a scenario that cites it, or a written reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

mod cite;
mod source;

use cite::{Citation, Rule};

/// Why a rule has no test yet: `E-463 reason`, a rule per line; lines that begin with `#` are for readers.
const REASONS: &str = "docs/spec/uncovered.txt";
/// Places shown behind a rule; `--rule` shows all.
const PLACES_SHOWN: usize = 3;

pub(crate) fn coverage(arguments: &[String]) -> Result<()> {
    let only = match arguments {
        [] => Only::All,
        [flag] if flag == "--missing" => Only::Missing,
        [flag, rule] if flag == "--rule" => {
            Only::One(Rule::parse(rule).with_context(|| format!("`{rule}` is no rule"))?)
        }
        _ => bail!("usage: cargo xtask coverage [--missing | --rule E-415]"),
    };
    let report = report()?;
    print!("{}", report.text(&only));
    report.verdict().map(|line| println!("{line}"))
}

/// For `cargo xtask test`: says only what is wrong; gives the summary.
pub(crate) fn step() -> Result<String> {
    let report = report()?;
    print!("{}", report.text(&Only::Missing));
    report.verdict()
}

enum Only {
    All,
    Missing,
    One(Rule),
}

/// Where a rule is cited: `path:line`.
type Places = Vec<String>;

struct Report {
    rules: BTreeMap<Rule, Places>,
    reasons: BTreeMap<Rule, String>,
    /// What is wrong with the reasons and the citations themselves.
    problems: Vec<String>,
}

impl Report {
    fn new(rules: Vec<Rule>, reasons: &str, cited: &[(Citation, String)]) -> Self {
        let mut rules: BTreeMap<Rule, Places> = rules.into_iter().map(|rule| (rule, Places::new())).collect();
        let mut problems = Vec::new();
        for (citation, place) in cited {
            for end in [citation.first, citation.last] {
                let problem = format!("{place}: there is no rule {end}");
                if !rules.contains_key(&end) && !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            for (_, places) in rules.iter_mut().filter(|(rule, _)| citation.covers(**rule)) {
                if !places.contains(place) {
                    places.push(place.clone());
                }
            }
        }
        let mut known = BTreeMap::new();
        for (number, line) in reasons.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{REASONS}:{}", number + 1);
            let (word, reason) = line.split_once(' ').unwrap_or((line, ""));
            match Rule::parse(word).filter(|rule| rules.contains_key(rule)) {
                None => problems.push(format!("{place}: `{word}` is no rule of the specification")),
                Some(rule) if reason.trim().is_empty() => problems.push(format!("{place}: {rule} has no reason")),
                Some(rule) => {
                    if let Some(where_cited) = rules[&rule].first() {
                        problems.push(format!("{place}: {rule} is cited by {where_cited}; remove the line"));
                    }
                    if known.insert(rule, reason.trim().to_owned()).is_some() {
                        problems.push(format!("{place}: {rule} stands here twice"));
                    }
                }
            }
        }
        Self { rules, reasons: known, problems }
    }

    fn missing(&self) -> usize {
        self.rules.iter().filter(|(rule, places)| places.is_empty() && !self.reasons.contains_key(rule)).count()
    }

    /// One line for each rule that is wanted.
    fn text(&self, only: &Only) -> String {
        let mut text = String::new();
        for (rule, places) in &self.rules {
            let shown = match only {
                Only::All => places.len().min(PLACES_SHOWN),
                Only::Missing if places.is_empty() && !self.reasons.contains_key(rule) => 0,
                Only::One(wanted) if wanted == rule => places.len(),
                Only::Missing | Only::One(_) => continue,
            };
            let tail = match self.reasons.get(rule) {
                Some(reason) if places.is_empty() => format!("reason: {reason}"),
                _ if places.is_empty() => "MISSING".to_owned(),
                _ if places.len() > shown => format!("{}, ...", places[..shown].join(", ")),
                _ => places.join(if matches!(only, Only::One(_)) { "\n             " } else { ", " }),
            };
            text.push_str(&format!("{rule:<7} {:>3}  {tail}\n", places.len()));
        }
        text
    }

    fn verdict(&self) -> Result<String> {
        for problem in &self.problems {
            eprintln!("{problem}");
        }
        let missing = self.missing();
        if missing > 0 {
            eprintln!("cite a rule in the test that protects it, or write into {REASONS} why there is none");
        }
        if missing > 0 || !self.problems.is_empty() {
            bail!("{missing} rules without test or reason, {} other problems", self.problems.len());
        }
        let cited = self.rules.values().filter(|places| !places.is_empty()).count();
        Ok(format!("{} rules: {cited} cited, {} with a reason", self.rules.len(), self.rules.len() - cited))
    }
}

fn report() -> Result<Report> {
    let root = root();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
    let mut rules = rules_of(&read("docs/spec/enforcement.md")?);
    rules.extend(rules_of(&read("docs/spec/README.md")?));
    let mut cited = Vec::new();
    for path in files(&root.join("conformance/scenarios"), "json")? {
        let text = std::fs::read_to_string(&path)?;
        in_lines(&text, &shown(&root, &path), |_| true, &mut cited);
    }
    for path in files(&root.join("crates"), "rs")? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        in_source(&text, &shown(&root, &path), &mut cited);
    }
    Ok(Report::new(rules, &read(REASONS)?, &cited))
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Rules that a document defines: the first cell of a row, or the first word of a paragraph, in bold.
fn rules_of(document: &str) -> Vec<Rule> {
    let defined = |line: &str| {
        let line = line.strip_prefix("| ").or_else(|| line.strip_prefix("**"))?;
        Rule::parse(line.split([' ', '*']).next()?)
    };
    document.lines().filter_map(defined).collect()
}

/// Names of tests, and comments and texts inside of tests.
fn in_source(text: &str, file: &str, cited: &mut Vec<(Citation, String)>) {
    let is_all = file.split('/').any(|part| ["tests", "benches", "tests.rs"].contains(&part));
    let tests = source::tests(text, is_all);
    in_lines(text, file, |line| tests.lines[line], cited);
    for (line, name) in tests.names {
        let place = format!("{file}:{}", line + 1);
        cited.extend(cite::in_name(&name).into_iter().map(|citation| (citation, place.clone())));
    }
}

/// A range in the header of a file (`//!`) says what the file is about, not what it tests, and does not count.
fn in_lines(text: &str, file: &str, is_wanted: impl Fn(usize) -> bool, cited: &mut Vec<(Citation, String)>) {
    for (number, line) in text.lines().enumerate().filter(|(number, _)| is_wanted(*number)) {
        let is_header = line.trim_start().starts_with("//!");
        let found = cite::in_text(line).into_iter().filter(|citation| !is_header || citation.first == citation.last);
        cited.extend(found.map(|citation| (citation, format!("{file}:{}", number + 1))));
    }
}

/// Files below a folder by ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str =
        "| E-101 | text, E-999 |\n**E-121 [T]** text\nsee E-103\n| E-102 **[opt]** | text |\n| B-1 | HEP |\n";

    fn report(reasons: &str, tests: &str) -> Report {
        let mut cited = Vec::new();
        in_source(tests, "crates/a/tests/b.rs", &mut cited);
        Report::new(rules_of(SPEC), reasons, &cited)
    }

    #[test]
    fn rules_are_rows_and_bold_paragraphs() {
        let rules: Vec<String> = rules_of(SPEC).iter().map(Rule::to_string).collect();
        assert_eq!(rules, ["E-101", "E-121", "E-102", "B-1"]);
    }

    #[test]
    fn a_rule_is_cited_or_has_a_reason() {
        let good = report("# why\nE-121 later\n", "// E-101..E-102\n#[test]\nfn a_b1() {}\n");
        assert_eq!(good.verdict().unwrap(), "4 rules: 3 cited, 1 with a reason");
        assert_eq!(good.text(&Only::One(Rule::parse("E-102").unwrap())), "E-102     1  crates/a/tests/b.rs:1\n");
        assert_eq!(report("", "// E-101, B-1").text(&Only::Missing), "E-102     0  MISSING\nE-121     0  MISSING\n");
        assert!(report("", "// E-101, B-1").verdict().is_err());
    }

    #[test]
    fn reasons_and_citations_that_are_wrong_are_errors() {
        let all = "// E-101 E-102 E-121 B-1";
        assert!(report("", all).verdict().is_ok());
        for (reasons, tests, problem) in [
            (
                "E-121 is cited",
                all,
                "docs/spec/uncovered.txt:1: E-121 is cited by crates/a/tests/b.rs:1; remove the line",
            ),
            ("E-555 unknown", all, "docs/spec/uncovered.txt:1: `E-555` is no rule of the specification"),
            ("E-121", "// E-101 E-102 B-1", "docs/spec/uncovered.txt:1: E-121 has no reason"),
            ("E-121 a\nE-121 b", "// E-101 E-102 B-1", "docs/spec/uncovered.txt:2: E-121 stands here twice"),
            ("", "// E-101 E-102 E-121 B-1 E-555", "crates/a/tests/b.rs:1: there is no rule E-555"),
        ] {
            assert_eq!(report(reasons, tests).problems, [problem]);
            assert!(report(reasons, tests).verdict().is_err());
        }
    }

    #[test]
    fn a_range_in_the_header_of_a_file_is_no_citation() {
        let rule = |text: &str| report("", text).text(&Only::One(Rule::parse("E-102").unwrap()));
        assert!(rule("//! E-101..E-102\n").contains("MISSING"));
        assert!(rule("//! E-101/102\n").contains("b.rs:1"));
        assert!(rule("// E-101..E-102\n").contains("b.rs:1"));
    }

    #[test]
    fn what_is_no_test_cites_nothing() {
        let mut cited = Vec::new();
        in_source("// E-101\nfn e102() {}\n#[cfg(test)]\nmod tests {\n// B-1\n}\n", "crates/a/src/b.rs", &mut cited);
        assert_eq!(cited.len(), 1);
    }
}
