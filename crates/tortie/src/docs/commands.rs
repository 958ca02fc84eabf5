//! The page of commands, from the tree that reads the command line.

use clap::{Arg, Command, CommandFactory};

use super::reference::cell;
use crate::args::Cli;
use crate::exit::Code;

/// Codes in their order.
const CODES: [Code; 11] = [
    Code::Success,
    Code::General,
    Code::Usage,
    Code::Invalid,
    Code::NotFound,
    Code::Conflict,
    Code::Partial,
    Code::Unreachable,
    Code::NotAuthorised,
    Code::Differs,
    Code::NotReached,
];

/// What a code means (cli.md section 2.2).
fn meaning(code: Code) -> &'static str {
    match code {
        Code::Success => "success",
        Code::General => "failure of another kind: disk full, kernel without nf_tables, a second agent",
        Code::Usage => "usage: wrong option or argument",
        Code::Invalid => "input that cannot be read, or is refused; nothing was written",
        Code::NotFound => "not found",
        Code::Conflict => "exists already, or was changed by somebody else",
        Code::Partial => "some objects were written, some not",
        Code::Unreachable => "store or agent cannot be reached, or does not answer in time",
        Code::NotAuthorised => "not allowed, by the store or by the operating system",
        Code::Differs => "`dump --verify`: the kernel does something else than policy says",
        Code::NotReached => "waited for hosts, and some did not get there in time",
    }
}

/// The whole page; `note` stands under its title.
pub(super) fn page(note: &str) -> String {
    let mut tree = Cli::command();
    tree.build();
    let mut page = format!("# Commands\n\n{note}\n\n`tortie COMMAND --help` prints the same at a terminal.\n");
    page += "\n## Options of every command\n\n";
    page += &options(tree.get_arguments().filter(|argument| argument.is_global_set()));
    for command in commands(&tree) {
        add(command, &mut page);
    }
    page += "\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n";
    for code in CODES {
        page += &format!("| {} | {} |\n", code as u8, meaning(code));
    }
    page += "| 130 | interrupted |\n";
    page
}

fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

fn add(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    *page += &format!("\n## {name}\n\n");
    if let Some(about) = command.get_about() {
        *page += &format!("{about}.\n");
    }
    if let Some(example) = command.get_before_help() {
        let example = example.to_string();
        *page += &format!("\n```sh\n{}\n```\n", example.trim_start_matches("Example: "));
    }
    let own: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_global_set()).collect();
    let own = options(own.into_iter());
    if !own.is_empty() {
        *page += &format!("\n{own}");
    }
    for command in commands(command) {
        add(command, page);
    }
}

/// A table of arguments, empty when there are none that are shown.
fn options<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let is_shown =
        |argument: &&Arg| !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str());
    let rows: String = arguments.filter(is_shown).map(row).collect();
    if rows.is_empty() { rows } else { format!("| Option or argument | |\n|---|---|\n{rows}") }
}

fn row(argument: &Arg) -> String {
    let mut help = argument.get_help().map(|help| format!("{help}.")).unwrap_or_default();
    if argument.is_required_set() {
        help += " Required.";
    }
    let takes_value = argument.get_action().takes_values();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        help += &format!(" Values: {}.", values.join(", "));
    }
    let default: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes_value && !default.is_empty() {
        help += &format!(" Default: `{}`.", default.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        help += &format!(" Variable: `{}`.", variable.to_string_lossy());
    }
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    // Options that may be repeated without a value end in dots.
    let long = argument.to_string();
    let long = if takes_value { long.as_str() } else { long.trim_end_matches("...") };
    format!("| `{short}{}` | {} |\n", cell(long), cell(&help))
}
