//! A controller on a store across a network, and what its users see there.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tortie_testkit::sandbox::die_with_parent;

use crate::support::{Host, Process, until};

/// A controller that runs, and what it says.
pub(crate) struct Running {
    _process: Process,
    said: PathBuf,
}

impl Running {
    /// Starts one as the user of `host`.
    pub(crate) fn start(host: &Host, arguments: &[&str]) -> Self {
        let said = host.folder.path().join("said");
        let mut command = host.command(&[&["controller", "--log-level", "warn"], arguments].concat());
        die_with_parent(&mut command).stdin(Stdio::null()).stderr(File::create(&said).unwrap());
        Self { _process: Process(command.spawn().unwrap()), said }
    }

    /// The lines that it has said with this part in them.
    pub(crate) fn said(&self, part: &str) -> Vec<String> {
        let said = std::fs::read_to_string(&self.said).unwrap();
        said.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

/// An object as a user sees it.
pub(crate) fn get(host: &Host, kind: &str, name: &str) -> Option<Value> {
    let (code, out, err) = host.tortie(&["get", kind, name, "-o", "json"], "");
    match code {
        0 => Some(serde_json::from_str(&out).unwrap()),
        4 => None,
        code => panic!("get {kind} {name}: exit code {code}: {err}"),
    }
}

/// The endpoint of this name once it is as wanted.
pub(crate) fn endpoint(host: &Host, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(&format!("endpoint {name}: {what}"), || get(host, "hostendpoint", name).filter(&is_so))
}

/// Waits until there is no endpoint of this name.
pub(crate) fn until_gone(host: &Host, name: &str) {
    until(&format!("endpoint {name} is gone"), || get(host, "hostendpoint", name).is_none().then_some(()));
}

/// Waits until an endpoint has these labels and no others but the mark.
pub(crate) fn until_labels(host: &Host, name: &str, wanted: &Value) {
    let mut wanted = wanted.clone();
    wanted["projectcalico.org/created-by"] = json!("calico-kube-controllers");
    endpoint(host, name, &format!("its labels are {wanted}"), |found| found["metadata"]["labels"] == wanted);
}

/// Waits until the settings in force that the controller tells have this value.
pub(crate) fn until_told(host: &Host, pointer: &str, wanted: &str) {
    until(&format!("the status has {pointer}: {wanted}"), || {
        let configuration = get(host, "kubecontrollersconfiguration", "default")?;
        let told = configuration["status"]["runningConfig"]["controllers"]["node"].pointer(pointer);
        (told? == wanted).then_some(())
    });
}

/// Waits until a problem with this part is told.
pub(crate) fn until_problem(host: &Host, part: &str) {
    until(&format!("a problem is told: {part}"), || {
        let configuration = get(host, "kubecontrollersconfiguration", "default")?;
        let problems = configuration["metadata"]["annotations"]["tortie.dev/problems"].as_str()?;
        problems.contains(part).then_some(())
    });
}

/// A controller of `own` that runs on a store that `user` locks and unlocks; `node` makes nodes in it.
pub(crate) fn obeys_the_lock(user: &Host, own: &Host, node: impl Fn(&str)) {
    let run = |host: &Host, arguments: &[&str]| host.tortie(arguments, "");
    let succeed = |arguments: &[&str]| assert_eq!(run(user, arguments).0, 0, "{arguments:?}");
    let controller = Running::start(own, &[]);
    node("n1");
    endpoint(user, "n1-auto-hep", "it is made", |_| true);
    succeed(&["lock"]);
    until("the lock is said", || (!controller.said("must not be used now").is_empty()).then_some(()));
    node("n2");
    succeed(&["delete", "hostendpoint", "n1-auto-hep"]);
    let (code, _, err) = run(own, &["controller", "--once"]);
    assert!(code == 6 && err.contains("the store is locked"), "{code} {err}");
    for name in ["n1-auto-hep", "n2-auto-hep"] {
        assert_eq!(get(user, "hostendpoint", name), None, "nothing is written");
    }
    succeed(&["unlock"]);
    let revision = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    let unlocked = revision(&get(user, "clusterinformation", "default").unwrap());
    for name in ["n1-auto-hep", "n2-auto-hep"] {
        let made = endpoint(user, name, "it is made once the store is unlocked", |_| true);
        assert!(revision(&made) > unlocked, "{name} was made while the store was locked");
    }
}
