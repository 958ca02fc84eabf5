//! What `KubeControllersConfiguration` says of the settings in force (resources.md section 10).

use serde_json::{Map, Value, json};
use tortie_controller::hostendpoints::{Environment, Names, Settings};
use tortie_controller::status::{PROBLEMS, status, with_status};

use crate::support::{configuration, object};

fn stored(host_endpoint: &Value) -> Map<String, Value> {
    object(json!({
        "metadata": {"name": "default", "resourceVersion": "7"},
        "spec": {"controllers": {"node": {"hostEndpoint": host_endpoint, "leakGracePeriod": "15m0s"}}},
        "status": {},
    }))
}

fn environment(value: &str) -> Environment {
    Environment::read([("AUTO_HOST_ENDPOINTS".to_owned(), value.to_owned())]).expect("a good value")
}

fn of(host_endpoint: Value, environment: &Environment) -> Value {
    let settings = Settings::new(Some(&configuration(host_endpoint.clone())), environment, Names::Free);
    status(Some(&stored(&host_endpoint)), &settings, environment, false).expect("the settings are known")
}

#[test]
fn the_settings_in_force_are_shown_with_their_defaults() {
    let template = json!({"generateName": "t", "interfaceCIDRs": ["10.0.0.7/8"], "labels": {"a": "b"}});
    let bad = json!({"generateName": "bad", "interfacePattern": "("});
    let shown = of(json!({"autoCreate": "Enabled", "templates": [bad, template]}), &Environment::default());
    let expected = json!({
        "runningConfig": {"controllers": {"node": {
            "syncLabels": "Disabled",
            "hostEndpoint": {
                "autoCreate": "Enabled",
                "createDefaultHostEndpoint": "Enabled",
                "templates": [template],
            },
        }}},
        "environmentVars": {},
    });
    assert_eq!(shown, expected, "as they were written, without the bad one (E-814)");
}

#[test]
fn the_environment_is_shown_and_its_settings_are_e801() {
    let host_endpoint = json!({
        "autoCreate": "Disabled",
        "createDefaultHostEndpoint": "Disabled",
        "templates": [{"generateName": "t", "interfacePattern": "eth"}],
    });
    let shown = of(host_endpoint, &environment("Enabled"));
    assert_eq!(shown["environmentVars"], json!({"AUTO_HOST_ENDPOINTS": "Enabled"}));
    let expected = json!({"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled"});
    assert_eq!(shown["runningConfig"]["controllers"]["node"]["hostEndpoint"], expected);
}

#[test]
fn settings_that_are_not_known_have_no_status() {
    let settings = Settings::unreadable(&Environment::default(), Names::Free);
    assert_eq!(status(None, &settings, &Environment::default(), true), None);
    let environment = environment("disabled");
    let settings = Settings::unreadable(&environment, Names::Free);
    assert_eq!(
        status(None, &settings, &environment, true).unwrap()["runningConfig"]["controllers"]["node"]["syncLabels"],
        "Enabled"
    );
}

#[test]
fn only_another_status_is_written_and_nothing_else_changes() {
    let stored = stored(&json!({}));
    let shown = of(json!({}), &Environment::default());
    let written = with_status(&stored, &shown, &[]).unwrap();
    assert_eq!(with_status(&written, &shown, &[]), None);
    let mut back = written;
    back["status"] = json!({});
    assert_eq!(back, stored);
}

#[test]
fn problems_stand_in_an_annotation_while_there_are_some_e814() {
    let shown = of(json!({}), &Environment::default());
    let annotations = json!({"a": "b"});
    let mut stored = with_status(&stored(&json!({})), &shown, &[]).unwrap();
    stored["metadata"]["annotations"] = annotations.clone();
    let problems: Vec<String> = (0..22).map(|n| format!("problem {n}")).collect();
    let written = with_status(&stored, &shown, &problems).unwrap();
    let list = written["metadata"]["annotations"][PROBLEMS].as_str().unwrap();
    let list: Vec<String> = serde_json::from_str(list).unwrap();
    assert_eq!((list.len(), list[20].as_str()), (21, "and 2 more"));
    assert_eq!(with_status(&written, &shown, &problems), None);
    assert_eq!(with_status(&written, &shown, &[]).unwrap(), stored, "mended");
}
