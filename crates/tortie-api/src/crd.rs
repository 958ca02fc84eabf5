//! Tortie's kinds as definitions for a Kubernetes API server, and the admission policies beside them (datastore.md
//! section 3.7), made from the tables of [`crate::schema`].
//!
//! An API server with them refuses what schemas and expressions can tell; the rest of resources.md is up to whoever writes
//! (section 12 there), and an agent trusts nothing it reads. Nothing here speaks to a server.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::Kind;

mod admission;
mod definition;
mod structural;
mod text;

/// Which of the two API groups objects are stored in (datastore.md section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// `projectcalico.org/v3`: objects as users write them.
    Native,
    /// `crd.projectcalico.org/v1`: metadata folded into an annotation.
    Classic,
}

impl Group {
    /// Both groups.
    pub const ALL: [Group; 2] = [Group::Native, Group::Classic];

    /// The name of the API group.
    pub fn name(self) -> &'static str {
        match self {
            Group::Native => "projectcalico.org",
            Group::Classic => "crd.projectcalico.org",
        }
    }

    /// Its one version.
    pub fn version(self) -> &'static str {
        match self {
            Group::Native => "v3",
            Group::Classic => "v1",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.version())
    }
}

/// A text that names no group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no API group of Calico's resources; write `projectcalico.org/v3` or `crd.projectcalico.org/v1`")]
pub struct UnknownGroup(pub String);

/// Reads the values of the setting `calicoAPIGroup` (section 2.9).
impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_meant = |group: &Group| group.to_string() == text;
        Group::ALL.into_iter().find(is_meant).ok_or_else(|| UnknownGroup(text.to_owned()))
    }
}

/// One object to apply to an API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The kind of the object, for instance `CustomResourceDefinition`.
    pub kind: &'static str,
    /// Its name; it has no namespace.
    pub name: String,
    /// The whole object.
    pub object: Value,
}

/// Everything that is installed for a group, in the order in which to create it: definitions, then admission policies
/// (native group only), each before its binding.
pub fn definitions(group: Group) -> Vec<Definition> {
    let mut all: Vec<Definition> =
        Kind::all().filter(|kind| is_defined(*kind)).map(|kind| definition::definition(group, kind)).collect();
    if group == Group::Native {
        all.extend(admission::policies());
    }
    all
}

/// Whether a kind has a definition: the others are derived from Kubernetes' own objects (datastore.md section 3.4).
pub fn is_defined(kind: Kind) -> bool {
    !matches!(kind, Kind::Profile | Kind::Node | Kind::WorkloadEndpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_the_setting_names_them() {
        for group in [Group::Native, Group::Classic] {
            assert_eq!(group.to_string().parse(), Ok(group));
        }
        assert!("projectcalico.org".parse::<Group>().is_err());
    }

    /// `kubectl apply` without `--server-side` keeps the object in an annotation, and Kubernetes allows 256 KiB of those.
    #[test]
    fn definitions_fit_in_an_annotation() {
        for definition in Group::ALL.into_iter().flat_map(definitions) {
            let len = definition.object.to_string().len();
            assert!(len < 128 << 10, "{} {}: {len} bytes", definition.kind, definition.name);
        }
    }

    #[test]
    fn every_member_of_a_schema_is_described() {
        fn check(path: &str, schema: &Value) {
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                let is_everywhere = path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str());
                assert!(is_everywhere || member["description"].is_string(), "{path}.{name}");
                check(&format!("{path}.{name}"), member);
                check(&format!("{path}.{name}"), &member["items"]);
            }
        }
        for definition in definitions(Group::Native).iter().filter(|d| d.kind == "CustomResourceDefinition") {
            let schema = &definition.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            assert!(schema["description"].is_string(), "{}", definition.name);
            check("", schema);
        }
    }
}
