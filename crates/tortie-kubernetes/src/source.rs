//! Where the objects of a kind lie on the server: collections, their paths, and how their objects are ours.

use std::fmt;

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::keys;
use tortie_datastore::store::{Item, Raw};

use crate::fold::unfold;
use crate::group::Group;
use crate::mapped::{node, pod, profile};

/// One collection of the server that is read and watched by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Custom resources of a kind.
    Resources(Kind),
    /// Nodes.
    Nodes,
    /// Namespaces, which are profiles.
    Namespaces,
    /// Service accounts, which are profiles too.
    Accounts,
    /// Pods, which are workload endpoints.
    Pods,
}

/// What the server calls an object of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Id {
    /// That of an object as the server tells it.
    pub(crate) fn of(object: &Value) -> Option<Id> {
        let member = |name: &str| object["metadata"][name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Id { namespace: member("namespace"), name: member("name")? })
    }
}

impl Source {
    /// The collections of a kind.
    pub(crate) fn of(kind: Kind) -> &'static [Source] {
        macro_rules! resources {
            ($($kind:ident)*) => {
                match kind {
                    $(Kind::$kind => &[Source::Resources(Kind::$kind)],)*
                    Kind::Node => &[Source::Nodes],
                    Kind::Profile => &[Source::Namespaces, Source::Accounts],
                    Kind::WorkloadEndpoint => &[Source::Pods],
                }
            };
        }
        resources!(HostEndpoint GlobalNetworkPolicy NetworkPolicy StagedGlobalNetworkPolicy StagedNetworkPolicy
            StagedKubernetesNetworkPolicy Tier GlobalNetworkSet NetworkSet FelixConfiguration
            KubeControllersConfiguration ClusterInformation)
    }

    /// The kind that its objects are.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Source::Resources(kind) => kind,
            Source::Nodes => Kind::Node,
            Source::Namespaces | Source::Accounts => Kind::Profile,
            Source::Pods => Kind::WorkloadEndpoint,
        }
    }

    /// Whether it is known by a definition, which can be missing.
    pub(crate) fn is_defined(self) -> bool {
        matches!(self, Source::Resources(_))
    }

    /// Whether an agent can do its work without it (datastore.md sections 3.6 and 4).
    pub(crate) fn is_optional(self) -> bool {
        matches!(
            self,
            Source::Namespaces | Source::Accounts | Source::Pods | Source::Resources(Kind::StagedGlobalNetworkPolicy)
        )
    }

    fn plural(self) -> &'static str {
        match self {
            Source::Resources(kind) => kind.plural(),
            Source::Nodes => "nodes",
            Source::Namespaces => "namespaces",
            Source::Accounts => "serviceaccounts",
            Source::Pods => "pods",
        }
    }

    /// Plural and group, as rights and definitions name it.
    pub(crate) fn resource(self, group: Group) -> String {
        match self {
            Source::Resources(kind) => format!("{}.{}", kind.plural(), group.name()),
            _ => self.plural().to_owned(),
        }
    }

    /// The path of the collection, of one namespace if given.
    pub(crate) fn path(self, group: Group, namespace: Option<&str>) -> String {
        let root = match self {
            Source::Resources(_) => format!("/apis/{group}"),
            _ => "/api/v1".to_owned(),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{}", segment(namespace), self.plural()),
            None => format!("{root}/{}", self.plural()),
        }
    }

    /// The path of one object.
    pub(crate) fn object_path(self, group: Group, id: &Id) -> String {
        format!("{}/{}", self.path(group, id.namespace.as_deref()), segment(&id.name))
    }

    /// Where the object of a key lies; `None` where no object can have it.
    pub(crate) fn find(key: &ResourceKey) -> Option<(Source, Id)> {
        let global = |name: &str| Id { namespace: None, name: name.to_owned() };
        match key.kind {
            Kind::Node => Some((Source::Nodes, global(&key.name))),
            Kind::Profile => match key.name.strip_prefix(profile::NAMESPACE_PREFIX) {
                Some(name) => Some((Source::Namespaces, global(name))),
                None => {
                    let (namespace, name) = key.name.strip_prefix(profile::ACCOUNT_PREFIX)?.split_once('.')?;
                    let id = Id { namespace: Some(namespace.to_owned()), name: name.to_owned() };
                    Some((Source::Accounts, id))
                }
            },
            Kind::WorkloadEndpoint => {
                let id = Id { namespace: key.namespace.clone(), name: pod::pod_of(&key.name)? };
                Some((Source::Pods, id))
            }
            kind => Some((Source::Resources(kind), Id { namespace: key.namespace.clone(), name: key.name.clone() })),
        }
        .filter(|(_, id)| !id.name.is_empty())
    }

    /// The object of the server as ours, if it is one, and as it is.
    pub(crate) fn item(self, group: Group, interface_prefix: &str, raw: Value) -> Option<Item> {
        let Ours { at, revision, value } = self.object(group, interface_prefix, raw.clone())?;
        Some(Item { at, revision, value, raw: Raw::Json(raw) })
    }

    /// The object of the server as ours, if it is one; interfaces of pods have this prefix.
    pub(crate) fn object(self, group: Group, interface_prefix: &str, raw: Value) -> Option<Ours> {
        let id = Id::of(&raw)?;
        let own = raw["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let (value, revision) = match self {
            Source::Resources(kind) => {
                let at = ResourceKey { kind, namespace: id.namespace, name: id.name };
                let value = resource(group, &at, raw, &own);
                return Some(Ours { at, revision: own, value });
            }
            Source::Nodes => (node::node(&raw), own),
            Source::Namespaces => (profile::of_namespace(&raw), format!("{own}/")),
            Source::Accounts => (profile::of_account(&raw), format!("/{own}")),
            Source::Pods => (pod::endpoint(&raw, interface_prefix)?, own),
        };
        let kind = self.kind();
        let member = |name: &str| value["metadata"].get(name).and_then(Value::as_str).map(str::to_owned);
        let namespace = if kind.is_namespaced() { member("namespace") } else { None };
        let at = ResourceKey { kind, namespace, name: member("name")? };
        let value = completed(kind, value, &revision);
        Some(Ours { at, revision, value })
    }
}

