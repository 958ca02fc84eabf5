//! The `tortie` command: it parses arguments, joins edges to core, and prints.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

// Its macros stand in for those of the standard library in all modules below.
#[macro_use]
mod screen;

mod agent;
mod amend;
mod args;
mod ask;
mod batch;
mod calicoctl;
mod clean;
mod client;
mod completion;
mod config;
mod conflict;
mod controller;
mod datastore;
mod demo;
mod difference;
mod docs;
mod dump;
mod edit;
mod exit;
mod get;
mod go;
mod input;
mod install;
mod jsonpath;
mod late;
mod lint;
mod log;
mod man;
mod near;
mod outcome;
mod output;
mod patch;
mod progress;
mod prune;
mod select;
mod signals;
mod status;
mod store;
mod table;
mod template;
mod threeway;
#[cfg(test)]
mod tree;
mod usage;
mod wait;
mod watch;
mod write;

use args::{Cli, Command, DatastoreCommand};
use exit::{Code, Failure};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if calicoctl::is_meant(words.next().as_ref()) {
        return calicoctl::main(words);
    }
    if let Some(shell) = completion::asking() {
        completion::answer(&shell);
        return ExitCode::SUCCESS;
    }
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let words: Vec<_> = std::env::args_os().collect();
            let error = usage::explained(error, &words);
            let code = if error.use_stderr() { Code::Usage } else { Code::Success };
            // Nobody is left to be told when this fails.
            let _ = error.print();
            return code.into();
        }
    };
    cli.global.is_service = matches!(cli.command, Command::Agent(_) | Command::Controller(_));
    let logging = log::start(&cli);
    match run(&cli, logging).and_then(screen::finish) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.print(cli.global.color);
            failure.code.into()
        }
    }
}

fn run(cli: &Cli, logging: log::Logging) -> Result<Code, Failure> {
    match &cli.command {
        Command::Apply(args) => write::apply(&cli.global, args),
        Command::Create(args) => write::create(&cli.global, args),
        Command::Replace(args) => write::replace(&cli.global, args),
        Command::Patch(args) => amend::patch(&cli.global, args),
        Command::Label(args) => amend::label(&cli.global, args),
        Command::Annotate(args) => amend::annotate(&cli.global, args),
        Command::Edit(args) => edit::edit(&cli.global, args),
        Command::Delete(args) => write::delete(&cli.global, args),
        Command::Get(args) => get::get(&cli.global, args),
        Command::Docs(args) => docs::docs(&cli.global, args),
        Command::Validate(args) => write::validate(&cli.global, args),
        Command::Status(args) => status::status(&cli.global, args),
        Command::Agent(args) => agent::agent(&cli.global, args, logging),
        Command::Controller(args) => controller::controller(&cli.global, args),
        Command::Dump(args) => dump::dump(&cli.global, args),
        Command::Clean(args) => clean::clean(&cli.global, args),
        Command::Demo(args) => demo::demo(args),
        Command::Version(args) => status::version(&cli.global, args),
        Command::Datastore(args) => match &args.command {
            DatastoreCommand::Init(args) => datastore::init(&cli.global, args),
            DatastoreCommand::Check => datastore::check(&cli.global),
            DatastoreCommand::Backup(args) => datastore::backup(&cli.global, args),
            DatastoreCommand::Compact => datastore::compact(&cli.global),
            DatastoreCommand::Export(args) => datastore::export(&cli.global, args),
            DatastoreCommand::Import(args) => datastore::import(&cli.global, args),
            DatastoreCommand::Copy(args) => datastore::copy(&cli.global, args),
            DatastoreCommand::Crds(args) => Ok(datastore::crds(args)),
        },
        Command::Lock => datastore::lock(&cli.global),
        Command::Unlock => datastore::unlock(&cli.global),
        Command::Completion { shell } => completion::completion(*shell),
        Command::Config(args) => config::config(&cli.global, args),
        Command::Man(args) => man::man(args),
        Command::Install(args) => install::install(&cli.global, args),
        Command::Uninstall(args) => install::uninstall(&cli.global, args),
    }
}
