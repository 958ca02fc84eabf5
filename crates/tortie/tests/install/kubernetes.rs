//! `tortie install kubernetes` against a real API server.

use std::process::Command;

use serde_json::{Value, json};
use tortie_testkit::apiserver::{ApiServer, User};

use crate::tortie;

fn get(server: &ApiServer, what: &[&str]) -> Value {
    let arguments = [&["get", "-o", "json"], what].concat();
    serde_json::from_str(&server.kubectl_ok(&arguments, "")).unwrap()
}

/// Kind, name and generation of each object: the server counts changes of what is wanted.
fn generations(server: &ApiServer, manifests: &str) -> Vec<[Value; 3]> {
    let list: Value = serde_json::from_str(&server.kubectl_ok(&["get", "-o", "json", "-f", "-"], manifests)).unwrap();
    let items = list["items"].as_array().unwrap();
    let found = items
        .iter()
        .map(|item| [&item["kind"], &item["metadata"]["name"], &item["metadata"]["generation"]].map(Value::clone));
    found.collect()
}

/// A pod as the controllers of a cluster would make it of a template: the server checks its priority, account and limits.
fn takes_the_pod(server: &ApiServer, of: &Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "probe", "namespace": of["metadata"]["namespace"]}, "spec": of["spec"]["template"]["spec"],
    });
    server.kubectl_ok(&["create", "--dry-run=server", "-f", "-"], &pod.to_string());
}

#[test]
fn the_manifests_are_taken_twice_and_change_nothing_the_second_time() {
    let server = ApiServer::shared();
    let manifests = tortie(&["install", "kubernetes", "--image", "registry.example/tortie:7"]);
    let first = server.kubectl_ok(&["apply", "-f", "-"], &manifests);
    for made in ["namespace/tortie-system", "daemonset.apps/tortie-agent", "deployment.apps/tortie-controller"] {
        assert!(first.contains(&format!("{made} created")), "{first}");
    }
    assert_eq!(first.lines().filter(|line| line.starts_with("customresourcedefinition")).count(), 12, "{first}");
    let before = generations(server, &manifests);
    let second = server.kubectl_ok(&["apply", "-f", "-"], &manifests);
    assert_eq!(first.lines().count(), second.lines().count());
    // kubectl sends a patch where a server fills defaults into lists, as in admission policies; it changes nothing.
    for line in second.lines() {
        assert!(
            line.ends_with(" unchanged") || line.contains("admissionpolicy") && line.ends_with(" configured"),
            "{line}"
        );
    }
    assert_eq!(generations(server, &manifests), before);

    let agent = get(server, &["-n", "tortie-system", "daemonset", "tortie-agent"]);
    let spec = &agent["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    assert_eq!(container["image"], "registry.example/tortie:7");
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]), "on every node");
    let context = &container["securityContext"];
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}));
    assert_eq!(context["readOnlyRootFilesystem"], true);
    takes_the_pod(server, &agent);
    let controller = get(server, &["-n", "tortie-system", "deployment", "tortie-controller"]);
    assert_eq!(controller["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/tortie:7");
    takes_the_pod(server, &controller);
    initialises(server, &controller["spec"]["template"]["spec"]["initContainers"][0]["command"]);
}

/// The first thing that a pod of the controller does, with the rights of the manifests, as often as there are pods.
fn initialises(server: &ApiServer, command: &Value) {
    let role =
        ["create", "clusterrolebinding", "controller-user", "--clusterrole=tortie-controller", "--user=controller"];
    server.kubectl_ok(&role, "");
    let words: Vec<&str> = command.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words[0], "/usr/bin/tortie");
    for _ in 0..2 {
        let output = Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(&words[1..])
            .env("TORTIE_STORE", "kubernetes")
            .env("KUBECONFIG", server.kubeconfig(User::Controller))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(get(server, &["clusterinformation", "default"])["spec"]["datastoreReady"], true);
    assert!(get(server, &["tier", "default"])["spec"]["order"].is_number());
}

#[test]
fn another_namespace_is_everywhere_and_definitions_can_be_left_out() {
    let server = ApiServer::shared();
    let manifests = tortie(&["install", "kubernetes", "-n", "1", "--no-crds"]);
    assert!(!manifests.contains("CustomResourceDefinition") && !manifests.contains(": tortie-system"), "{manifests}");
    let printed = server.kubectl_ok(
        &["apply", "--dry-run=server", "-o", "name", "-f", "-"],
        &manifests.replace(
            // Nothing can be tried in a namespace that is only tried.
            ": \"1\"",
            ": default",
        ),
    );
    assert!(printed.contains("daemonset.apps/tortie-agent"), "{printed}");
    for (arguments, hint) in [(["-n", "A_"], "no name of a namespace"), (["--image", "a b"], "no name of an image")] {
        let output = Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(["install", "kubernetes"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(hint));
    }
}

#[test]
fn the_definitions_of_the_older_group_are_printed_on_demand() {
    let classic = tortie(&["install", "kubernetes", "--group", "crd.projectcalico.org"]);
    let definitions = tortie(&["datastore", "crds", "--group", "crd.projectcalico.org"]);
    assert!(classic.starts_with(&definitions) && classic.len() > definitions.len());
}