/// An object as users see it.
pub(crate) struct Ours {
    pub(crate) at: ResourceKey,
    pub(crate) revision: String,
    /// Why it is none of ours.
    pub(crate) value: Result<Map<String, Value>, String>,
}

/// A custom resource as users see it.
fn resource(group: Group, at: &ResourceKey, raw: Value, revision: &str) -> Result<Map<String, Value>, String> {
    let Value::Object(mut object) = raw else { return Err("it is no object".to_owned()) };
    if group == Group::Classic {
        let tier = object.get("spec").and_then(|spec| spec.get("tier")).and_then(Value::as_str).unwrap_or_default();
        let own = object.get("metadata").and_then(Value::as_object).ok_or("`metadata` is no object")?;
        let metadata = unfold(at, own, tier)?;
        object.insert("metadata".to_owned(), Value::Object(metadata));
    }
    completed(at.kind, object, revision)
}

fn completed(kind: Kind, mut object: Map<String, Value>, revision: &str) -> Result<Map<String, Value>, String> {
    keys::complete(kind, &mut object, revision)?;
    Ok(object)
}

/// One part of a path, whatever a user wrote as a name.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_lie_where_the_server_has_them() {
        let check = |key: ResourceKey, path: &str| {
            let (source, id) = Source::find(&key).unwrap();
            assert_eq!(source.object_path(Group::Classic, &id), path);
            assert!(Source::of(key.kind).contains(&source));
        };
        check(ResourceKey::global(Kind::HostEndpoint, "a"), "/apis/crd.projectcalico.org/v1/hostendpoints/a");
        let policy = ResourceKey::namespaced(Kind::NetworkPolicy, "ns", "a/../b");
        check(policy, "/apis/crd.projectcalico.org/v1/namespaces/ns/networkpolicies/a%2F..%2Fb");
        check(ResourceKey::global(Kind::Node, "n1"), "/api/v1/nodes/n1");
        check(ResourceKey::global(Kind::Profile, "kns.shop"), "/api/v1/namespaces/shop");
        check(ResourceKey::global(Kind::Profile, "ksa.shop.a.b"), "/api/v1/namespaces/shop/serviceaccounts/a.b");
        let endpoint = ResourceKey::namespaced(Kind::WorkloadEndpoint, "shop", "node--1-k8s-web--0-eth0");
        check(endpoint, "/api/v1/namespaces/shop/pods/web-0");
        for name in ["other", "kns.", "ksa.shop"] {
            assert_eq!(Source::find(&ResourceKey::global(Kind::Profile, name)), None, "{name}");
        }
    }

    #[test]
    fn native_objects_are_as_their_users_wrote_them() {
        let raw = json!({"metadata": {"name": "default.web", "resourceVersion": "7", "uid": "u"},
            "spec": {"selector": "all()"}});
        let item = Source::Resources(Kind::GlobalNetworkPolicy).item(Group::Native, "cali", raw).unwrap();
        let value = item.value.unwrap();
        assert_eq!(value["metadata"]["name"], "default.web", "no prefix is stripped");
        assert_eq!(value["metadata"]["uid"], "u");
        assert_eq!(value["metadata"]["labels"], json!({"projectcalico.org/tier": "default"}));
        assert_eq!((value["apiVersion"].as_str(), value.get("types")), (Some("projectcalico.org/v3"), None));
        assert_eq!(item.revision, "7");
    }

    #[test]
    fn profiles_have_two_revisions_in_one() {
        let raw = json!({"metadata": {"name": "shop", "namespace": "x", "resourceVersion": "7"}});
        assert_eq!(Source::Namespaces.item(Group::Native, "cali", raw.clone()).unwrap().revision, "7/");
        let account = Source::Accounts.item(Group::Native, "cali", raw).unwrap();
        assert_eq!((account.revision.as_str(), account.at.to_string().as_str()), ("/7", "Profile(ksa.x.shop)"));
        assert_eq!(account.value.unwrap()["metadata"]["resourceVersion"], "/7");
    }

    #[test]
    fn an_object_that_cannot_be_unfolded_says_why() {
        let raw = json!({"metadata": {"name": "a", "annotations": {"projectcalico.org/metadata": "{"}}});
        let item = Source::Resources(Kind::HostEndpoint).item(Group::Classic, "cali", raw).unwrap();
        assert!(item.value.unwrap_err().contains("projectcalico.org/metadata"));
    }
}
