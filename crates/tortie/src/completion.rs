//! `completion`: scripts by which shells complete commands, flags, and what stands in the store (cli.md section 2.3).
//!
//! A script holds no words. For each word it asks the program itself ([`answer()`]), which knows the command tree, the schema
//! and the store that the line names. So a script needs no store when it is made, and never grows old.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::sync::Arc;

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell};

use crate::args::Cli;
use crate::exit::{Code, Failure};

mod answer;
mod cache;
mod fields;
mod line;
mod names;
mod objects;
mod values;
mod words;

/// Says for which shell a word is to be completed.
const VARIABLE: &str = "_TORTIE_COMPLETE";

/// Shells that can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

/// Prints the script of a shell.
pub(crate) fn completion(shell: Shell) -> Result<Code, Failure> {
    let failure = |error| Failure::new(Code::General, format!("cannot make the script: {error}"));
    print!("{}", script(shell).map_err(failure)?);
    Ok(Code::Success)
}

fn script(shell: Shell) -> std::io::Result<String> {
    let of_library = |shell: &dyn EnvCompleter| {
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "tortie", "tortie", "tortie", &mut script)?;
        Ok(String::from_utf8_lossy(&script).into_owned())
    };
    match shell {
        // The library's scripts for these two lose words with `=` and `:` in them, and zsh's the first question of all.
        Shell::Bash => Ok(include_str!("completion/tortie.bash").to_owned()),
        Shell::Zsh => Ok(include_str!("completion/tortie.zsh").to_owned()),
        Shell::Fish => of_library(&Fish),
        Shell::Powershell => of_library(&Powershell),
        Shell::Elvish => of_library(&Elvish),
    }
}

/// The shell that asks for the completion of a word, if one does.
pub(crate) fn asking() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|shell| !shell.is_empty())
}

/// Answers a shell: what the last word behind `--` may become. It says nothing where it knows nothing, errors included.
pub(crate) fn answer(shell: &OsStr) {
    // Nothing may disturb the line that is typed: neither libraries nor programs that hand out credentials.
    if let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stderr(nowhere);
    }
    let Some(shell) = shell.to_str().and_then(|name| Shell::from_str(name, false).ok()) else { return };
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    if let Some(text) = answer::answer(shell, words, command) {
        print!("{text}");
    }
}

/// The command tree that knows what values its arguments take.
fn command(line: line::Line) -> Command {
    values::attach(Cli::command(), &Arc::new(line))
}

/// Prints the script for a command tree of other programs' texts, whose root is called as the program is.
pub(crate) fn print(shell: clap_complete::Shell, command: &mut Command) {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, command, name, &mut script);
    print!("{}", String::from_utf8_lossy(&script));
}
