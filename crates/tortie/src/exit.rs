//! Exit codes (cli.md section 2.2), and failures that carry one.

use std::process::ExitCode;

use crate::args::Color;

/// The meaning of an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Success = 0,
    General = 1,
    Usage = 2,
    Invalid = 3,
    NotFound = 4,
    Conflict = 5,
    Partial = 6,
    Unreachable = 7,
    NotAuthorised = 8,
    Differs = 9,
    NotReached = 11,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// Sentences; each is printed as an error of its own. Empty when everything was printed already.
    pub(crate) messages: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, messages: vec![message.into()], hint: None }
    }

    /// A failure whose words stand on the screen already.
    pub(crate) fn printed(code: Code) -> Self {
        Self { code, messages: Vec::new(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn print(&self, color: Color) {
        let (red, cyan, plain) =
            if color.is_on_stderr() { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
        for message in &self.messages {
            eprintln!("{red}error{plain}: {message}");
        }
        if let Some(hint) = &self.hint {
            eprintln!("{cyan}help{plain}: {hint}");
        }
    }
}
