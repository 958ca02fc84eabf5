//! `config`: which configuration is in force, where each value of it is from, and how it is changed (cli.md section 2.3).

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, Subcommand};
use serde_json::{Map, Value, json};

use crate::args::{Cli, Global, TextOrJson};
use crate::exit::{Code, Failure};
use crate::store::{self, Setting};
use crate::table;

mod edit;
mod set;

pub(crate) use set::{keys, words};

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what is in force, and where each value is from; secrets are not shown
    #[command(before_help = "Example: tortie config view")]
    View(ViewArgs),
    /// Write a value into your configuration file, or the one of `--config`; an empty value takes the key out
    #[command(before_help = "Example: tortie config set etcdEndpoints https://10.0.0.1:2379")]
    Set(SetArgs),
    /// Print the path of the file that is read, or would be if it were there
    #[command(before_help = "Example: tortie config path")]
    Path,
}

#[derive(Args)]
pub(crate) struct ViewArgs {
    /// How it is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub(crate) output: TextOrJson,
}

#[derive(Args)]
pub(crate) struct SetArgs {
    /// The field of the file, such as `etcdEndpoints` or `kubeconfig`
    pub(crate) key: String,
    /// Its value; `-` reads it from standard input, as secrets should be
    pub(crate) value: String,
}

pub(crate) fn config(global: &Global, args: &ConfigArgs) -> Result<Code, Failure> {
    match &args.command {
        ConfigCommand::View(args) => view(global, args.output),
        ConfigCommand::Set(args) => set::set(global, args),
        ConfigCommand::Path => {
            println!("{}", path(global).display());
            Ok(Code::Success)
        }
    }
}

/// The file that is read, or would be.
fn path(global: &Global) -> PathBuf {
    store::config_file(global).unwrap_or_else(|| store::own_config_file(global))
}

fn view(global: &Global, format: TextOrJson) -> Result<Code, Failure> {
    let flags = flags();
    let url_source = flags.iter().find(|flag| flag.name == "store").map(|flag| flag.source.clone());
    let mut settings = store::settings(global, url_source.as_deref())?;
    let known = |name: &str| ["store", "context"].contains(&name);
    settings.extend(flags.into_iter().filter(|flag| !known(&flag.name)));
    match format {
        TextOrJson::Text => {
            let row = |setting: &Setting| vec![setting.name.clone(), setting.value.clone(), setting.source.clone()];
            let rows: Vec<Vec<String>> = settings.iter().map(row).collect();
            print!("{}", table::render(&["NAME", "VALUE", "SOURCE"], &rows, global.color.is_on_stdout()));
        }
        TextOrJson::Json => {
            let entry = |setting: Setting| (setting.name, json!({"value": setting.value, "source": setting.source}));
            println!("{:#}", Value::Object(settings.into_iter().map(entry).collect::<Map<_, _>>()));
        }
    }
    Ok(Code::Success)
}

/// The global flags that have a value, as the command line or the environment gives it.
fn flags() -> Vec<Setting> {
    let command = Cli::command();
    // The line was read once already.
    let Ok(matches) = Cli::command().try_get_matches() else { return Vec::new() };
    let flags = command.get_arguments().filter(|flag| flag.is_global_set() && flag.get_action().takes_values());
    let setting = |flag: &clap::Arg| {
        let (id, long) = (flag.get_id().as_str(), flag.get_long()?);
        let values = matches.get_raw(id)?.map(|value| value.to_string_lossy()).collect::<Vec<_>>();
        let source = match (matches.value_source(id)?, flag.get_env()) {
            (ValueSource::EnvVariable, Some(variable)) => format!("variable {}", variable.to_string_lossy()),
            (ValueSource::DefaultValue, _) => "default".to_owned(),
            _ => format!("flag --{long}"),
        };
        Some(Setting { name: long.to_owned(), value: values.join(" "), source })
    };
    flags.filter_map(setting).collect()
}
