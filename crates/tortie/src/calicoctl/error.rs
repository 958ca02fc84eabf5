//! Everything that Calico's command line says when it fails (cli.md sections 1.3 and 1.4).

use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_datastore::ResourceError;

use crate::store::{ConfigFault, Mistake};
use crate::template::TemplateError;

/// Why a command, or what it does to one object, fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    // The command line.
    #[error("unknown command \"{word}\" for \"{parent}\"{suggestions}")]
    UnknownCommand { word: String, parent: String, suggestions: String },
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    #[error("unknown shorthand flag: '{letter}' in -{word}")]
    UnknownShorthand { letter: char, word: String },
    #[error("bad flag syntax: {0}")]
    FlagSyntax(String),
    #[error("flag needs an argument: --{0}")]
    FlagArgument(String),
    #[error("flag needs an argument: '{letter}' in -{word}")]
    ShorthandArgument { letter: char, word: String },
    #[error("invalid argument \"{value}\" for \"{flag}\" flag: strconv.ParseBool: parsing \"{value}\": invalid syntax")]
    NoBoolean { value: String, flag: String },
    #[error("accepts {wanted} arg(s), received {given}")]
    ExactArguments { wanted: usize, given: usize },
    #[error("requires at least {wanted} arg(s), only received {given}")]
    LeastArguments { wanted: usize, given: usize },
    #[error("unknown log level: {0}, expected one of: panic, fatal, error, warn, info, debug")]
    LogLevel(String),
    #[error("a kind, or a file with -f, is needed: calicoctl {0} --help")]
    NothingNamed(&'static str),
    #[error("{0}")]
    NotOffered(&'static str),

    // Output.
    #[error("unrecognized output format '{0}'")]
    Format(String),
    #[error("need to specify at least one column")]
    NoColumn,
    #[error("need to specify a template")]
    NoTemplate,
    #[error("need to specify a template file")]
    NoTemplateFile,
    #[error("unknown heading {heading}, valid values are: {}", valid.join(", "))]
    Heading { heading: String, valid: Vec<&'static str> },
    #[error(transparent)]
    Template(#[from] TemplateError),

    // The store.
    #[error("Error reading config file: {0}")]
    ConfigFile(String),
    #[error("Failed to create Calico API client: {0}")]
    Client(String),
    #[error("Failed to create Calico API client: {0}")]
    NoCluster(String),

    // Input.
    #[error("failed to execute command: {0}")]
    Execute(Box<Error>),
    #[error("failed to get resources: {0}")]
    Get(Box<Error>),
    #[error("open {path}: {cause}")]
    Open { path: String, cause: String },
    #[error("field in document is not recognized or is in the wrong location: {0}")]
    UnknownField(String),
    #[error("unknown resource type ({kind}) and/or version ({version})")]
    UnknownResource { kind: String, version: String },
    #[error("kind {0} is not managed by Tortie")]
    NotManaged(String),
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
    #[error("error unmarshaling JSON: while decoding JSON: {0}")]
    Decode(String),
    #[error("no resources specified in file {0}")]
    EmptyFile(String),
    #[error("no resources specified in directory {0}")]
    EmptyFolder(String),
    #[error("resource type '{0}' is not supported")]
    Kind(String),
    #[error("resource type '{word}' is not supported: kind {kind} is not managed by Tortie")]
    OtherKind { word: String, kind: &'static str },
    #[error("resource name may not be empty")]
    EmptyName,

    // Namespaces.
    #[error("cannot use both --namespace and --all-namespaces flags at the same time")]
    BothNamespaces,
    #[error("cannot use --all-namespace flag for getting a single resource")]
    SingleOfAll,
    #[error("{0} is not namespaced")]
    NotNamespaced(Kind),
    #[error("namespace should not be specified for a non-namespaced resource. {0} is not a namespaced resource")]
    NamespaceGiven(Kind),
    #[error("resource namespace does not match client namespace. {own} != {client}")]
    OtherNamespace { own: String, client: String },

    // One object.
    #[error("{0}")]
    Invalid(String),
    #[error("resource already exists: {0} with error: <nil>")]
    Exists(ResourceKey),
    #[error(
        "resource already exists: {0} with error: {0} already exists. The profile \"{0}\" is default provided by Calico"
    )]
    ExistsBuiltIn(String),
    #[error("resource does not exist: {0} with error: <nil>")]
    Missing(ResourceKey),
    #[error("update conflict: {0}")]
    Conflict(ResourceKey),
    #[error("error with field ResourceVersion = '{0}'")]
    Revision(String),
    #[error("operation {operation} is not supported on {id}{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    NotSupported { operation: &'static str, id: String, reason: Option<String> },
    #[error("{0}")]
    Stored(String),

    // Results of commands.
    #[error("failed to {verb} '{kind}' resource: [{error}]")]
    FailedOne { verb: &'static str, kind: Kind, error: Box<Error> },
    #[error("failed to {verb} any '{kind}' resources: [{}]", spaced(errors))]
    FailedKind { verb: &'static str, kind: Kind, errors: Vec<Error> },
    #[error("failed to {verb} any resources: [{}]", spaced(errors))]
    FailedAll { verb: &'static str, errors: Vec<Error> },
    #[error("hit error: [{}]", spaced(.0))]
    HitAll(Vec<Error>),
    #[error("hit error: {0}")]
    Hit(Box<Error>),
    #[error("{}", deletions(.kind, .errors))]
    Deletions { kind: Option<Kind>, errors: Vec<Error> },
    #[error("{}", lines(.0))]
    Lines(Vec<Error>),

    // Patch and label.
    #[error("performing strategic merge patch: invalid JSON document")]
    NoPatch,
    #[error("updating existing resource: {0}")]
    Updating(Box<Error>),
    #[error("creating resource from patched data: {0}")]
    Patched(Box<Error>),
    #[error("invalid label {0}")]
    Label(String),
    #[error("failed to get {kind} {name}, error {cause}")]
    LabelGet { kind: String, name: String, cause: Box<Error> },
    #[error("{kind} {name} not found")]
    NotFound { kind: String, name: String },
    #[error("cannot remove label of {kind} {name}, key {key} does not exist")]
    NoLabel { kind: String, name: String, key: String },
    #[error(
        "failed to update label of {kind} {name}, key {key} is already present. please use '--overwrite' to set a new value"
    )]
    LabelPresent { kind: String, name: String, key: String },
    #[error("failed to update {kind} {name}, label not changed")]
    LabelUnchanged { kind: String, name: String },

    // Version and datastore.
    #[error("unable to retrieve Cluster Version or Type: {0}")]
    Version(Box<Error>),
    #[error("error while checking if datastore was locked: error retrieving ClusterInformation: {0}")]
    LockUnknown(Box<Error>),
    #[error("invalid poll duration specified: {0}")]
    Poll(String),
    #[error("{0}: {1}")]
    Migration(&'static str, Box<Error>),
    #[error("datastore is not locked. Run the `calicoctl datastore migrate lock` command in order to begin migration")]
    NotLocked,
    #[error(
        "Datastore already has Calico resources: Found existing Calico {0} resource. Clear out all Calico resources by deleting all Calico CRDs."
    )]
    NotEmpty(Kind),
    #[error(
        "Error while reading migration file: Imported file: {0} is improperly formatted. Try recreating with 'calicoctl export'"
    )]
    MigrationFile(String),
    #[error("required flag(s) \"{0}\" not set")]
    RequiredFlag(&'static str),
}

fn spaced(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join(" ")
}

fn lines(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("\n")
}

fn deletions(kind: &Option<Kind>, errors: &[Error]) -> String {
    let what = kind.map(|kind| format!("'{kind}' ")).unwrap_or_default();
    errors.iter().map(|error| format!("Failed to delete {what}resource: {error}\n")).collect()
}

impl Error {
    /// Whether this goes to standard output, as two old messages do.
    pub(super) fn is_result(&self) -> bool {
        matches!(self, Error::ConfigFile(_) | Error::Client(_) | Error::NoCluster(_))
    }

    /// Words in front of an error; an unknown field takes none, whatever the command.
    pub(super) fn within(self, wrap: impl FnOnce(Box<Error>) -> Error) -> Error {
        match self {
            field @ Error::UnknownField(_) => field,
            store if store.is_result() => store,
            other => wrap(Box::new(other)),
        }
    }

    /// What keeps a store from being asked, of a command that says only that, where errors go.
    pub(super) fn bare(self) -> Error {
        match self {
            Error::Client(cause) => match cause.split_once(": json: unknown field \"") {
                Some((_, field)) => Error::UnknownField(field.trim_end_matches('"').to_owned()),
                None => Error::Stored(cause),
            },
            Error::NoCluster(cause) => Error::Stored(cause),
            other => other,
        }
    }

    /// What keeps a store from being asked.
    pub(super) fn config(fault: ConfigFault) -> Error {
        match fault {
            ConfigFault::Unread { path, .. } => Error::ConfigFile(path.display().to_string()),
            ConfigFault::Invalid { path, mistake } => {
                let cause = match mistake {
                    Mistake::UnknownField { name, .. } => {
                        format!(
                            "failed to parse config as YAML/JSON: error unmarshaling JSON: while decoding JSON: json: \
                             unknown field \"{name}\""
                        )
                    }
                    head @ Mistake::Head(_) => head.to_string(),
                    Mistake::Other(message) => format!("failed to parse config as YAML/JSON: {message}"),
                };
                Error::Client(format!("syntax error in {}: {cause}", path.display()))
            }
            ConfigFault::UnknownType { word, .. } => Error::Client(format!("unknown datastore type: {word}")),
            ConfigFault::NoEndpoints { .. } => Error::Client("no etcd endpoints specified".to_owned()),
            ConfigFault::Other(failure) => Error::Client(failure.messages.join("; ")),
        }
    }
}

/// What the store says of an object; `operation` is what was being done.
pub(super) fn of_store(error: ResourceError, operation: Operation) -> Error {
    match error {
        ResourceError::AlreadyExists(key) if tortie_api::is_built_in(key.kind, &key.name) => {
            Error::ExistsBuiltIn(key.name)
        }
        ResourceError::AlreadyExists(key) => Error::Exists(key),
        ResourceError::DoesNotExist(key) | ResourceError::NoTier { tier: key, .. } => Error::Missing(key),
        ResourceError::Conflict(key) => Error::Conflict(key),
        ResourceError::NotSupported { id, reason, .. } => not_supported(id, reason, operation),
        ResourceError::Partial { cause, .. } => of_store(*cause, operation),
        other => Error::Stored(with_causes(&other)),
    }
}

/// What is done to an object, as refusals name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    Get,
}

