//! `completion`: scripts by which shells complete commands and flags.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Code;

pub(crate) fn completion(shell: Shell) -> Code {
    print(shell, &mut Cli::command());
    Code::Success
}

/// Prints the script for a command tree, whose root is called as the program is.
pub(crate) fn print(shell: Shell, command: &mut Command) {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, command, name, &mut script);
    print!("{}", String::from_utf8_lossy(&script));
}
