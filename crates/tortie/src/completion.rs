//! `completion`: scripts by which shells complete commands and flags.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Code;

pub(crate) fn completion(shell: Shell) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tortie", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Code::Success
}
