//! What this store never does (datastore.md section 3.4, resources.md section 5, D-2).

use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::Mode;

/// Longest name of an object, in bytes.
const NAME_LEN_MAX: usize = 253;

/// Why a change is not possible with Kubernetes.
pub(crate) fn refuses(mode: Mode, key: &ResourceKey) -> Option<&'static str> {
    match key.kind {
        Kind::Profile => Some("profiles come from namespaces and service accounts; change their labels with kubectl"),
        Kind::WorkloadEndpoint => Some("workload endpoints are pods; change them with kubectl"),
        Kind::Node if mode == Mode::Create || mode == Mode::Delete => {
            Some("nodes are made and removed by Kubernetes itself")
        }
        Kind::HostEndpoint if mode != Mode::Delete && !is_subdomain(&key.name) => Some(
            "Kubernetes takes lower-case letters, digits, `-` and `.` only, each part beginning and ending with a letter \
             or digit; choose such a name",
        ),
        _ => None,
    }
}

/// Whether a name is a DNS-1123 subdomain.
pub(crate) fn is_subdomain(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(|byte| *byte == b'-' || is_end(Some(byte)))
    };
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_part)
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
