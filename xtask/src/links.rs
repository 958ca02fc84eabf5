//! Links between Markdown files: the file and the heading must exist.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::command;

/// Every link that leads nowhere, and every path of one machine.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>> {
    let output = command("git", &["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]).output()?;
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut problems = Vec::new();
    for file in list.lines() {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path)?;
        for link in links(&text) {
            if !leads_somewhere(&path, &text, &link) {
                problems.push(format!("{file}: link `{link}` leads nowhere"));
            }
        }
    }
    Ok(problems)
}

/// Targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let mut rest = plain.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    found
}

fn leads_somewhere(file: &Path, text: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let (target, heading) = link.split_once('#').map_or((link, None), |(target, heading)| (target, Some(heading)));
    let other: PathBuf;
    let content;
    let text = if target.is_empty() {
        text
    } else {
        other = file.parent().unwrap_or(Path::new("")).join(target);
        if other.is_dir() {
            return heading.is_none();
        }
        let Ok(read) = std::fs::read_to_string(&other) else { return other.exists() && heading.is_none() };
        content = read;
        &content
    };
    heading.is_none_or(|heading| text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == heading))
}

/// The anchor of a heading: lower case, spaces to dashes, no other marks.
fn slug(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_do_not_count() {
        assert_eq!(links("see [a](b.md) and `[c](d)`\n```\n[e](f)\n```\n[g](#h)"), ["b.md", "#h"]);
    }

    #[test]
    fn headings_are_found_by_their_anchors() {
        let text = "# Title\n## 3. Rule matching\n";
        let check = |link: &str, expected: bool| {
            assert_eq!(leads_somewhere(Path::new("/nowhere/x.md"), text, link), expected, "{link}");
        };
        check("#3-rule-matching", true);
        check("#4-rule-matching", false);
        check("missing.md", false);
        check("https://example.org/", true);
    }
}
