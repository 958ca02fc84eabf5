//! `install`: unit files and manifests, which are part of the program, and `uninstall`, which takes them and the rules
//! away (cli.md section 2.3, E-707).

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{ApiGroup, CleanArgs, Global};
use crate::clean;
use crate::exit::{Code, Failure};

mod kubernetes;
mod systemd;

#[derive(Args)]
pub(crate) struct InstallArgs {
    #[command(subcommand)]
    pub(crate) command: InstallCommand,
}

#[derive(Subcommand)]
pub(crate) enum InstallCommand {
    /// Print the units that start this program, or write them into a folder; enables and starts nothing
    #[command(before_help = "Example: tortie install systemd --dir /etc/systemd/system")]
    Systemd(SystemdArgs),
    /// Print what a cluster needs: definitions, accounts, rights, a DaemonSet of agents, a Deployment of controllers
    #[command(
        before_help = "Example: tortie install kubernetes --image registry.example/tortie:1 | kubectl apply -f -"
    )]
    Kubernetes(KubernetesArgs),
}

#[derive(Args)]
pub(crate) struct SystemdArgs {
    /// The folder the units are written into; standard output without it
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct KubernetesArgs {
    /// The container image, which holds this program as /usr/bin/tortie
    #[arg(long, value_name = "IMAGE", default_value = concat!("localhost/tortie:", env!("CARGO_PKG_VERSION")), help_heading = "Output")]
    pub(crate) image: String,
    /// The API group of the definitions
    #[arg(long, value_enum, value_name = "GROUP", default_value = "projectcalico.org", help_heading = "Output")]
    pub(crate) group: ApiGroup,
    /// Leave the definitions out: where Calico is installed, its own hold the same objects
    #[arg(long, help_heading = "Output")]
    pub(crate) no_crds: bool,
}

#[derive(Args)]
pub(crate) struct UninstallArgs {
    /// The folder that `tortie install systemd` wrote units into: those that are still as written are removed
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) clean: CleanArgs,
}

pub(crate) fn install(global: &Global, args: &InstallArgs) -> Result<Code, Failure> {
    match &args.command {
        InstallCommand::Systemd(args) => systemd::install(args.dir.as_deref()),
        InstallCommand::Kubernetes(args) => kubernetes::print(global.namespace.as_deref(), args),
    }
}

pub(crate) fn uninstall(global: &Global, args: &UninstallArgs) -> Result<Code, Failure> {
    // First: a unit that stays would bring the rules back at the next boot.
    if let Some(dir) = &args.dir {
        systemd::remove(dir)?;
    }
    clean::clean(global, &args.clean)
}
