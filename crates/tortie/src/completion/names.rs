//! Names that stand in the store which the line names, and in the kubeconfig.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tortie_agent::bounded;
use tortie_api::Kind;
use tortie_api::yaml::from_yaml;
use tortie_datastore::{Access, Resources};

use super::cache;
use super::line::Line;
use crate::args::Global;
use crate::store;

/// How long a store may take to answer; who types waits for no more.
const PATIENCE: Duration = Duration::from_secs(1);
/// How the profiles of Kubernetes namespaces are called.
const OF_NAMESPACE: &str = "kns.";
/// The largest kubeconfig that is read, in bytes.
const KUBECONFIG_LEN_MAX: u64 = 1 << 20;

/// The names of a kind's objects, in the namespace that the line means.
pub(super) fn of_kind(line: &Line, kind: Kind) -> Vec<String> {
    let Some(global) = line.global() else { return Vec::new() };
    let namespace = global.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let scope = (kind.is_namespaced() && !line.is_set("all_namespaces")).then_some(namespace);
    let about = format!("{} {}", kind.plural(), scope.as_deref().unwrap_or_default());
    cached(global, &about, move |resources| {
        let (objects, _) = resources.list(kind, scope.as_deref()).ok()?;
        Some(objects.iter().filter_map(|object| text(object.value.get("metadata")?, "name")).collect())
    })
}

/// The namespaces of which the store knows: those of its objects, and those of a cluster.
pub(super) fn namespaces(line: &Line) -> Vec<String> {
    let Some(global) = line.global() else { return Vec::new() };
    cached(global, "namespaces", |resources| {
        let mut found = BTreeSet::from(["default".to_owned()]);
        for kind in Kind::all().filter(|kind| kind.is_namespaced() || *kind == Kind::Profile) {
            // Whoever may not see one kind may see others.
            let Ok((objects, _)) = resources.list(kind, None) else { continue };
            let metadata = objects.iter().filter_map(|object| object.value.get("metadata"));
            if kind == Kind::Profile {
                let names = metadata.filter_map(|metadata| text(metadata, "name"));
                found.extend(names.filter_map(|name| name.strip_prefix(OF_NAMESPACE).map(str::to_owned)));
            } else {
                found.extend(metadata.filter_map(|metadata| text(metadata, "namespace")));
            }
        }
        Some(found.into_iter().collect())
    })
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

/// What `read` finds in the store, or what it found a moment ago.
fn cached<F>(mut global: Global, about: &str, read: F) -> Vec<String>
where
    F: FnOnce(&Resources<'_>) -> Option<Vec<String>> + Send + 'static,
{
    global.timeout = Some(global.timeout.map_or(PATIENCE, |timeout| timeout.min(PATIENCE)));
    let Ok(store) = store::identity(&global) else { return Vec::new() };
    let key = cache::Key::new(store, about);
    if let Some(names) = key.known() {
        return names;
    }
    let (sender, receiver) = mpsc::channel();
    // It ends with the program, whatever the store does.
    std::thread::spawn(move || {
        let names = store::open(&global, Access::Read).ok().and_then(|store| read(&Resources::new(&*store)));
        // Nobody takes what comes too late.
        let _ = sender.send(names);
    });
    let Ok(Some(names)) = receiver.recv_timeout(PATIENCE) else { return Vec::new() };
    key.keep(&names);
    names
}

/// The contexts of the kubeconfig in use.
pub(super) fn contexts(line: &Line) -> Vec<String> {
    let Some(global) = line.global() else { return Vec::new() };
    let texts = match store::kubeconfig(&global) {
        store::Kubeconfig::Text(text) => vec![text],
        store::Kubeconfig::Files(files) => files.into_iter().filter_map(read).collect(),
    };
    texts.iter().flat_map(|text| contexts_of(text)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn read(file: PathBuf) -> Option<String> {
    String::from_utf8(bounded::read_regular(&file, KUBECONFIG_LEN_MAX).ok()?).ok()
}

fn contexts_of(kubeconfig: &str) -> Vec<String> {
    let documents = from_yaml(kubeconfig).unwrap_or_default();
    let lists = documents.iter().filter_map(|document| document.get("contexts")?.as_array());
    lists.flatten().filter_map(|context| text(context, "name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_those_of_the_kubeconfig() {
        let text =
            "apiVersion: v1\nkind: Config\ncontexts:\n- name: one\n  context: {cluster: a}\n- {name: two}\n- 7\n";
        assert_eq!(contexts_of(text), ["one", "two"]);
        assert!(contexts_of("contexts: 7").is_empty() && contexts_of("{").is_empty());
    }
}
