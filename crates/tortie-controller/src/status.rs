//! `status` of `KubeControllersConfiguration`: the settings in force (resources.md section 10).

use serde_json::{Map, Value, json};

use crate::hostendpoints::{Environment, Settings};

/// The annotation in which the controller tells what it cannot do: a JSON list of sentences (E-814).
pub const PROBLEMS: &str = "tortie.dev/problems";
/// Problems that are shown there; the log has all of them.
const PROBLEMS_MAX: usize = 20;

/// The status, in stored form; `None` while the settings in force are not known.
///
/// `configuration` is the object that the settings were made of, as users see it. Only what this controller runs is
/// listed. A bad template is not in force and so not in `templates`: what is wrong with it stands in [`PROBLEMS`] (E-814).
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

/// The object with that status, and with the problems as an annotation; `None` when it is so already.
pub fn with_status(
    configuration: &Map<String, Value>,
    status: &Value,
    problems: &[String],
) -> Option<Map<String, Value>> {
    let mut wanted = configuration.clone();
    wanted.insert("status".to_owned(), status.clone());
    let metadata = wanted.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        annotate(metadata, problems);
    }
    (wanted != *configuration).then_some(wanted)
}

/// The status of other stores has no place for more than its two members, so problems stand in an annotation.
fn annotate(metadata: &mut Map<String, Value>, problems: &[String]) {
    let Some(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut() else { return };
    annotations.remove(PROBLEMS);
    if !problems.is_empty() {
        let mut shown: Vec<String> = problems.iter().take(PROBLEMS_MAX).cloned().collect();
        if problems.len() > PROBLEMS_MAX {
            shown.push(format!("and {} more", problems.len() - PROBLEMS_MAX));
        }
        annotations.insert(PROBLEMS.to_owned(), json!(json!(shown).to_string()));
    }
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

fn switch(is_on: bool) -> &'static str {
    if is_on { "Enabled" } else { "Disabled" }
}
