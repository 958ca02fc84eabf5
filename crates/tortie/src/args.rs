//! The command tree (cli.md part 2).

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::{Code, Failure};

mod values;

use values::log_level;
pub(crate) use values::{LOG_LEVELS, duration};

/// Host firewall: host endpoints and label-driven policies, enforced by nftables.
#[derive(Parser)]
#[command(name = "tortie", version, max_term_width = 120, before_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tortie demo                          # show it all in namespaces of its own
  tortie apply -f policy.yaml          # store what the file says
  tortie agent                         # enforce it on this host
  tortie status                        # what is enforced, and what is not
  tortie get hep -o wide               # what is stored";

/// Where the agent of a host listens.
const DEFAULT_SOCKET: &str = "/run/tortie/agent.sock";

#[derive(Args)]
pub(crate) struct Global {
    /// The store: `embedded:PATH` (a file, or a folder that holds `store.db`), `etcd://HOST:PORT,…`, `etcds://HOST:PORT,…`,
    /// `kubernetes`, or `config:FILE`
    #[arg(long, global = true, env = "TORTIE_STORE", value_name = "URL", help_heading = "Connection")]
    pub(crate) store: Option<String>,
    /// A file of kind CalicoAPIConfig that says how the store is reached
    #[arg(short, long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) config: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) context: Option<String>,
    /// The socket of the agent on this host
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = DEFAULT_SOCKET,
        help_heading = "Connection"
    )]
    pub(crate) socket: PathBuf,
    /// How long to wait for an answer; `90s`, `1m30s`, `1.5s`, or seconds
    #[arg(long, global = true, value_name = "D", value_parser = duration, help_heading = "Connection")]
    pub(crate) timeout: Option<Duration>,
    /// Namespace of namespaced kinds
    #[arg(short, long, global = true, value_name = "NS", help_heading = "Input")]
    pub(crate) namespace: Option<String>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Output")]
    pub(crate) color: Color,
    /// No line that says how far a long command is
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) no_progress: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Say more; may be repeated
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level, help_heading = "Output")]
    pub(crate) log_level: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) log_format: LogFormat,
    /// Answer every question with yes
    #[arg(long, global = true, help_heading = "Safety")]
    pub(crate) yes: bool,
    /// Accepted for scripts; versions never refuse each other
    #[arg(long, global = true, hide = true)]
    pub(crate) allow_version_mismatch: bool,
    /// It runs for the whole host, and not for a user
    #[arg(skip)]
    pub(crate) is_service: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether standard error takes colours.
    pub(crate) fn is_on_stderr(self) -> bool {
        self.is_on(std::io::stderr().is_terminal())
    }

    /// Whether standard output takes colours.
    pub(crate) fn is_on_stdout(self) -> bool {
        self.is_on(std::io::stdout().is_terminal())
    }

    fn is_on(self, is_terminal: bool) -> bool {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !is_set("NO_COLOR") && (is_terminal || is_set("CLICOLOR_FORCE")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create or update resources
    #[command(before_help = "Example: tortie apply -f policies/ --wait")]
    Apply(ApplyArgs),
    /// Create resources that do not exist
    #[command(before_help = "Example: tortie create -f new.yaml")]
    Create(WriteArgs),
    /// Update resources that exist
    #[command(before_help = "Example: tortie replace -f known.yaml")]
    Replace(WriteArgs),
    /// Change parts of resources
    #[command(before_help = r#"Example: tortie patch gnp web -p '{"spec": {"order": 10}}'"#)]
    Patch(PatchArgs),
    /// Set or remove labels of resources
    #[command(before_help = "Example: tortie label hep web1-eth0 role=web zone=a old-")]
    Label(LabelArgs),
    /// Set or remove annotations of resources
    #[command(before_help = "Example: tortie annotate gnp web owner='team a'")]
    Annotate(LabelArgs),
    /// Change resources in an editor
    #[command(before_help = "Example: tortie edit gnp web")]
    Edit(EditArgs),
    /// Delete resources
    #[command(before_help = "Example: tortie delete hep/web1-eth0")]
    Delete(DeleteArgs),
    /// Show resources
    #[command(before_help = "Example: tortie get hep -o wide")]
    Get(GetArgs),
    /// Say what kinds and their fields mean
    #[command(before_help = "Example: tortie docs gnp.ingress.source")]
    Docs(DocsArgs),
    /// Check files without a store
    #[command(before_help = "Example: tortie validate -f policy.yaml --strict")]
    Validate(InputArgs),
    /// Show what the agent on this host enforces
    #[command(before_help = "Example: tortie status --wait --timeout 10s")]
    Status(StatusArgs),
    /// Enforce what is stored, until stopped; rules stay in the kernel
    #[command(before_help = "Example: tortie agent --node web1")]
    Agent(AgentArgs),
    /// Make host endpoints of nodes, and keep them up to date, until stopped
    #[command(before_help = "Example: tortie controller --standalone")]
    Controller(ControllerArgs),
    /// Show what the kernel holds of Tortie's, or prove that it does what policy says
    #[command(before_help = "Example: tortie dump --verify")]
    Dump(DumpArgs),
    /// Remove all of Tortie's rules from this host, and the saved state that would bring them back at boot
    #[command(before_help = "Example: tortie clean")]
    Clean(CleanArgs),
    /// Show it all in namespaces of its own; touches nothing else
    #[command(before_help = "Example: tortie demo")]
    Demo(DemoArgs),
    /// Show versions
    #[command(before_help = "Example: tortie version")]
    Version(VersionArgs),
    /// Look after the store
    #[command(before_help = "Example: tortie datastore check")]
    Datastore(DatastoreArgs),
    /// Keep agents from following the store; what they enforce stays
    #[command(before_help = "Example: tortie lock")]
    Lock,
    /// Let agents follow the store again
    #[command(before_help = "Example: tortie unlock")]
    Unlock,
    /// Print the completion script of a shell
    #[command(before_help = "Example: tortie completion bash > /etc/bash_completion.d/tortie")]
    Completion {
        /// bash, zsh, fish, powershell or elvish
        shell: crate::completion::Shell,
    },
    /// Show or change which store is asked, and how
    #[command(before_help = "Example: tortie config view")]
    Config(crate::config::ConfigArgs),
    /// Print the manual page, or write one for each command into a folder
    #[command(before_help = "Example: tortie man | man -l -")]
    Man(crate::man::ManArgs),
    /// Print units for systemd or manifests for Kubernetes, or write units into a folder
    #[command(before_help = "Example: tortie install systemd --dir /etc/systemd/system")]
    Install(crate::install::InstallArgs),
    /// Remove what `install` wrote, and what `clean` removes
    #[command(before_help = "Example: tortie uninstall --dir /etc/systemd/system")]
    Uninstall(crate::install::UninstallArgs),
}

#[derive(Args)]
pub(crate) struct InputArgs {
    /// A file, a folder of .yaml, .yml and .json files, or `-` for standard input; may be repeated
    #[arg(short, long, required = true, value_name = "PATH", help_heading = "Input")]
    pub(crate) filename: Vec<String>,
    /// Descend into folders of folders
    #[arg(short = 'R', long, help_heading = "Input")]
    pub(crate) recursive: bool,
    /// Nothing to do is no error
    #[arg(long, help_heading = "Input")]
    pub(crate) skip_empty: bool,
    /// Refuse what a host cannot enforce: untracked policy on a wildcard endpoint, `http`
    #[arg(long, help_heading = "Safety")]
    pub(crate) strict: bool,
}

#[derive(Args)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// All objects or none; the default when there are several kinds
    #[arg(long, help_heading = "Safety")]
    pub(crate) atomic: bool,
    /// `client`: check everything without the store; `server`: do everything there but the writing
    #[arg(long, value_enum, value_name = "WHERE", help_heading = "Safety")]
    pub(crate) dry_run: Option<DryRun>,
    /// An object that exists already counts as success (create only)
    #[arg(long, help_heading = "Safety")]
    pub(crate) skip_exists: bool,
}

