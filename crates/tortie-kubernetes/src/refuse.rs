//! What this store never does (datastore.md section 3.4, resources.md section 5, D-2).

use tortie_api::{Kind, ResourceKey, is_name};
use tortie_datastore::resources::Mode;

/// Why a change is not possible with Kubernetes.
pub(crate) fn refuses(mode: Mode, key: &ResourceKey) -> Option<&'static str> {
    match key.kind {
        Kind::Profile => Some("profiles come from namespaces and service accounts; change their labels with kubectl"),
        Kind::WorkloadEndpoint => Some("workload endpoints are pods; change them with kubectl"),
        Kind::Node if mode == Mode::Create || mode == Mode::Delete => {
            Some("nodes are made and removed by Kubernetes itself")
        }
        Kind::HostEndpoint if mode != Mode::Delete && !is_name(&key.name) => Some(
            "Kubernetes takes lower-case letters, digits, `-` and `.` only, each part beginning and ending with a letter \
             or digit; choose such a name",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_endpoints_need_names_that_kubernetes_takes() {
        let refused = |name: &str, mode| refuses(mode, &ResourceKey::global(Kind::HostEndpoint, name)).is_some();
        for name in ["web", "web-0.eth0", "0"] {
            assert!(!refused(name, Mode::Create), "{name}");
        }
        for name in ["Web", "web_0", "web..a", "-web", "web-", "", &"a".repeat(254)] {
            assert!(refused(name, Mode::Apply), "{name}");
            assert!(!refused(name, Mode::Delete), "{name}: what cannot exist is not found");
        }
    }

    #[test]
    fn what_kubernetes_makes_is_not_ours_to_make() {
        let refused = |kind, mode| refuses(mode, &ResourceKey::global(kind, "a")).is_some();
        for mode in [Mode::Create, Mode::Replace, Mode::Apply, Mode::Delete] {
            assert!(refused(Kind::Profile, mode) && refused(Kind::WorkloadEndpoint, mode));
            assert_eq!(refused(Kind::Node, mode), mode == Mode::Create || mode == Mode::Delete);
            assert!(!refused(Kind::Tier, mode));
        }
    }
}
