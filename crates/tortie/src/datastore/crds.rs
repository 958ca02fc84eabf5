//! `datastore crds` and `init --crds`: definitions for a Kubernetes API server (datastore.md section 3.7).

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::crd::{Group, definitions};
use tortie_api::print::to_yaml;
use tortie_kubernetes::{Installed, Kubernetes, Outcome};

use crate::args::{ApiGroup, CrdsArgs, Global, Structured};
use crate::exit::{Code, Failure};
use crate::store::{self, kv_failure};

/// How long a server may take to have new definitions in use. It takes two seconds.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn crds(args: &CrdsArgs) -> Code {
    match args.output {
        Structured::Yaml => print!("{}", definitions_as_yaml(args.group.into())),
        Structured::Json => {
            let items: Vec<Value> = objects(args.group.into()).collect();
            println!("{:#}", json!({"apiVersion": "v1", "kind": "List", "items": items}));
        }
    }
    Code::Success
}

/// Definitions and admission policies, one document each.
pub(crate) fn definitions_as_yaml(group: Group) -> String {
    objects(group).map(|object| format!("---\n{}", to_yaml(&object))).collect()
}

fn objects(group: Group) -> impl Iterator<Item = Value> {
    definitions(group).into_iter().map(|definition| definition.object)
}

/// Installs what the server lacks, and tells what was done with each.
pub(super) fn install(global: &Global, wanted: Option<ApiGroup>) -> Result<(), Failure> {
    let store = store::kubernetes(global)?;
    let group = choose(&store, wanted.map(Group::from))?;
    let installed = store.install(&definitions(group), INSTALL_TIMEOUT).map_err(|error| kv_failure(&error))?;
    for Installed { kind, name, outcome } in &installed {
        match outcome {
            Outcome::Created => println!("{kind} `{name}` is installed"),
            Outcome::Present => println!("{kind} `{name}` is there already, and stays as it is"),
            Outcome::Unknown => {
                eprintln!(
                    "warning: the server does not know the kind {kind}: `{name}` is left out (see docs/kubernetes.md)"
                );
            }
        }
    }
    Ok(())
}

/// The group to install. A second one beside one that is in use would hide either (section 3.1).
fn choose(store: &Kubernetes, wanted: Option<Group>) -> Result<Group, Failure> {
    let chosen = store.group().map_err(|error| kv_failure(&error))?;
    match wanted {
        Some(wanted) if wanted != chosen.group && !chosen.is_vacant => {
            let message = format!(
                "API group {} is in use ({}), and a second one would hide what is in it or be hidden",
                chosen.group, chosen.why
            );
            Err(Failure::new(Code::Invalid, message).with_hint("leave `--group` out"))
        }
        wanted => Ok(wanted.unwrap_or(chosen.group)),
    }
}

impl From<ApiGroup> for Group {
    fn from(group: ApiGroup) -> Self {
        match group {
            ApiGroup::Native => Group::Native,
            ApiGroup::Classic => Group::Classic,
        }
    }
}
