//! The line so far.

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, Global};

/// What stands before the word that is completed, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct Line {
    matches: Option<ArgMatches>,
}

impl Line {
    /// Reads the words before, the program's name first.
    pub(super) fn read(words: &[OsString]) -> Self {
        // Half a line may lack what it needs.
        Self { matches: Cli::command().ignore_errors(true).try_get_matches_from(words).ok() }
    }

    /// The global flags, with what the environment says.
    pub(super) fn global(&self) -> Option<Global> {
        Global::from_arg_matches(self.matches.as_ref()?).ok()
    }

    fn innermost(&self) -> Option<&ArgMatches> {
        let mut matches = self.matches.as_ref()?;
        while let Some((_, below)) = matches.subcommand() {
            matches = below;
        }
        Some(matches)
    }

    /// The values of an argument of the command.
    pub(super) fn values(&self, id: &str) -> Vec<String> {
        let values = self.innermost().and_then(|matches| matches.try_get_many::<String>(id).ok().flatten());
        values.into_iter().flatten().cloned().collect()
    }

    /// Whether a flag of the command is set.
    pub(super) fn is_set(&self, id: &str) -> bool {
        self.innermost().is_some_and(|matches| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_says_what_it_says() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = Line::read(&words("tortie get --store /x.db hep web1 -n shop"));
        assert_eq!(line.values("what"), ["hep", "web1"]);
        let global = line.global().expect("global flags");
        assert_eq!((global.store.as_deref(), global.namespace.as_deref()), (Some("/x.db"), Some("shop")));
        let cut = Line::read(&words("tortie --store /x.db delete gnp -n"));
        assert_eq!(cut.values("what"), ["gnp"]);
        assert_eq!(cut.global().expect("global flags").store.as_deref(), Some("/x.db"));
        let wrong = Line::read(&words("tortie create --store /x.db --nonsense"));
        assert_eq!(wrong.global().expect("global flags").store.as_deref(), Some("/x.db"));
        assert!(Line::read(&words("tortie get -A hep")).is_set("all_namespaces"));
        assert!(Line::default().global().is_none() && Line::default().values("what").is_empty());
    }
}
