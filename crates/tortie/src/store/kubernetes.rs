//! From what configuration says to how a cluster is reached (datastore.md sections 2.9 and 3.6).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tortie_kubernetes::Settings;

use super::values::Values;
use crate::exit::{Code, Failure};

/// The variable that names the namespace of leases, where agents report and controllers elect a leader.
const NAMESPACE_VARIABLE: &str = "TORTIE_LEASE_NAMESPACE";

/// The settings in these values; `timeout` is what the user allows for a request.
pub(super) fn settings(values: &Values, timeout: Option<Duration>) -> Result<Settings, Failure> {
    let text = |field: &str| values.get(field).map(str::to_owned);
    let file = |field: &str| values.get(field).map(PathBuf::from);
    let defaults = Settings::default();
    let timeout = timeout.unwrap_or(defaults.request_timeout);
    Ok(Settings {
        kubeconfig: text("kubeconfig"),
        kubeconfig_inline: text("kubeconfigInline"),
        context: text("k8sCurrentContext"),
        api_endpoint: text("k8sAPIEndpoint"),
        token: text("k8sAPIToken"),
        cert_file: file("k8sCertFile"),
        key_file: file("k8sKeyFile"),
        ca_file: file("k8sCAFile"),
        insecure_skip_tls_verify: flag(values, "k8sInsecureSkipTLSVerify")?,
        qps: parsed(values, "k8sClientQPS", "a number of requests for each second")?,
        burst: parsed(values, "k8sClientBurst", "a number of requests")?,
        api_group: parsed(values, "calicoAPIGroup", "projectcalico.org/v3 or crd.projectcalico.org/v1")?,
        namespace: std::env::var(NAMESPACE_VARIABLE).ok().filter(|namespace| !namespace.is_empty()),
        interface_prefix: values.interface_prefix.clone().unwrap_or(defaults.interface_prefix),
        connect_timeout: defaults.connect_timeout.min(timeout),
        request_timeout: timeout,
        ..defaults
    })
}

/// As Go reads booleans.
fn flag(values: &Values, field: &'static str) -> Result<bool, Failure> {
    match values.get(field) {
        None | Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(false),
        Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true),
        Some(other) => Err(wrong(values, field, other, "true or false")),
    }
}

fn parsed<T: FromStr>(values: &Values, field: &'static str, expected: &str) -> Result<Option<T>, Failure> {
    values.get(field).map(|text| text.parse().map_err(|_| wrong(values, field, text, expected))).transpose()
}

fn wrong(values: &Values, field: &str, found: &str, expected: &str) -> Failure {
    Failure::new(Code::Invalid, format!("{}: {field} is `{found}`, expected {expected}", values.origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(fields: &[(&'static str, &str)]) -> Result<Settings, Failure> {
        let mut values = Values::of_environment(|_| None);
        fields.iter().for_each(|(field, value)| values.set(field, *value));
        settings(&values, Some(Duration::from_secs(3)))
    }

    #[test]
    fn all_that_a_cluster_needs_is_taken() {
        let settings = settings_of(&[
            ("kubeconfig", "/a:/b"),
            ("k8sCurrentContext", "c"),
            ("k8sCAFile", "/ca"),
            ("k8sInsecureSkipTLSVerify", "true"),
            ("k8sClientQPS", "2.5"),
            ("calicoAPIGroup", "crd.projectcalico.org/v1"),
        ])
        .unwrap();
        assert_eq!((settings.kubeconfig.as_deref(), settings.context.as_deref()), (Some("/a:/b"), Some("c")));
        assert_eq!((settings.ca_file, settings.insecure_skip_tls_verify), (Some(PathBuf::from("/ca")), true));
        assert_eq!((settings.qps, settings.burst), (Some(2.5), None));
        assert!(settings.api_group.is_some());
        assert_eq!(
            (settings.connect_timeout, settings.request_timeout),
            (Duration::from_secs(3), Duration::from_secs(3))
        );
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (field, value) in [
            ("k8sInsecureSkipTLSVerify", "maybe"),
            ("k8sClientQPS", "many"),
            ("k8sClientBurst", "-1"),
            ("calicoAPIGroup", "example.org/v1"),
        ] {
            let failure = settings_of(&[(field, value)]).unwrap_err();
            assert_eq!(failure.code, Code::Invalid);
            assert!(
                failure.messages[0].contains(field) && failure.messages[0].contains(value),
                "{:?}",
                failure.messages
            );
        }
    }
}
