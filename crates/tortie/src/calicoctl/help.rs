//! What `--help`, `help` and `completion` print.

use super::commands::{Command, GLOBAL, ROOT, find};
use super::error::Error;
use super::flags::{Flag, Given};

pub(super) fn help(given: &Given) -> Result<(), Error> {
    match find(&given.arguments) {
        Ok(found) => show(found.command, &found.path),
        Err(_) => {
            eprintln!("Unknown help topic [`{}`]", given.arguments.join("` `"));
            eprint!("{}", text(&ROOT, &[ROOT.name]));
            Ok(())
        }
    }
}

/// Prints the help of a command.
pub(super) fn show(command: &Command, path: &[&str]) -> Result<(), Error> {
    print!("{}", text(command, path));
    Ok(())
}

fn text(command: &Command, path: &[&str]) -> String {
    let mut text = format!("{}\n\nUsage:\n  {} {}\n", command.about, path.join(" "), command.usage);
    if !command.below.is_empty() {
        text += "\nCommands:\n";
        let width = command.below.iter().map(|below| below.name.len()).max().unwrap_or(0);
        for below in command.below {
            text += &format!("  {:width$}   {}\n", below.name, below.about);
        }
    }
    for (title, flags) in [("Flags", command.flags), ("Global flags", GLOBAL)] {
        let shown = flags.iter().filter(|flag| !flag.help.is_empty());
        let lines: Vec<(String, &str)> = shown.map(|flag| (usage(flag), flag.help)).collect();
        let width = lines.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
        if !lines.is_empty() {
            text += &format!("\n{title}:\n");
        }
        for (usage, help) in lines {
            text += &format!("  {usage:width$}   {help}\n");
        }
    }
    text
}

fn usage(flag: &Flag) -> String {
    let letter = flag.letter.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{letter}--{}{value}", flag.name)
}

pub(super) fn completion(given: &Given) -> Result<(), Error> {
    use clap_complete::Shell;

    let shell = match given.arguments.first().map(String::as_str) {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        Some("powershell") => Shell::PowerShell,
        Some(word) => return Err(unknown(word, "calicoctl completion".to_owned())),
        None => {
            let path = vec!["completion".to_owned()];
            let found = find(&path)?;
            return show(found.command, &found.path);
        }
    };
    if let [shell, word, ..] = given.arguments.as_slice() {
        return Err(unknown(word, format!("calicoctl completion {shell}")));
    }
    crate::completion::print(shell, &mut described(&ROOT).disable_help_subcommand(true));
    Ok(())
}

fn unknown(word: &str, parent: String) -> Error {
    Error::UnknownCommand { word: word.to_owned(), parent, suggestions: String::new() }
}

/// The command and those below it, for what writes completions.
fn described(command: &Command) -> clap::Command {
    let arg = |flag: &Flag| {
        let action = if flag.value.is_some() { clap::ArgAction::Set } else { clap::ArgAction::SetTrue };
        let arg = clap::Arg::new(flag.name).long(flag.name).help(flag.help).action(action).hide(flag.help.is_empty());
        match flag.letter {
            Some(letter) => arg.short(letter),
            None => arg,
        }
    };
    clap::Command::new(command.name)
        .about(command.about)
        .disable_help_flag(true)
        .args(command.all_flags().iter().map(arg))
        .subcommands(command.below.iter().map(described))
}
