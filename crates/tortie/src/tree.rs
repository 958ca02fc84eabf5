//! The command tree as a whole: every command has an example, every flag its group (cli.md section 2.8), and what the
//! documentation shows is what the program reads.

use clap::{Arg, Command as Tree, CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::output::Format;
use crate::{docs, get, select};

#[path = "../tests/documentation/markdown.rs"]
#[allow(dead_code, reason = "the tests of the documentation use the rest")]
mod markdown;
mod shell;

/// Groups of flags, in the order of cli.md section 2.8.
const GROUPS: [&str; 4] = ["Input", "Output", "Safety", "Connection"];

/// All commands that are shown, the root first.
fn commands(tree: &Tree) -> Vec<&Tree> {
    let is_shown = |below: &&Tree| below.get_name() != "help" && !below.is_hide_set();
    let below = tree.get_subcommands().filter(is_shown).flat_map(commands);
    std::iter::once(tree).chain(below).collect()
}

fn tree() -> Tree {
    let mut tree = Cli::command();
    tree.build();
    tree
}

/// Reads a line as the program does, up to where it would do something.
fn read(words: &[String]) -> Result<(), String> {
    let line = std::iter::once("tortie").chain(words.iter().map(String::as_str));
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        // Help and version.
        Err(error) if !error.use_stderr() => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let global = &cli.global;
    let checked = match &cli.command {
        Command::Get(args) => {
            let format = if args.output.contains("-file=") { Ok(()) } else { Format::parse(&args.output).map(|_| ()) };
            let selector = args.selector.as_deref().map(select::parse).transpose();
            format.and(selector.map(|_| ())).and(get::keys(global, &args.what).map(|_| ()))
        }
        Command::Docs(args) => args.what.as_deref().map_or(Ok(()), docs::check),
        Command::Delete(args) => get::keys(global, &args.what).map(|_| ()),
        Command::Edit(args) => get::keys(global, &args.what).map(|_| ()),
        Command::Patch(args) => get::keys(global, &args.amend.what).map(|_| ()),
        _ => Ok(()),
    };
    checked.map_err(|failure| failure.messages.join("; "))
}

#[test]
fn every_command_has_examples_that_it_reads() {
    let (tree, mut count) = (tree(), 0);
    for command in commands(&tree) {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let help = command.clone().render_long_help().to_string();
        assert!(help.starts_with("Example"), "{name}: its help begins with no example:\n{help}");
        let text = command.get_before_help().expect("what the help begins with").to_string();
        let examples = shell::commands(&text.replace("Example: ", ""), "tortie");
        assert!(!examples.is_empty(), "{name}: `{text}` is no command");
        for words in examples {
            let line = format!("tortie {}", words.join(" "));
            read(&words).unwrap_or_else(|error| panic!("{name}: {line}\n{error}"));
            assert!(line.starts_with(name), "{name}: {line} is an example of something else");
            count += 1;
        }
    }
    assert!(count > 35, "{count} examples were read");
}

#[test]
fn every_flag_is_in_a_group() {
    let tree = tree();
    for command in commands(&tree) {
        let is_own = |flag: &&Arg| !flag.is_positional() && !["help", "version"].contains(&flag.get_id().as_str());
        for flag in command.get_arguments().filter(is_own).filter(|flag| !flag.is_hide_set()) {
            let group = flag.get_help_heading().unwrap_or_default();
            assert!(GROUPS.contains(&group), "{}: {flag} is in group `{group}`", command.get_name());
            assert!(flag.get_help().is_some(), "{}: nothing says what {flag} does", command.get_name());
        }
    }
}

#[test]
fn every_command_of_the_documentation_is_read() {
    let (mut faults, mut good) = (Vec::new(), 0);
    for page in markdown::pages() {
        for block in page.blocks("sh") {
            for words in shell::commands(&block.text, "tortie") {
                match read(&words) {
                    Ok(()) => good += 1,
                    Err(error) => {
                        faults.push(format!("{}:{}: tortie {}\n{error}", page.name, block.line, words.join(" ")));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} commands are not read:\n{}", faults.len(), faults.join("\n"));
    assert!(good > 50, "{good} commands were read");
}

#[test]
fn what_lacks_something_is_not_read() {
    for line in
        ["create", "get hep -o jsn", "get frobnicate", "docs hep.nothing", "apply -f x --prune", "get -l hass(x)"]
    {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert!(read(&words).is_err(), "{line}");
    }
}
