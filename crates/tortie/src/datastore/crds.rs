//! `datastore crds`: definitions for a Kubernetes API server (datastore.md section 3.7).

use serde_json::{Value, json};
use tortie_api::crd::{Group, definitions};
use tortie_api::print::to_yaml;

use crate::args::{ApiGroup, CrdsArgs, Structured};
use crate::exit::Code;

pub(crate) fn crds(args: &CrdsArgs) -> Code {
    let group = match args.group {
        ApiGroup::Native => Group::Native,
        ApiGroup::Classic => Group::Classic,
    };
    let objects: Vec<Value> = definitions(group).into_iter().map(|definition| definition.object).collect();
    let text = match args.output {
        Structured::Yaml => objects.iter().map(|object| format!("---\n{}", to_yaml(object))).collect(),
        Structured::Json => format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": objects})),
    };
    print!("{text}");
    Code::Success
}
