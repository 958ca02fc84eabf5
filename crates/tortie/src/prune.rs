//! `apply --prune`: what a selector takes and the files do not hold is deleted (cli.md section 2.4).

use std::collections::BTreeSet;

use tortie_api::defaults::is_fixed_tier;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::Change;
use tortie_datastore::{Resources, Store};

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::store::resource_failure;
use crate::{ask, select, write};

/// Kinds that others make and look after.
const KEPT: [Kind; 5] =
    [Kind::Node, Kind::WorkloadEndpoint, Kind::Profile, Kind::ClusterInformation, Kind::KubeControllersConfiguration];

/// The deletions that make the files all of what the selector takes. Namespaced objects count in the namespaces of the files
/// and of `-n`.
pub(crate) fn deletions(
    global: &Global,
    store: &dyn Store,
    selector: &str,
    given: &[Change],
    is_rehearsal: bool,
) -> Result<Vec<Change>, Failure> {
    let selector = select::parse(selector)?;
    if selector.is_all() {
        return Err(Failure::new(Code::Usage, "`--prune` needs a selector that does not take everything"));
    }
    if given.is_empty() {
        return Err(Failure::new(
            Code::Invalid,
            "without any object in the files `--prune` would delete all that `-l` takes",
        )
        .with_hint("are the files the right ones? `tortie delete` deletes what it names"));
    }
    for change in given.iter().filter(|change| !select::takes(&selector, &change.value) && !global.quiet) {
        eprintln!("warning: {} is not taken by the selector: a later `--prune` will not find it", change.key);
    }
    let resources = Resources::new(store);
    let keys: BTreeSet<&ResourceKey> = given.iter().map(|change| &change.key).collect();
    let own: BTreeSet<&str> =
        keys.iter().filter_map(|key| key.namespace.as_deref()).chain(global.namespace.as_deref()).collect();
    let mut superfluous = Vec::new();
    for kind in Kind::all().filter(|kind| !KEPT.contains(kind)) {
        let scopes: Vec<Option<&str>> =
            if kind.is_namespaced() { own.iter().copied().map(Some).collect() } else { vec![None] };
        for scope in scopes {
            let (objects, _) = resources.list(kind, scope).map_err(|error| resource_failure(&error))?;
            // Fixed tiers are always there, and so are as good as given.
            let is_kept = |key: &ResourceKey| keys.contains(key) || kind == Kind::Tier && is_fixed_tier(&key.name);
            for object in objects {
                if !is_kept(&object.key) && select::takes(&selector, &object.value) {
                    // What somebody changes meanwhile is not deleted.
                    let revision = object.value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                    superfluous.push((object.key, revision));
                }
            }
        }
    }
    let deletions = write::deletions(superfluous);
    if deletions.is_empty() {
        return Ok(deletions);
    }
    eprintln!("no longer in the files:");
    deletions.iter().for_each(|change| eprintln!("  {}", change.key));
    if !is_rehearsal && !ask::agrees(global, &format!("Delete {}?", deletions.len()))? {
        return Err(Failure::new(Code::General, "nothing was written"));
    }
    Ok(deletions)
}
