//! `tortie` called by the name `calicoctl`: a drop-in for Calico's own command line, with its texts, columns and exit codes
//! byte for byte (cli.md part 1).
//!
//! Only what is about those texts is here. Stores, decoding, validation and templates are those of `tortie` itself.

mod change;
mod commands;
mod datastore;
mod error;
mod flags;
mod get;
mod help;
mod input;
mod kinds;
mod refusal;
mod resource;
mod results;
mod session;
mod table;
mod version;
mod write;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::exit::Code;
use crate::screen;

/// The name that stands for all of this.
const NAME: &str = "calicoctl";

/// Whether the program was called by that name.
pub(crate) fn is_meant(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME)
}

/// Carries out the command of these arguments.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let result = commands::run(&arguments);
    if let Err(error) = &result {
        // Two old exceptions go where results go.
        if error.is_result() {
            println!("{error}");
        } else {
            eprintln!("{error}");
        }
    }
    let code = if result.is_ok() { Code::Success } else { Code::General };
    match screen::finish(code) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.messages.iter().for_each(|message| eprintln!("{message}"));
            Code::General.into()
        }
    }
}