/// Who refuses names the object and the operation in its own way.
fn not_supported(key: ResourceKey, reason: &str, operation: Operation) -> Error {
    let verb = match operation {
        Operation::Create => "create or apply",
        Operation::Update => "apply or replace",
        Operation::Delete => "delete",
        Operation::Get => "get",
    };
    let refuse = |operation, id: String, reason: Option<String>| Error::NotSupported { operation, id, reason };
    match (key.kind, operation) {
        (Kind::ClusterInformation, _) => refuse(verb, key.kind.name().to_owned(), None),
        (Kind::Profile, Operation::Update | Operation::Delete) if tortie_api::is_built_in(key.kind, &key.name) => {
            let (operation, past) =
                if operation == Operation::Delete { ("Delete", "deleted") } else { ("Update", "updated") };
            let reason = format!("The profile \"{}\" is a default provided by Calico and cannot be {past}", key.name);
            refuse(operation, key.name, Some(reason))
        }
        (Kind::Tier, Operation::Delete) if tortie_api::defaults::is_fixed_tier(&key.name) => {
            let reason = format!("Cannot delete {} tier", key.name);
            refuse("Delete", key.name, Some(reason))
        }
        (Kind::Tier, Operation::Delete) => refuse("delete", key.name, Some(reason.to_owned())),
        _ => refuse(verb, key.to_string(), Some(reason.to_owned())),
    }
}
