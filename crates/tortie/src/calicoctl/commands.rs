//! The commands, their flags, and which of them a line means, as Go's `cobra` finds it.

use super::error::Error;
use super::flags::{self, Flag, Given};
use super::{change, datastore, get, help, version, write};

/// Carries out a command.
type Run = fn(&Given) -> Result<(), Error>;

/// A command, and those below it.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What follows its name in a usage line.
    pub(super) usage: &'static str,
    pub(super) flags: &'static [Flag],
    pub(super) below: &'static [Command],
    arguments: Arguments,
    /// None: it is only there for those below.
    run: Option<Run>,
}

/// How many arguments a command takes.
#[derive(Clone, Copy)]
enum Arguments {
    Any,
    Exactly(usize),
    AtLeast(usize),
    /// Nothing on the line is looked at: the command is not offered.
    Unread,
}

const fn switch(name: &'static str, letter: Option<char>, help: &'static str) -> Flag {
    Flag { name, letter, value: None, help }
}

const fn valued(name: &'static str, letter: Option<char>, value: &'static str, help: &'static str) -> Flag {
    Flag { name, letter, value: Some(value), help }
}

const FILE: Flag =
    valued("filename", Some('f'), "PATH", "Read resources from a file, a folder, or - for standard input");
const RECURSIVE: Flag = switch("recursive", Some('R'), "Read sub-folders of a folder too");
const SKIP_EMPTY: Flag = switch("skip-empty", None, "Files without resources are no error");
const CONFIG: Flag = valued("config", Some('c'), "PATH", "Connection file (default /etc/calico/calicoctl.cfg)");
const NAMESPACE: Flag = valued("namespace", Some('n'), "NAMESPACE", "Namespace of the resources");

/// Flags of every command.
pub(super) const GLOBAL: &[Flag] = &[
    valued("log-level", Some('l'), "LEVEL", "panic, fatal, error, warn, info or debug (default panic)"),
    valued("context", None, "NAME", "Context of the kubeconfig file"),
    switch("allow-version-mismatch", None, "Accepted for scripts: versions are never compared"),
    switch("help", Some('h'), "Show this help"),
];

const INPUT: &[Flag] = &[FILE, RECURSIVE, SKIP_EMPTY, CONFIG, NAMESPACE];
const CREATE: &[Flag] =
    &[FILE, RECURSIVE, SKIP_EMPTY, switch("skip-exists", None, "Resources that exist are no error"), CONFIG, NAMESPACE];
const DELETE: &[Flag] = &[
    FILE,
    RECURSIVE,
    SKIP_EMPTY,
    switch("skip-not-exists", Some('s'), "Resources that do not exist are no error"),
    CONFIG,
    NAMESPACE,
];
const GET: &[Flag] = &[
    FILE,
    RECURSIVE,
    SKIP_EMPTY,
    valued(
        "output",
        Some('o'),
        "FORMAT",
        "ps (default), wide, yaml, json, custom-columns=A,B, go-template=T or go-template-file=F",
    ),
    CONFIG,
    NAMESPACE,
    switch("all-namespaces", Some('A'), "Resources of all namespaces"),
    // The letter of older versions.
    switch("a", Some('a'), ""),
    switch("export", None, "Leave out what belongs to this store alone"),
];
const PATCH: &[Flag] = &[
    valued("patch", Some('p'), "JSON", "What to change"),
    valued("type", Some('t'), "TYPE", "Accepted for scripts: every patch is a strategic merge"),
    CONFIG,
    NAMESPACE,
];
const LABEL: &[Flag] = &[
    switch("overwrite", None, "Change the value of a label that is there"),
    switch("remove", None, "Take the label away"),
    CONFIG,
    NAMESPACE,
];
const VERSION: &[Flag] = &[
    CONFIG,
    switch("client", None, "Show the version of this program only"),
    valued("poll", None, "DURATION", "Show it again and again, so far apart (0s: once)"),
];

