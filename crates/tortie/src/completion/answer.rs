//! What a shell is told.

use std::ffi::OsString;

use clap::Command;
use clap_complete::CompletionCandidate;

use super::Shell;
use super::line::Line;
use super::words;

/// The candidates for the last of these words, in the form that the script of the shell reads.
pub(super) fn answer(shell: Shell, mut words: Vec<OsString>, command: impl Fn(Line) -> Command) -> Option<String> {
    // Bash hands words over as they are typed.
    let is_quoted = shell == Shell::Bash && words.last()?.to_str()?.starts_with(['\'', '"']);
    if shell == Shell::Bash {
        words = words.into_iter().map(|word| word.into_string().map_or_else(Into::into, words::unquoted)).collect();
    }
    let (current, before) = words.split_last()?;
    let (index, is_empty) = (before.len(), current.is_empty());
    let mut command = command(Line::read(before));
    let folder = std::env::current_dir().ok();
    let candidates = clap_complete::engine::complete(&mut command, words, index, folder.as_deref()).ok()?;
    // Flags are offered to who begins one.
    let shown = candidates.iter().filter(|candidate| !is_empty || !is_flag(candidate));
    let lines: Vec<String> = shown.filter_map(|candidate| line(shell, candidate, is_quoted)).collect();
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

/// A dash alone is standard input.
fn is_flag(candidate: &CompletionCandidate) -> bool {
    let value = candidate.get_value().as_encoded_bytes();
    value.len() > 1 && value.starts_with(b"-")
}

/// One candidate; zsh, fish and PowerShell take what it means behind a tab. What cannot stand in a line is left out.
fn line(shell: Shell, candidate: &CompletionCandidate, is_quoted: bool) -> Option<String> {
    let value = candidate.get_value().to_str().filter(|value| !value.contains(char::is_control))?;
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.lines().next().unwrap_or_default();
    Some(match shell {
        Shell::Bash if !is_quoted => words::quoted(value),
        Shell::Bash | Shell::Elvish => value.to_owned(),
        Shell::Zsh | Shell::Fish | Shell::Powershell if help.is_empty() => value.to_owned(),
        Shell::Zsh | Shell::Fish | Shell::Powershell => format!("{value}\t{help}"),
    })
}
