//! As much of Markdown as the documentation uses: fenced blocks, headings, code.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A page of the documentation.
pub(crate) struct Page {
    /// `README.md` or `docs/NAME.md`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// Of its first line of text, from 1.
    pub(crate) line: usize,
    /// How far it is indented, as in a list.
    indent: usize,
    /// The first word behind the fence.
    pub(crate) language: String,
    /// What stands behind it.
    pub(crate) mark: String,
    pub(crate) text: String,
    /// The heading of second degree that it stands under.
    pub(crate) section: String,
}

/// `README.md` and `docs/*.md`.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md")];
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    paths.extend(docs.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")));
    paths.sort();
    let page = |path: PathBuf| Page {
        name: path.strip_prefix(root()).unwrap().display().to_string(),
        text: std::fs::read_to_string(&path).unwrap(),
        path,
    };
    paths.into_iter().map(page).collect()
}

impl Page {
    /// All fenced blocks, in order.
    pub(crate) fn all_blocks(&self) -> Vec<Block> {
        let (mut blocks, mut section) = (Vec::new(), String::new());
        let mut open: Option<Block> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            match (&mut open, fence(line)) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text += line.get(block.indent..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, Some(info)) => {
                    let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
                    let (language, mark, section) = (language.to_owned(), mark.to_owned(), section.clone());
                    let indent = line.len() - line.trim_start().len();
                    open = Some(Block { line: number + 1, indent, language, mark, text: String::new(), section });
                }
                (None, None) => {
                    if let Some(heading) = line.strip_prefix("## ") {
                        heading.clone_into(&mut section);
                    }
                }
            }
        }
        assert!(open.is_none(), "{}: a fenced block has no end", self.name);
        blocks
    }

    /// The blocks of one language.
    pub(crate) fn blocks(&self, language: &str) -> Vec<Block> {
        self.all_blocks().into_iter().filter(|block| block.language == language).collect()
    }

    /// What stands in backquotes within the text, with its line.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        outside_fences(&self.text)
            .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)))
            .collect()
    }
}

/// What stands behind the marks of a line that begins or ends a fenced block.
fn fence(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("```")
}

fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_inside = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = fence(line).is_some();
        is_inside ^= is_fence;
        !is_inside && !is_fence
    })
}

/// The anchor that GitHub gives a heading.
pub(crate) fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    letters.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}
