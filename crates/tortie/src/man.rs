//! `man`: manual pages, one for each command, from the grammar that `--help` is made of (cli.md section 2.3).

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Cli;
use crate::exit::{Code, Failure};

/// Before each example in the help of a command.
const EXAMPLE: &str = "Example: ";

#[derive(Args)]
pub(crate) struct ManArgs {
    /// The folder that gets a page for each command; without it the first page is printed
    pub(crate) dir: Option<PathBuf>,
}

/// A manual page.
struct Page {
    /// The name of its file.
    file: String,
    text: Vec<u8>,
}

pub(crate) fn man(args: &ManArgs) -> Result<Code, Failure> {
    let failure = |error: io::Error| Failure::new(Code::General, format!("cannot make the manual page: {error}"));
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    match &args.dir {
        None => print!("{}", String::from_utf8_lossy(&page(&root).map_err(failure)?.text)),
        Some(dir) => {
            let mut pages = Vec::new();
            collect(&root, &mut pages).map_err(failure)?;
            write(dir, &pages).map_err(|error| {
                Failure::new(Code::General, format!("cannot write manual pages into `{}`: {error}", dir.display()))
            })?;
        }
    }
    Ok(Code::Success)
}

fn write(dir: &Path, pages: &[Page]) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| std::fs::write(dir.join(&page.file), &page.text))
}

/// The pages of a command and of all below it.
fn collect(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command)?);
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|below| collect(below, pages))
}

fn page(command: &Command) -> io::Result<Page> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man =
        Man::new(command.clone()).title(&name).manual("Tortie").source(concat!("tortie ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    let examples = examples(command);
    if !examples.is_empty() {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).to_writer(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    if name != "tortie" {
        Roff::new().control("SH", ["SEE ALSO"]).text([bold("tortie"), roman("(1)")]).to_writer(&mut text)?;
    }
    Ok(Page { file: man.get_filename(), text })
}

/// The examples: what stands before the help of a command.
fn examples(command: &Command) -> Vec<String> {
    let text = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().map(str::trim_start).filter(|line| *line != "Examples:");
    lines.map(|line| line.strip_prefix(EXAMPLE).unwrap_or(line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_taken_from_the_help() {
        assert_eq!(examples(&Command::new("x").before_help("Example: x -f y")), ["x -f y"]);
        assert_eq!(examples(&Command::new("x").before_help("Examples:\n  x -f y\n  x z")), ["x -f y", "x z"]);
        assert!(examples(&Command::new("x")).is_empty());
    }
}
