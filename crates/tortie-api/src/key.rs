//! The name of one resource: kind, namespace and name.

use std::fmt;

use crate::Kind;

/// Which object is meant. Ordered by kind, then namespace, then name, each by bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` exactly for kinds of cluster scope.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ResourceKey {
    /// The key of an object of cluster scope.
    pub fn global(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, namespace: None, name: name.into() }
    }

    /// The key of the object that says what the store is called, and whether agents may follow it (datastore.md section 2.8).
    pub fn cluster_information() -> Self {
        Self::global(Kind::ClusterInformation, "default")
    }

    /// The key of an object in a namespace.
    pub fn namespaced(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: Some(namespace.into()), name: name.into() }
    }
}

/// `Kind(name)` or `Kind(namespace/name)`, the form of error texts (datastore.md section 1.1).
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}({namespace}/{})", self.kind, self.name),
            None => write!(f, "{}({})", self.kind, self.name),
        }
    }
}
