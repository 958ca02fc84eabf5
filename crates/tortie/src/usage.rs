//! Command lines that cannot be read: what was probably meant, by the same measure as everywhere else (cli.md section 2.8).

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};
use tortie_api::nearest;

use crate::args::Cli;

/// The error with what was probably meant; `words` are those of the line, the program's name first. Where nothing is near,
/// what the library thinks of stays.
pub(crate) fn explained(mut error: Error, words: &[OsString]) -> Error {
    let mut tree = Cli::command();
    tree.build();
    let command = reached(&tree, words);
    let found = match error.kind() {
        ErrorKind::InvalidSubcommand => subcommand(&error, command),
        ErrorKind::UnknownArgument => flag(&error, command),
        ErrorKind::InvalidValue => value(&error),
        _ => None,
    };
    if let Some((kind, value)) = found {
        error.insert(kind, value);
    }
    error
}

/// The command that the line has come to.
fn reached<'a>(root: &'a Command, words: &[OsString]) -> &'a Command {
    words.iter().skip(1).fold(root, |command, word| command.find_subcommand(word).unwrap_or(command))
}

fn word(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(word) => Some(word),
        _ => None,
    }
}

fn subcommand(error: &Error, command: &Command) -> Option<(ContextKind, ContextValue)> {
    let names = command.get_subcommands().filter(|below| !below.is_hide_set()).map(Command::get_name);
    let near = nearest(word(error, ContextKind::InvalidSubcommand)?, names)?;
    Some((ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near.to_owned()])))
}

fn flag(error: &Error, command: &Command) -> Option<(ContextKind, ContextValue)> {
    let word = word(error, ContextKind::InvalidArg)?.strip_prefix("--")?;
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long);
    let near = nearest(word.split('=').next().unwrap_or(word), flags)?;
    Some((ContextKind::SuggestedArg, ContextValue::String(format!("--{near}"))))
}

fn value(error: &Error) -> Option<(ContextKind, ContextValue)> {
    let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) else { return None };
    let near = nearest(word(error, ContextKind::InvalidValue)?, values.iter().map(String::as_str))?;
    Some((ContextKind::SuggestedValue, ContextValue::String(near.to_owned())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match Cli::try_parse_from(&words) {
            Ok(_) => panic!("`{line}` can be read"),
            Err(error) => explained(error, &words).to_string(),
        }
    }

    #[test]
    fn what_was_probably_meant_is_said_at_every_level() {
        for (line, meant) in [
            ("tortie gte", "'get'"),
            ("tortie aplly -f x", "'apply'"),
            ("tortie datastore exprot", "'export'"),
            ("tortie -q datastore cmopact", "'compact'"),
            ("tortie install sytsemd", "'systemd'"),
            ("tortie config veiw", "'view'"),
            ("tortie get --outptu x", "'--output'"),
            ("tortie get --sotr-by=x", "'--sort-by'"),
            ("tortie datastore import --flename x", "'--filename'"),
            ("tortie --colr never get", "'--color'"),
            ("tortie docs -o jsn", "'json'"),
            ("tortie status -o txet", "'text'"),
            ("tortie version -o josn", "'json'"),
            ("tortie apply -f x --dry-run=clinet", "'client'"),
            ("tortie --color alwyas get", "'always'"),
            ("tortie completion powershel", "'powershell'"),
        ] {
            let said = said(line);
            assert!(said.contains("similar") && said.contains(meant), "{line}: {said}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_near() {
        for line in ["tortie frobnicate", "tortie get --frobnicate", "tortie docs -o frobnicate"] {
            assert!(!said(line).contains("similar"), "{line}");
        }
    }
}