const COMPLETION: &[Flag] =
    &[switch("no-descriptions", None, "Accepted for scripts: completions have no descriptions")];

const fn reads(name: &'static str, about: &'static str, flags: &'static [Flag], run: Run) -> Command {
    Command {
        name,
        about,
        usage: "(-f PATH | KIND [NAME...]) [flags]",
        flags,
        below: &[],
        arguments: Arguments::Any,
        run: Some(run),
    }
}

const fn absent(name: &'static str, about: &'static str, run: Run) -> Command {
    Command { name, about, usage: "", flags: &[], below: &[], arguments: Arguments::Unread, run: Some(run) }
}

const fn group(name: &'static str, about: &'static str, below: &'static [Command]) -> Command {
    Command { name, about, usage: "COMMAND", flags: &[], below, arguments: Arguments::Any, run: None }
}

const fn plain(name: &'static str, about: &'static str, flags: &'static [Flag], run: Run) -> Command {
    Command { name, about, usage: "[flags]", flags, below: &[], arguments: Arguments::Any, run: Some(run) }
}

/// Everything, in the order of Calico's own.
pub(super) const ROOT: Command = group(super::NAME, "Manages host protection with Calico's command line", COMMANDS);

const COMMANDS: &[Command] = &[
    reads("create", "Create resources", CREATE, write::create),
    reads("apply", "Create resources, or replace those that exist", INPUT, write::apply),
    reads("replace", "Replace resources that exist", INPUT, write::replace),
    reads("delete", "Delete resources", DELETE, write::delete),
    reads("get", "Show resources", GET, get::get),
    Command {
        usage: "KIND NAME --patch JSON [flags]",
        arguments: Arguments::Exactly(2),
        ..reads("patch", "Change parts of a resource", PATCH, change::patch)
    },
    Command {
        usage: "KIND NAME (KEY=VALUE... | KEY... --remove) [flags]",
        arguments: Arguments::AtLeast(3),
        ..reads("label", "Set or remove labels of a resource", LABEL, change::label)
    },
    reads("validate", "Check resources without a store", INPUT, write::validate),
    absent("ipam", "Not offered: Tortie manages no addresses", |_| {
        Err(Error::NotOffered(
            "ipam is not offered: Tortie protects hosts and manages no addresses; use Calico's own calicoctl",
        ))
    }),
    absent("node", "Not offered: see `tortie status`, `tortie dump` and `tortie agent`", |_| {
        Err(Error::NotOffered(
            "node is not offered: use `tortie status` to see what hosts enforce, `tortie dump` to collect what helps to \
             find a fault, and `tortie agent` to run the agent",
        ))
    }),
    group("datastore", "Move a store, and look after it", DATASTORE),
    absent("cluster", "Not offered: see `tortie dump`", |_| {
        Err(Error::NotOffered("cluster is not offered: use `tortie dump` on each host, or Calico's own calicoctl"))
    }),
    plain("version", "Show versions", VERSION, version::version),
    Command {
        usage: "SHELL",
        arguments: Arguments::Any,
        ..plain("completion", "Write completions of bash, zsh, fish or powershell", COMPLETION, help::completion)
    },
    Command { usage: "[COMMAND]", ..plain("help", "Show what a command does", &[], help::help) },
];

const DATASTORE: &[Command] = &[
    group(
        "migrate",
        "Move the contents of a store into another",
        &[
            plain("export", "Print the contents of a locked store", &[CONFIG], datastore::export),
            plain(
                "import",
                "Write an export into a store, and lock that",
                &[valued("filename", Some('f'), "PATH", "The export"), CONFIG],
                datastore::import,
            ),
            plain("lock", "Keep agents from following the store", &[CONFIG], datastore::lock),
            plain("unlock", "Let agents follow the store", &[CONFIG], datastore::unlock),
        ],
    ),
    plain("migrate-policy-names", "Give policies with names of older versions their own", &[CONFIG], datastore::names),
];