#[derive(Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Delete what `-l` selects and the files do not hold; lists it first, and asks
    #[arg(long, requires = "selector", conflicts_with = "skip_empty", help_heading = "Safety")]
    pub(crate) prune: bool,
    /// With `--prune`: which objects the files are all of, as with `get`
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "prune", help_heading = "Safety")]
    pub(crate) selector: Option<String>,
    /// Wait until the hosts concerned enforce the change, at most this long
    #[arg(long, value_name = "D", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = duration, help_heading = "Safety")]
    pub(crate) wait: Option<Duration>,
    /// Let a Kubernetes API server merge the files into what is there, field by field; only a conflict with whoever else
    /// manages a field fails
    #[arg(long, conflicts_with = "skip_exists", help_heading = "Safety")]
    pub(crate) server_side: bool,
    /// With `--server-side`: take over fields that others manage
    #[arg(long, requires = "server_side", help_heading = "Safety")]
    pub(crate) force_conflicts: bool,
    /// With `--server-side`: in whose name the fields are managed
    #[arg(long, value_name = "NAME", default_value = "tortie", requires = "server_side", help_heading = "Safety")]
    pub(crate) field_manager: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    Client,
    Server,
    #[value(hide = true)]
    Hosts,
}

impl DryRun {
    /// Whether it can be done.
    pub(crate) fn check(self) -> Result<(), Failure> {
        match self {
            DryRun::Client | DryRun::Server => Ok(()),
            DryRun::Hosts => Err(Failure::new(
                Code::Usage,
                "`--dry-run=hosts` does not exist yet: no agent can be asked to try a change",
            )
            .with_hint("`--dry-run=server` tries it on the store; `tortie validate` checks the files alone")),
        }
    }
}

