//! The `tortie` command: it parses arguments, joins edges to core, and prints.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod agent;
mod args;
mod clean;
mod client;
mod demo;
mod exit;
mod get;
mod input;
mod late;
mod lint;
mod output;
mod status;
mod store;
mod table;
mod wait;
mod write;

use args::{Cli, Command, DatastoreCommand};
use exit::{Code, Failure};

fn main() -> ExitCode {
    // A reader that went away ends the program quietly, as it does other tools.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage } else { Code::Success };
            // Nobody is left to be told when this fails.
            let _ = error.print();
            return code.into();
        }
    };
    start_log(&cli);
    match run(&cli) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.print(cli.global.color);
            failure.code.into()
        }
    }
}

fn run(cli: &Cli) -> Result<Code, Failure> {
    match &cli.command {
        Command::Apply(args) => write::apply(&cli.global, args),
        Command::Create(args) => write::create(&cli.global, args),
        Command::Replace(args) => write::replace(&cli.global, args),
        Command::Delete(args) => write::delete(&cli.global, args),
        Command::Get(args) => get::get(&cli.global, args),
        Command::Validate(args) => write::validate(&cli.global, args),
        Command::Status(args) => status::status(&cli.global, args),
        Command::Agent(args) => agent::agent(&cli.global, args),
        Command::Clean(args) => clean::clean(&cli.global, args),
        Command::Demo(args) => demo::demo(args),
        Command::Version(args) => status::version(&cli.global, args),
        Command::Datastore(args) => match args.command {
            DatastoreCommand::Init => write::init(&cli.global),
            DatastoreCommand::Check => write::check(&cli.global),
        },
        Command::Completion { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(*shell, &mut command, "tortie", &mut std::io::stdout());
            Ok(Code::Success)
        }
    }
}

/// Logs go to standard error; results never do.
fn start_log(cli: &Cli) {
    let level = match (&cli.global.log_level, cli.global.quiet, cli.global.verbose, &cli.command) {
        (Some(level), ..) => level.clone(),
        (None, true, ..) => "error".to_owned(),
        (None, false, 0, Command::Agent(_)) => "info".to_owned(),
        (None, false, 0, _) => "warn".to_owned(),
        (None, false, 1, _) => "info".to_owned(),
        (None, false, 2, _) => "debug".to_owned(),
        (None, false, ..) => "trace".to_owned(),
    };
    let filter = tracing_subscriber::EnvFilter::try_new(level).unwrap_or_else(|_| "warn".into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match cli.global.log_format {
        args::LogFormat::Text => builder.with_ansi(false).init(),
        args::LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
