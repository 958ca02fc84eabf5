//! Users and roles as existing installations have them (datastore.md section 2.9).

use super::Etcd;

/// The user that may do everything.
pub const ROOT: &str = "root";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse";

/// A role, and a user of the same name that has it.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// The name.
    pub name: &'static str,
    /// Prefixes that it may read.
    pub reads: &'static [&'static str],
    /// Prefixes that it may read and write.
    pub writes: &'static [&'static str],
}

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org/";
const IPAM: &str = "/calico/ipam/v2/";

/// The roles of section 2.9.
pub const ROLES: &[Role] = &[
    Role { name: "agent", reads: &[RESOURCES], writes: &["/calico/felix/v1/", "/calico/felix/v2/"] },
    Role { name: "reader", reads: &[IPAM, RESOURCES], writes: &[] },
    Role {
        name: "editor",
        reads: &[IPAM, RESOURCES],
        writes: &[
            "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/",
            "/calico/resources/v3/projectcalico.org/globalnetworksets/",
            "/calico/resources/v3/projectcalico.org/networkpolicies/",
            "/calico/resources/v3/projectcalico.org/networksets/",
            "/calico/resources/v3/projectcalico.org/profiles/",
        ],
    },
    Role { name: "full", reads: &[], writes: &[IPAM, RESOURCES] },
    Role {
        name: "controller",
        reads: &[RESOURCES],
        writes: &[
            "/calico/resources/v3/projectcalico.org/nodes/",
            "/calico/resources/v3/projectcalico.org/hostendpoints/",
            "/calico/resources/v3/projectcalico.org/clusterinformations/",
            "/calico/resources/v3/projectcalico.org/kubecontrollersconfigurations/",
            "/calico/resources/v3/projectcalico.org/profiles/",
            "/calico/resources/v3/projectcalico.org/networkpolicies/",
        ],
    },
];

/// Makes roles and users, and from then on wants a password.
pub(super) fn set_up(etcd: &Etcd) {
    let user = |name: &str| {
        etcd.control(&["user", "add", &format!("{name}:{PASSWORD}")]);
        etcd.control(&["user", "grant-role", name, name]);
    };
    etcd.control(&["role", "add", ROOT]);
    user(ROOT);
    for role in ROLES {
        etcd.control(&["role", "add", role.name]);
        for (kind, prefixes) in [("read", role.reads), ("readwrite", role.writes)] {
            for prefix in prefixes {
                etcd.control(&["role", "grant-permission", "--prefix", role.name, kind, prefix]);
            }
        }
        user(role.name);
    }
    etcd.control(&["auth", "enable"]);
}
