//! `status` of `KubeControllersConfiguration`: the settings in force (resources.md section 10).

use serde_json::{Map, Value, json};

use crate::hostendpoints::{Environment, Settings};

/// The status, in stored form; `None` while the settings in force are not known.
///
/// `configuration` is the object that the settings were made of, as users see it. Only what this controller runs is
/// listed. A bad template is not in force and so not in `templates`: what is wrong with it stands in the findings (E-814).
pub fn status(
    configuration: Option<&Map<String, Value>>,
    settings: &Settings,
    environment: &Environment,
    syncs_labels: bool,
) -> Option<Value> {
    let auto = settings.auto.as_ref()?;
    let mut host_endpoint = json!({
        "autoCreate": switch(auto.is_enabled),
        "createDefaultHostEndpoint": switch(auto.has_default),
    });
    let node = configuration.and_then(|object| object.get("spec")?.get("controllers")?.get("node"));
    let written = node.and_then(|node| node.get("hostEndpoint")?.get("templates")?.as_array());
    // Of the environment's settings there are no templates, whatever is stored.
    let in_force = auto.templates.iter().zip(written.into_iter().flatten());
    let templates: Vec<&Value> = in_force.filter(|(read, _)| read.rule.is_ok()).map(|(_, written)| written).collect();
    if !templates.is_empty() {
        host_endpoint["templates"] = json!(templates);
    }
    Some(json!({
        "runningConfig": {
            "controllers": {"node": {"syncLabels": switch(syncs_labels), "hostEndpoint": host_endpoint}},
        },
        "environmentVars": environment.variables,
    }))
}

/// The object with that status; `None` when it has it.
pub fn with_status(configuration: &Map<String, Value>, status: &Value) -> Option<Map<String, Value>> {
    if configuration.get("status") == Some(status) {
        return None;
    }
    let mut configuration = configuration.clone();
    configuration.insert("status".to_owned(), status.clone());
    Some(configuration)
}

fn switch(is_on: bool) -> &'static str {
    if is_on { "Enabled" } else { "Disabled" }
}
