//! Labels of Kubernetes nodes on Calico's nodes, where the two lie in separate stores (E-813).

use serde_json::json;
use tortie_api::model::Labels;

/// The annotation of a Calico node in which the labels that came from Kubernetes are remembered, as a JSON object.
///
/// Name and form are those of Calico's controllers, so that either takes over from the other.
pub const KUBE_LABELS: &str = "projectcalico.org/kube-labels";

/// What a Calico node is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// All its labels.
    pub labels: Labels,
    /// All its annotations, the memory among them.
    pub annotations: Labels,
}

/// A memory that cannot be read. Which labels came from Kubernetes is not known then, so none is touched.
#[derive(Debug, thiserror::Error)]
#[error("annotation {KUBE_LABELS} is no JSON object of texts: remove it, and labels are synced as for the first time")]
pub struct MemoryError(#[source] serde_json::Error);

/// Labels and annotations that a Calico node is to have; `None` when it has them.
///
/// Kubernetes wins where both have a label, labels that only Calico has stay, and those that came from Kubernetes before
/// and are gone there go.
///
/// # Errors
/// [`MemoryError`].
pub fn sync_labels(kubernetes: &Labels, labels: &Labels, annotations: &Labels) -> Result<Option<Synced>, MemoryError> {
    let memory: Option<Labels> = match annotations.get(KUBE_LABELS) {
        // Calico's controller writes `null` where a node has no label.
        Some(text) => serde_json::from_str(text).map_err(MemoryError)?,
        None => None,
    };
    let memory = memory.unwrap_or_default();
    let mut wanted = labels.clone();
    wanted.retain(|key, _| !memory.contains_key(key) || kubernetes.contains_key(key));
    wanted.extend(kubernetes.clone());
    // Calico's controller writes the memory only together with a label. A label that both had by chance would then be
    // forgotten, and stay for ever, so the memory counts by itself here.
    if wanted == *labels && memory == *kubernetes && annotations.contains_key(KUBE_LABELS) {
        return Ok(None);
    }
    let mut annotations = annotations.clone();
    annotations.insert(KUBE_LABELS.to_owned(), json!(kubernetes).to_string());
    Ok(Some(Synced { labels: wanted, annotations }))
}
