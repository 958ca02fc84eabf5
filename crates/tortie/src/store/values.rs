//! What configuration says of a store: files of `CalicoAPIConfig` and the environment (datastore.md section 2.9).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tortie_agent::bounded;
use tortie_api::yaml::from_yaml;
use tortie_api::{API_VERSION, nearest, with_causes};

use super::fault::{ConfigFault, Mistake};

/// Configuration files of the system, the first one that exists counts.
pub(super) const FILES: [&str; 2] = ["/etc/tortie/tortie.cfg", "/etc/calico/calicoctl.cfg"];
/// The largest file that is read, in bytes.
pub(crate) const FILE_LEN_MAX: u64 = 1 << 20;
const KIND: &str = "CalicoAPIConfig";

/// A field of the file, and its variable of the environment where it has one.
pub(super) const FIELDS: &[(&str, Option<&str>)] = &[
    ("datastoreType", Some("DATASTORE_TYPE")),
    ("embeddedPath", None),
    ("etcdEndpoints", Some("ETCD_ENDPOINTS")),
    ("etcdDiscoverySrv", Some("ETCD_DISCOVERY_SRV")),
    ("etcdUsername", Some("ETCD_USERNAME")),
    ("etcdPassword", Some("ETCD_PASSWORD")),
    ("etcdKeyFile", Some("ETCD_KEY_FILE")),
    ("etcdCertFile", Some("ETCD_CERT_FILE")),
    ("etcdCACertFile", Some("ETCD_CA_CERT_FILE")),
    ("etcdKey", None),
    ("etcdCert", None),
    ("etcdCACert", None),
    ("kubeconfig", Some("KUBECONFIG")),
    ("kubeconfigInline", None),
    ("k8sAPIEndpoint", Some("K8S_API_ENDPOINT")),
    ("k8sKeyFile", Some("K8S_KEY_FILE")),
    ("k8sCertFile", Some("K8S_CERT_FILE")),
    ("k8sCAFile", Some("K8S_CA_FILE")),
    ("k8sAPIToken", None),
    ("k8sInsecureSkipTLSVerify", Some("K8S_INSECURE_SKIP_TLS_VERIFY")),
    ("k8sCurrentContext", Some("K8S_CURRENT_CONTEXT")),
    ("k8sClientQPS", Some("K8S_CLIENT_QPS")),
    ("k8sClientBurst", Some("K8S_CLIENT_BURST")),
    ("usePodCIDR", Some("USE_POD_CIDR")),
    ("calicoAPIGroup", Some("CALICO_API_GROUP")),
];

/// The variable of the environment that gives a field its value now, if one does.
pub(super) fn variable(field: &str) -> Option<String> {
    let (_, name) = FIELDS.iter().find(|(known, _)| *known == field)?;
    let name = (*name)?;
    let is_set = |name: &String| std::env::var(name).is_ok_and(|value| !value.is_empty());
    [format!("CALICO_{name}"), name.to_owned()].into_iter().find(is_set)
}

/// Fields that have a value, by the name they have in the file. An empty text is no value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Values {
    fields: BTreeMap<&'static str, String>,
    /// Where they are from, for messages.
    pub(super) origin: String,
    /// How interfaces of workloads begin, which is a setting of agents and no field of the file.
    pub(super) interface_prefix: Option<String>,
}

impl Values {
    pub(super) fn get(&self, field: &str) -> Option<&str> {
        debug_assert!(FIELDS.iter().any(|(name, _)| *name == field), "{field} is no field");
        self.fields.get(field).map(String::as_str)
    }

    pub(super) fn set(&mut self, field: &'static str, value: impl Into<String>) {
        self.fields.insert(field, value.into());
    }

    pub(super) fn remove(&mut self, field: &str) {
        self.fields.remove(field);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The values of an environment. Each variable may carry the prefix `CALICO_`, and that one wins.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut values = Self { origin: "the environment".to_owned(), ..Self::default() };
        for (field, name) in FIELDS {
            let Some(name) = name else { continue };
            if let Some(value) = set(&format!("CALICO_{name}")).or_else(|| set(name)) {
                values.set(field, value);
            }
        }
        values
    }

    /// The values of a file.
    pub(super) fn of_file(path: &Path) -> Result<Self, ConfigFault> {
        let bytes = bounded::read_regular(path, FILE_LEN_MAX)
            .map_err(|error| ConfigFault::Unread { path: path.to_owned(), cause: with_causes(&error) })?;
        let invalid = |mistake| ConfigFault::Invalid { path: path.to_owned(), mistake };
        let text = String::from_utf8(bytes).map_err(|_| invalid(Mistake::Other("it is not UTF-8 text".to_owned())))?;
        let mut values = Self::of_text(&text).map_err(invalid)?;
        values.origin = format!("config file `{}`", path.display());
        Ok(values)
    }