#[derive(Args)]
pub(crate) struct AmendArgs {
    /// Kind and names, or TYPE/NAME; for labels and annotations then `key=value`, or `key-` to remove one
    #[arg(required = true)]
    pub(crate) what: Vec<String>,
    /// All objects of the kind whose labels match, as with `get`
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all", help_heading = "Input")]
    pub(crate) selector: Option<String>,
    /// All objects of the kind
    #[arg(long, help_heading = "Input")]
    pub(crate) all: bool,
    /// `client`: check everything and ask the store for nothing but the objects; `server`: do everything there but the
    /// writing
    #[arg(long, value_enum, value_name = "WHERE", help_heading = "Safety")]
    pub(crate) dry_run: Option<DryRun>,
    /// Refuse what a host cannot enforce: untracked policy on a wildcard endpoint, `http`
    #[arg(long, help_heading = "Safety")]
    pub(crate) strict: bool,
}

#[derive(Args)]
pub(crate) struct PatchArgs {
    #[command(flatten)]
    pub(crate) amend: AmendArgs,
    /// The patch, as JSON or YAML
    #[arg(short, long, value_name = "PATCH", conflicts_with = "patch_file", help_heading = "Input")]
    pub(crate) patch: Option<String>,
    /// A file that holds the patch, or `-`
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) patch_file: Option<PathBuf>,
    /// What the patch is
    #[arg(short, long, value_enum, default_value = "strategic", help_heading = "Input")]
    pub(crate) r#type: PatchType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatchType {
    /// Objects merge, lists are replaced, `null` removes; `$patch: replace` and `delete` do what they say
    Strategic,
    /// Objects merge, lists are replaced, `null` removes (RFC 7396)
    Merge,
    /// A list of operations (RFC 6902)
    Json,
}

#[derive(Args)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    pub(crate) amend: AmendArgs,
    /// Set another value where there is one
    #[arg(long, help_heading = "Safety")]
    pub(crate) overwrite: bool,
}

#[derive(Args)]
pub(crate) struct EditArgs {
    /// Kind and names, or TYPE/NAME
    #[arg(required = true)]
    pub(crate) what: Vec<String>,
    /// Refuse what a host cannot enforce: untracked policy on a wildcard endpoint, `http`
    #[arg(long, help_heading = "Safety")]
    pub(crate) strict: bool,
}

#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// Kind and names, or TYPE/NAME, when no file is given
    pub(crate) what: Vec<String>,
    /// A file, a folder, or `-`; may be repeated
    #[arg(short, long, value_name = "PATH", conflicts_with = "what", help_heading = "Input")]
    pub(crate) filename: Vec<String>,
    /// Descend into folders of folders
    #[arg(short = 'R', long, help_heading = "Input")]
    pub(crate) recursive: bool,
    /// Nothing to do is no error
    #[arg(long, help_heading = "Input")]
    pub(crate) skip_empty: bool,
    /// `client`: say what would be deleted; `server`: do everything in the store but the deletion
    #[arg(long, value_enum, value_name = "WHERE", help_heading = "Safety")]
    pub(crate) dry_run: Option<DryRun>,
    /// An object that does not exist counts as success
    #[arg(short = 's', long, help_heading = "Safety")]
    pub(crate) skip_not_exists: bool,
}