impl Command {
    /// The flags that a line of it may hold.
    pub(super) fn all_flags(&self) -> Vec<Flag> {
        self.flags.iter().chain(GLOBAL).copied().collect()
    }

    fn child(&self, word: &str) -> Option<&'static Command> {
        self.below.iter().find(|command| command.name == word)
    }
}

/// A command, and the words that lead to it.
pub(super) struct Found {
    pub(super) command: &'static Command,
    pub(super) path: Vec<&'static str>,
    /// The line without these words.
    line: Vec<String>,
}

/// Finds the command of a line.
pub(super) fn find(line: &[String]) -> Result<Found, Error> {
    let mut found = Found { command: &ROOT, path: vec![ROOT.name], line: line.to_vec() };
    loop {
        let flags = found.command.all_flags();
        let Some(at) = first_argument(&flags, &found.line) else { return Ok(found) };
        match found.command.child(&found.line[at]) {
            Some(command) => {
                found.command = command;
                found.path.push(command.name);
                found.line.remove(at);
            }
            None if found.path.len() == 1 => {
                let word = found.line.swap_remove(at);
                return Err(Error::UnknownCommand {
                    suggestions: suggestions(&word),
                    word,
                    parent: ROOT.name.to_owned(),
                });
            }
            None => return Ok(found),
        }
    }
}

/// Where the first word stands that is neither a flag nor the value of one.
fn first_argument(flags: &[Flag], line: &[String]) -> Option<usize> {
    let mut is_value = false;
    for (at, word) in line.iter().enumerate() {
        if std::mem::take(&mut is_value) {
            continue;
        }
        let is_switch = |is_it: &dyn Fn(&Flag) -> bool| flags.iter().any(|flag| is_it(flag) && flag.value.is_none());
        if word == "--" {
            return None;
        } else if let Some(name) = word.strip_prefix("--") {
            is_value = !name.contains('=') && !is_switch(&|flag| flag.name == name);
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            is_value = letters.len() == 1 && !is_switch(&|flag| letters.starts_with(|c| flag.letter == Some(c)));
        } else if !word.is_empty() {
            return Some(at);
        }
    }
    None
}

/// Commands that a word could have meant, as `cobra` lists them.
fn suggestions(word: &str) -> String {
    let lower = word.to_lowercase();
    let names = COMMANDS.iter().map(|command| command.name);
    let near = names.filter(|name| strsim::levenshtein(&lower, name) <= 2 || name.starts_with(&lower));
    let listed: String = near.map(|name| format!("\t{name}\n")).collect();
    if listed.is_empty() { listed } else { format!("\n\nDid you mean this?\n{listed}") }
}

/// Carries out the command of a line.
pub(super) fn run(line: &[String]) -> Result<(), Error> {
    let found = find(line)?;
    let Found { command, path, line } = &found;
    if let (Arguments::Unread, Some(run)) = (command.arguments, command.run) {
        let asks_for_help = line.iter().any(|word| word == "--help" || word == "-h");
        return if asks_for_help { help::show(command, path) } else { run(&Given::default()) };
    }
    let given = flags::parse(&command.all_flags(), line)?;
    let Some(run) = command.run.filter(|_| !given.is_set("help")) else {
        return help::show(command, path);
    };
    let count = given.arguments.len();
    match command.arguments {
        Arguments::Exactly(wanted) if count != wanted => return Err(Error::ExactArguments { wanted, given: count }),
        Arguments::AtLeast(wanted) if count < wanted => return Err(Error::LeastArguments { wanted, given: count }),
        _ => {}
    }
    const LEVELS: [&str; 8] = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];
    match given.all("log-level").last() {
        Some(level) if !LEVELS.contains(&level.to_lowercase().as_str()) => Err(Error::LogLevel(level.clone())),
        _ => run(&given),
    }
}