    /// The values of a file's text.
    pub(super) fn of_text(text: &str) -> Result<Self, Mistake> {
        let other = |message: String| Mistake::Other(message);
        let documents = from_yaml(text).map_err(|problems| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            other(texts.join("; "))
        })?;
        let version = |found: &str| Mistake::Head(format!("unknown APIVersion '{found}'"));
        let document = match documents.as_slice() {
            [document] => document,
            [] => return Err(version("")),
            many => return Err(other(format!("it holds {} documents, expected one", many.len()))),
        };
        let object = document.as_object().ok_or_else(|| other("it is no object".to_owned()))?;
        if let Some(name) =
            object.keys().find(|name| !["apiVersion", "kind", "metadata", "spec"].contains(&name.as_str()))
        {
            return Err(Mistake::UnknownField { name: name.clone(), shown: format!("`{name}`") });
        }
        let values = Self::of_spec(object.get("spec").unwrap_or(&Value::Null))?;
        let head = |field: &str| match object.get(field) {
            None | Some(Value::Null) => Ok(""),
            Some(value) => value.as_str().ok_or_else(|| other(format!("`{field}` is not text: quote it"))),
        };
        match (head("apiVersion")?, head("kind")?) {
            (API_VERSION, KIND) => Ok(values),
            (API_VERSION, found) => Err(Mistake::Head(format!("expected kind '{KIND}', got '{found}'"))),
            (found, _) => Err(version(found)),
        }
    }

    fn of_spec(spec: &Value) -> Result<Self, Mistake> {
        let other = |message: String| Mistake::Other(message);
        let mut values = Self::default();
        let spec = match spec {
            Value::Null => return Ok(values),
            spec => spec.as_object().ok_or_else(|| other("`spec` is no object".to_owned()))?,
        };
        for (name, value) in spec {
            let Some((field, _)) = FIELDS.iter().find(|(field, _)| field == name) else {
                let near = nearest(name, FIELDS.iter().map(|(field, _)| *field));
                let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                return Err(Mistake::UnknownField { name: name.clone(), shown: format!("`spec.{name}`{near}") });
            };
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                Value::Bool(flag) if ["k8sInsecureSkipTLSVerify", "usePodCIDR"].contains(field) => flag.to_string(),
                Value::Number(number) if ["k8sClientQPS", "k8sClientBurst"].contains(field) => number.to_string(),
                _ => return Err(other(format!("`spec.{name}` is not text: quote it"))),
            };
            if !text.is_empty() {
                values.set(field, text);
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_calico_is_read_as_it_is() {
        let text = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  datastoreType: etcdv3\n  etcdEndpoints: https://a:2379,https://b:2379\n  etcdKeyFile: /k\n  k8sClientQPS: 5.5\n  k8sInsecureSkipTLSVerify: true\n";
        let values = Values::of_text(text).unwrap();
        assert_eq!(values.get("etcdEndpoints"), Some("https://a:2379,https://b:2379"));
        assert_eq!(values.get("k8sClientQPS"), Some("5.5"));
        assert_eq!(values.get("k8sInsecureSkipTLSVerify"), Some("true"));
        assert_eq!(values.get("etcdUsername"), None);
        let json =
            r#"{"apiVersion":"projectcalico.org/v3","kind":"CalicoAPIConfig","spec":{"etcdEndpoints":"http://a:1"}}"#;
        assert_eq!(Values::of_text(json).unwrap().get("etcdEndpoints"), Some("http://a:1"));
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        let head = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n";
        for (text, words) in [
            ("apiVersion: v1\nkind: CalicoAPIConfig\n".to_owned(), "invalid config file: unknown APIVersion 'v1'"),
            (
                "apiVersion: projectcalico.org/v3\nkind: Config\n".to_owned(),
                "invalid config file: expected kind 'CalicoAPIConfig', got 'Config'",
            ),
            ("kind: CalicoAPIConfig\n".to_owned(), "unknown APIVersion ''"),
            ("# nothing\n".to_owned(), "unknown APIVersion ''"),
            (
                format!("{head}spec:\n  etcdEndpoint: x\n"),
                "unknown field `spec.etcdEndpoint`, did you mean `etcdEndpoints`?",
            ),
            (format!("{head}spec:\n  etcdPassword: 0123\n"), "`spec.etcdPassword` is not text: quote it"),
            (format!("{head}other: 1\n"), "unknown field `other`"),
            ("kind: Config\napiVersion: v1\n".to_owned(), "unknown APIVersion 'v1'"),
            ("kind: Config\nspec: {x: y}\n".to_owned(), "unknown field `spec.x`"),
            ("kind: y\n".to_owned(), "`kind` is not text"),
            (format!("{head}---\n{head}"), "it holds 2 documents"),
            ("[1]".to_owned(), "no object"),
            ("a: [".to_owned(), "1:"),
        ] {
            let error = Values::of_text(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_variable_with_the_prefix_wins() {
        let variable = |name: &str| match name {
            "ETCD_ENDPOINTS" => Some("http://plain:1".to_owned()),
            "CALICO_ETCD_ENDPOINTS" => Some("http://prefixed:1".to_owned()),
            "KUBECONFIG" => Some(String::new()),
            "CALICO_API_GROUP" => Some("projectcalico.org/v3".to_owned()),
            _ => None,
        };
        let values = Values::of_environment(variable);
        assert_eq!(values.get("etcdEndpoints"), Some("http://prefixed:1"));
        assert_eq!(values.get("kubeconfig"), None, "an empty one is none");
        assert_eq!(values.get("calicoAPIGroup"), Some("projectcalico.org/v3"));
    }
}