#[derive(Args)]
pub(crate) struct GetArgs {
    /// Kind and names, several kinds as `hep,gnp`, or TYPE/NAME; without any, the kinds with their counts
    pub(crate) what: Vec<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, help_heading = "Input")]
    pub(crate) all_namespaces: bool,
    /// Only objects whose labels match: `role == 'web' && has(zone)`, or `role=web,zone` as with kubectl
    #[arg(short = 'l', long, value_name = "SELECTOR", help_heading = "Input")]
    pub(crate) selector: Option<String>,
    /// ps, wide, yaml, json, jsonl, name, custom-columns=A,B, jsonpath=TEMPLATE, jsonpath-file=FILE, go-template=TEMPLATE or
    /// go-template-file=FILE
    #[arg(short, long, value_name = "FORMAT", default_value = "ps", help_heading = "Output")]
    pub(crate) output: String,
    /// Sort by what this path leads to in each object, such as `.spec.order`
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(crate) sort_by: Option<String>,
    /// Show what is there, then each change as it comes, until stopped
    #[arg(short, long, conflicts_with_all = ["sort_by", "export"], help_heading = "Output")]
    pub(crate) watch: bool,
    /// Leave out what belongs to this store: uid, resourceVersion, creation time
    #[arg(long, help_heading = "Output")]
    pub(crate) export: bool,
}

#[derive(Args)]
pub(crate) struct DocsArgs {
    /// A kind, or a field of it as KIND.FIELD.FIELD; without any, the kinds
    pub(crate) what: Option<String>,
    /// The names and types of all fields below, as a tree
    #[arg(long, requires = "what", help_heading = "Output")]
    pub(crate) recursive: bool,
    /// How they are printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    Text,
    Json,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Wait until the store's present revision and the host's present links are in the kernel
    #[arg(long, help_heading = "Safety")]
    pub(crate) wait: bool,
    /// How it is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub(crate) output: TextOrJson,
}

#[derive(Args)]
pub(crate) struct AgentArgs {
    /// The node whose host endpoints are enforced; the host's name in lower case by default
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    pub(crate) node: Option<String>,
    /// Program the present state and end
    #[arg(long, help_heading = "Safety")]
    pub(crate) once: bool,
    /// Program the saved state if there are no rules yet, and end; asks no store, for the time before networking
    #[arg(long, conflicts_with = "once", help_heading = "Safety")]
    pub(crate) restore: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args)]
pub(crate) struct ControllerArgs {
    /// Make a node of each host whose agent reports: where neither Kubernetes nor Calico does
    #[arg(long, help_heading = "Input")]
    pub(crate) standalone: bool,
    /// Give nodes of another store than Kubernetes the labels of the Kubernetes nodes they are; KUBECONFIG and K8S_*, or
    /// the config file, say where the cluster is
    #[arg(long, help_heading = "Input")]
    pub(crate) kubernetes_nodes: bool,
    /// Do what is to be done now and end; waits for no other controller
    #[arg(long, help_heading = "Safety")]
    pub(crate) once: bool,
}

#[derive(Args)]
pub(crate) struct DumpArgs {
    /// Prove for every packet that the kernel does what the agent's saved state says; exit 9 where it does not
    #[arg(long, help_heading = "Output")]
    pub(crate) verify: bool,
    /// Diagram nodes that the proof of one chain may take; a chain that needs more is sampled
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "verify", help_heading = "Output")]
    pub(crate) nodes: usize,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args)]
pub(crate) struct CleanArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args)]
pub(crate) struct StateArgs {
    /// The folder of the saved state; /var/lib/tortie/agent by default, with another --socket PATH it is PATH.state
    #[arg(long, value_name = "PATH", help_heading = "Input")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl StateArgs {
    /// The folder of the saved state (D-13).
    pub(crate) fn folder(&self, socket: &Path) -> PathBuf {
        match &self.state_dir {
            Some(folder) => folder.clone(),
            None if socket == Path::new(DEFAULT_SOCKET) => PathBuf::from("/var/lib/tortie/agent"),
            None => {
                let mut name = socket.as_os_str().to_owned();
                name.push(".state");
                PathBuf::from(name)
            }
        }
    }
}

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Say what is done at each step
    #[arg(long, help_heading = "Output")]
    pub(crate) explain: bool,
}

