//! Manual pages against the command tree, as `--help` tells it (cli.md section 2.10 number 4).

use std::collections::BTreeMap;

use crate::tortie;

/// Each command, by its words, with the long flags that its help names.
pub(crate) fn commands() -> BTreeMap<Vec<String>, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = tortie(&arguments);
        for name in subcommands(&help) {
            let mut words = words.clone();
            words.push(name);
            open.push(words);
        }
        found.insert(words, flags(&help));
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// The flags that a page describes: each begins a paragraph of its own.
fn flags_of(page: &str) -> Vec<String> {
    let paragraphs = page.lines().zip(page.lines().skip(1));
    let heads = paragraphs.filter(|(above, _)| above.starts_with(".TP")).map(|(_, head)| head);
    flags(&heads.collect::<Vec<_>>().join("\n"))
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

fn flags(help: &str) -> Vec<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flag = |line: &str| {
        let flag = line.split_whitespace().find(|word| word.starts_with("--"))?;
        let end = flag[2..].find(|c: char| !c.is_ascii_lowercase() && c != '-').map_or(flag.len(), |end| end + 2);
        Some(flag[..end].to_owned())
    };
    lines.filter_map(flag).collect()
}

#[test]
fn each_command_has_a_page_and_each_flag_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    tortie(&["man", dir.to_str().unwrap()]);
    let commands = commands();
    for (words, flags) in &commands {
        let name = [&["tortie".to_owned()], words.as_slice()].concat().join("-");
        let page =
            std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap_or_else(|_| panic!("no page of {name}"));
        let plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        assert!(plain.contains(&format!(".TH {name} 1")), "{name}: {page}");
        assert!(flags.iter().any(|flag| flag == "--help"), "{name}: {flags:?}");
        assert_eq!(sorted(flags_of(&plain)), sorted(flags.clone()), "{name}:\n{plain}");
        let example = [&["tortie".to_owned()], words.as_slice()].concat().join(" ");
        assert!(plain.contains(&format!(".SH EXAMPLES\n.nf\n{example}")), "{name}: {plain}");
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), commands.len(), "no page is of anything else");
    assert_eq!(tortie(&["man"]), std::fs::read_to_string(dir.join("tortie.1")).unwrap());
}
