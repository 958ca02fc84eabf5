//! What the documentation shows is true: its resources decode, and where it says what becomes
//! of a packet, that packet is sent (docs/concepts.md tells how such examples are written). Links are for `cargo xtask check`, and
//! `src/tree.rs` reads its commands.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod markdown;
mod scene;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use markdown::pages;

/// YAML blocks that are no resources, with the word behind `yaml` that says so: how many there are on which page.
const NO_RESOURCES: [(&str, &str, usize); 4] = [
    ("docs/host-endpoints-automatic.md", "part", 1),
    ("docs/kubernetes.md", "part", 1),
    ("docs/start-fleet.md", "config", 1),
    ("docs/stores.md", "config", 1),
];

/// Pages that speak of commands that are not there yet.
const NAME_WHAT_IS_TO_COME: [&str; 2] = ["README.md", "docs/design.md"];

fn tortie(arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that only prints help reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{} {what}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn each_yaml_block_is_a_resource_or_says_that_it_is_none() {
    let (mut others, mut faults, mut valid) = (BTreeMap::new(), Vec::new(), 0);
    for page in pages() {
        for block in page.blocks("yaml") {
            match block.mark.as_str() {
                "" => match tortie(&["validate", "-q", "-f", "-"], &block.text) {
                    (true, _) => valid += 1,
                    (false, said) => faults.push(format!("{}:{}: {said}", page.name, block.line)),
                },
                mark => *others.entry((page.name.clone(), mark.to_owned())).or_insert(0) += 1,
            }
        }
    }
    assert_none("blocks are no valid resources", &faults);
    assert!(valid > 30, "{valid} blocks were checked");
    let listed = NO_RESOURCES.map(|(page, mark, count)| ((page.to_owned(), mark.to_owned()), count));
    assert_eq!(others, BTreeMap::from(listed), "found, and listed in this test");
}

#[test]
fn each_command_that_the_text_names_is_one_that_there_is() {
    let (mut faults, mut good) = (Vec::new(), 0);
    for page in pages().iter().filter(|page| !NAME_WHAT_IS_TO_COME.contains(&page.name.as_str())) {
        for (line, code) in page.code() {
            let Some(name) = code.strip_prefix("tortie ").and_then(|rest| rest.split(' ').next()) else { continue };
            // A flag in front of the command, and a place for any command.
            if !name.bytes().all(|b| b.is_ascii_lowercase()) {
                continue;
            }
            match tortie(&[name, "--help"], "") {
                (true, _) => good += 1,
                (false, said) => faults.push(format!("{}:{line}: `{code}`: {said}", page.name)),
            }
        }
    }
    assert_none("commands do not exist", &faults);
    assert!(good > 50, "{good} commands were checked");
}

#[test]
fn each_page_is_in_the_index() {
    let pages = pages();
    let index = &pages.iter().find(|page| page.name == "docs/README.md").unwrap().text;
    let names = pages.iter().filter_map(|page| page.name.strip_prefix("docs/")).filter(|name| *name != "README.md");
    let missing: Vec<String> = names.filter(|name| !index.contains(&format!("]({name})"))).map(str::to_owned).collect();
    assert_none("pages are missing in docs/README.md", &missing);
}

#[test]
fn what_is_said_of_packets_is_so() {
    let scenes: Vec<scene::Scene> = pages().iter().flat_map(scene::of_page).collect();
    assert!(scenes.iter().any(|scene| scene.name.starts_with("concepts-")), "no probes were found");
    scene::play(&scenes);
}