#[derive(Args)]
pub(crate) struct VersionArgs {
    /// This program's version only, without asking the store
    #[arg(long, help_heading = "Connection")]
    pub(crate) client: bool,
    /// How it is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub(crate) output: TextOrJson,
}

#[derive(Args)]
pub(crate) struct DatastoreArgs {
    #[command(subcommand)]
    pub(crate) command: DatastoreCommand,
}

#[derive(Subcommand)]
pub(crate) enum DatastoreCommand {
    /// Make ClusterInformation and the built-in tiers
    #[command(before_help = "Example: tortie datastore init")]
    Init(InitArgs),
    /// Check the integrity of the embedded store
    #[command(before_help = "Example: tortie datastore check")]
    Check,
    /// Copy the embedded store to a new file, while others use it
    #[command(before_help = "Example: tortie datastore backup /var/backups/tortie.db")]
    Backup(BackupArgs),
    /// Forget the history of the embedded store, and give unused space back
    #[command(before_help = "Example: tortie datastore compact")]
    Compact,
    /// Write everything that the store holds as YAML
    #[command(before_help = "Example: tortie datastore export -o fleet.yaml")]
    Export(ExportArgs),
    /// Write everything that an export holds into the store
    #[command(before_help = "Example: tortie datastore import -f fleet.yaml")]
    Import(ImportArgs),
    /// Copy everything from one store to another, and lock the first
    #[command(before_help = "Example: tortie datastore copy --from embedded:/var/lib/tortie --to etcd://10.0.0.1:2379")]
    Copy(CopyArgs),
    /// Print the definitions that a Kubernetes API server needs to hold Tortie's resources
    #[command(before_help = "Example: tortie datastore crds | kubectl apply --server-side -f -")]
    Crds(CrdsArgs),
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Install what a Kubernetes API server lacks of the definitions first; what is there stays as it is
    #[arg(long, help_heading = "Input")]
    pub(crate) crds: bool,
    /// Their API group; the one in use without it, projectcalico.org where there is none
    #[arg(long, value_enum, value_name = "GROUP", requires = "crds", help_heading = "Input")]
    pub(crate) group: Option<ApiGroup>,
}

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The new file
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// A new file; standard output without it
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// A file of `datastore export`, or `-` for standard input; may be repeated
    #[arg(short, long, required = true, value_name = "FILE", help_heading = "Input")]
    pub(crate) filename: Vec<String>,
    /// Objects that exist already stay as they are, and count as success
    #[arg(long, help_heading = "Safety")]
    pub(crate) skip_exists: bool,
    /// Say what would be written, and write nothing
    #[arg(long, help_heading = "Safety")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct CopyArgs {
    /// The store to copy from, as for `--store`
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) from: String,
    /// The store to copy to, as for `--store`
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) to: String,
    /// Objects that exist already stay as they are, and count as success
    #[arg(long, help_heading = "Safety")]
    pub(crate) skip_exists: bool,
    /// Do not lock the first store: what is written to it meanwhile may be missing in the copy
    #[arg(long, help_heading = "Safety")]
    pub(crate) no_lock: bool,
}

#[derive(Args)]
pub(crate) struct CrdsArgs {
    /// The API group: objects as users write them, or Calico's older form
    #[arg(long, value_enum, value_name = "GROUP", default_value = "projectcalico.org", help_heading = "Input")]
    pub(crate) group: ApiGroup,
    /// How they are printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "yaml", help_heading = "Output")]
    pub(crate) output: Structured,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApiGroup {
    /// projectcalico.org/v3, with admission policies
    #[value(name = "projectcalico.org")]
    Native,
    /// crd.projectcalico.org/v1
    #[value(name = "crd.projectcalico.org")]
    Classic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Structured {
    Yaml,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_saved_state_lies_where_d13_says() {
        for (socket, state_dir, folder) in [
            (DEFAULT_SOCKET, None, "/var/lib/tortie/agent"),
            ("/tmp/a.sock", None, "/tmp/a.sock.state"),
            ("/tmp/a.sock", Some("/x"), "/x"),
            (DEFAULT_SOCKET, Some("/x"), "/x"),
        ] {
            let state = StateArgs { state_dir: state_dir.map(PathBuf::from) };
            assert_eq!(state.folder(Path::new(socket)), Path::new(folder), "{socket} {state_dir:?}");
        }
    }
}
