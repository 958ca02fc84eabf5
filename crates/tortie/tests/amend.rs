//! `patch`, `label`, `annotate` and `edit` (cli.md section 2.3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::{Cli, Run};

const OBJECTS: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web, labels: {role: web}, annotations: {note: first}}
spec:
  order: 10
  selector: role == 'web'
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [80]}}
  - {action: Deny}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: db, labels: {role: db}}
spec: {selector: role == 'db', ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: s, namespace: ns}
spec: {nets: [10.0.0.0/8]}
";

fn filled() -> Cli {
    let cli = Cli::new();
    cli.ok(&["apply", "-f", "-"], OBJECTS);
    cli
}

fn object(cli: &Cli, arguments: &[&str]) -> Value {
    serde_json::from_str(&cli.ok(&[&["get"], arguments, &["-o", "json"]].concat(), "").out).unwrap()
}

/// The labels of a policy, without the one that says its tier.
fn labels(cli: &Cli, name: &str) -> Value {
    let mut labels = object(cli, &["gnp", name])["metadata"]["labels"].clone();
    labels.as_object_mut().unwrap().remove("projectcalico.org/tier");
    labels
}

fn revision(cli: &Cli) -> String {
    object(cli, &["gnp", "web"])["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[test]
fn a_patch_of_each_type_does_what_its_standard_says() {
    let cli = filled();
    let patch = |kind: &str, text: &str| cli.ok(&["patch", "gnp", "web", "--type", kind, "-p", text], "").out;
    assert_eq!(
        patch("strategic", r#"{"spec": {"order": 20}, "metadata": {"labels": {"zone": "a"}}}"#),
        "Successfully patched 1 'GlobalNetworkPolicy' resource(s) (1 configured)\n"
    );
    assert_eq!(object(&cli, &["gnp", "web"])["spec"]["order"], 20);
    assert_eq!(labels(&cli, "web"), json!({"role": "web", "zone": "a"}));
    // As YAML; `null` removes, and lists are replaced.
    patch("merge", "spec: {order: null, ingress: [{action: Deny}]}");
    let web = object(&cli, &["gnp", "web"]);
    assert_eq!(web["spec"].get("order"), None);
    assert_eq!(web["spec"]["ingress"], json!([{"action": "Deny"}]));
    let operations = r#"[
        {"op": "test", "path": "/metadata/labels/role", "value": "web"},
        {"op": "add", "path": "/spec/ingress/0", "value": {"action": "Log"}},
        {"op": "replace", "path": "/spec/selector", "value": "all()"}
    ]"#;
    let file = cli.file("operations.json", operations);
    cli.ok(&["patch", "gnp/web", "--type", "json", "--patch-file", &file], "");
    let web = object(&cli, &["gnp", "web"]);
    assert_eq!((&web["spec"]["ingress"][0]["action"], &web["spec"]["selector"]), (&json!("Log"), &json!("all()")));
    // Nothing is written that is there already.
    let before = revision(&cli);
    assert!(patch("merge", r#"{"spec": {"selector": "all()"}}"#).contains("(1 unchanged)"));
    assert_eq!(revision(&cli), before);
    cli.ok(&["patch", "networksets", "s", "-n", "ns", "-p", r#"{"spec": {"nets": ["10.0.0.1"]}}"#], "");
}

#[test]
fn a_patch_that_cannot_be_made_changes_nothing() {
    let cli = filled();
    let before = revision(&cli);
    let fails = |arguments: &[&str], code: i32, part: &str| {
        cli.fails(&[&["patch", "gnp", "web"], arguments].concat(), "", code, part);
        assert_eq!(revision(&cli), before, "{arguments:?}");
    };
    fails(&["-p", r#"{"spec": {"order": "x"}}"#], 3, "spec.order");
    fails(&["-p", r#"{"spec": {"sellector": "all()"}}"#], 3, "did you mean `selector`?");
    fails(&["-p", "[1]"], 3, "a JSON patch needs `--type json`");
    fails(&["-p", "{"], 3, "the patch is no JSON or YAML");
    fails(&["-p", "7"], 3, "a patch is an object");
    fails(&["-p", r#"{"metadata": {"name": "other"}}"#], 3, "cannot be changed");
    fails(&["-p", r#"{"metadata": {"resourceVersion": "1"}}"#], 5, "update conflict");
    fails(&["--type", "json", "-p", "{}"], 3, "a JSON patch is a list of operations");
    fails(&["--type", "json", "-p", r#"[{"op": "jump"}]"#], 3, "no JSON patch (RFC 6902)");
    let test = r#"[{"op": "test", "path": "/spec/order", "value": 11}]"#;
    fails(&["--type", "json", "-p", test], 3, "GlobalNetworkPolicy(web) cannot be patched");
    fails(&[], 2, "no patch is given");
    fails(&["--type", "odd", "-p", "{}"], 2, "invalid value 'odd'");
    cli.fails(&["patch", "gnp", "none", "-p", "{}"], "", 4, "GlobalNetworkPolicy(none)");
    cli.fails(&["patch", "gnp", "-p", "{}"], "", 2, "which GlobalNetworkPolicy is meant?");
    // One of two that would be wrong keeps both as they are.
    cli.fails(&["patch", "gnp", "--all", "-p", r#"{"spec": {"order": "x"}}"#], "", 3, "GlobalNetworkPolicy(db)");
    let said = cli.ok(&["patch", "gnp", "web", "--dry-run", "client", "-p", r#"{"spec": {"order": 1}}"#], "").out;
    assert_eq!((said.as_str(), revision(&cli)), ("GlobalNetworkPolicy(web) would be patched\n", before));
}

#[test]
fn labels_and_annotations_are_set_and_removed() {
    let cli = filled();
    let said = cli.ok(&["label", "gnp", "web", "db", "zone=a", "tier=front"], "").out;
    assert_eq!(said, "Successfully labelled 2 'GlobalNetworkPolicy' resource(s) (2 configured)\n");
    let labels = |name: &str| labels(&cli, name);
    assert_eq!(labels("web"), json!({"role": "web", "zone": "a", "tier": "front"}));
    assert_eq!(labels("db"), json!({"role": "db", "zone": "a", "tier": "front"}));

    cli.fails(&["label", "gnp", "web", "db", "x=1", "role=web"], "", 5, "label `role` of GlobalNetworkPolicy(db) is");
    assert_eq!(labels("web").get("x"), None, "all of them or none");
    cli.ok(&["label", "gnp", "db", "role=web", "--overwrite"], "");
    cli.ok(&["label", "gnp", "-l", "role=web", "zone-"], "");
    assert_eq!((labels("web").get("zone"), labels("db").get("zone")), (None, None));
    let run = cli.ok(&["label", "gnp/web", "none-"], "");
    assert!(run.out.contains("(1 unchanged)") && run.err.contains("has no label `none`"), "{}{}", run.out, run.err);

    cli.ok(&["annotate", "gnp", "--all", "owner=the team=a", "note-"], "");
    assert_eq!(object(&cli, &["gnp", "web"])["metadata"]["annotations"], json!({"owner": "the team=a"}));
    cli.fails(&["label", "gnp", "web", "a b=c"], "", 3, "a b");
    cli.fails(&["label", "gnp", "web", "a=b c"], "", 3, "b c");
    cli.fails(&["label", "gnp", "web"], "", 2, "no label is given");
    cli.fails(&["label", "gnp", "web", "a=b", "db"], "", 2, "`db` is no label");
    cli.fails(&["label", "a=b"], "", 2, "no object is named");
    cli.fails(&["annotate", "gnp", "none", "a=b"], "", 4, "GlobalNetworkPolicy(none)");
}

/// A program in place of an editor.
fn editor(cli: &Cli, script: &str) -> String {
    let path = cli.folder.path().join("editor.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn edit(cli: &Cli, script: &str, arguments: &[&str]) -> Run {
    let editor = editor(cli, script);
    let folder = cli.folder.path().display().to_string();
    cli.run_in(&[&["edit"], arguments].concat(), &[("TORTIE_EDITOR", &editor), ("TMPDIR", &folder)])
}

fn kept(cli: &Cli) -> Vec<String> {
    let files = std::fs::read_dir(cli.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("tortie-edit-"));
    kept.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn what_an_editor_leaves_is_compared_and_written() {
    let cli = filled();
    let run = edit(&cli, "sed -i 's/order: 10/order: 11/' \"$1\"", &["gnp", "web", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.out, "Successfully edited 1 'GlobalNetworkPolicy' resource(s) (1 configured)\n");
    assert!(run.err.contains("-  order: 10\n+  order: 11\n"), "{}", run.err);
    assert_eq!(object(&cli, &["gnp", "web"])["spec"]["order"], 11);
    // Two at once.
    let run = edit(&cli, "sed -i 's/Allow/Deny/' \"$1\"", &["gnp/web", "gnp/db", "--yes"]);
    assert!(run.out.contains("2 configured"), "{}{}", run.out, run.err);
    assert_eq!(kept(&cli), [""; 0]);
}

#[test]
fn an_edit_that_is_not_wanted_writes_nothing() {
    let cli = filled();
    let before = revision(&cli);
    for (script, code, part) in [
        (":", 0, "nothing was changed"),
        (": > \"$1\"", 0, "nothing is left of the text"),
        ("exit 3", 1, "ended with exit status: 3"),
    ] {
        let run = edit(&cli, script, &["gnp", "web", "--yes"]);
        assert_eq!(run.code, code, "{script}: {}", run.err);
        assert!(run.err.contains(part), "{script}: {}", run.err);
        assert_eq!(kept(&cli), [""; 0], "{script}");
    }
    cli.fails(&["edit", "gnp"], "", 2, "which GlobalNetworkPolicy is to be edited?");
    cli.fails(&["edit", "gnp", "none"], "", 4, "GlobalNetworkPolicy(none)");
    assert_eq!(revision(&cli), before);
}

/// What was typed is never lost.
#[test]
fn an_edit_that_cannot_be_written_is_kept() {
    let cli = filled();
    // Mistakes come back as remarks; the same text again gives up.
    let run = edit(&cli, "sed -i 's/order: .*/order: x/' \"$1\"", &["gnp", "web", "--yes"]);
    assert_eq!(run.code, 3, "{}", run.err);
    let [text] = &kept(&cli)[..] else { panic!("one text is kept") };
    assert!(text.contains("# This is not right yet:\n# spec.order: ") && text.contains("\n  order: x\n"), "{text}");

    let cli = filled();
    // A second look at the remarks mends it.
    let mends = "if grep -q 'not right yet' \"$1\"; then sed -i 's/order: x/order: 12/' \"$1\"; \
                 else sed -i 's/order: .*/order: x/' \"$1\"; fi";
    let run = edit(&cli, mends, &["gnp", "web", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(object(&cli, &["gnp", "web"])["spec"]["order"], 12);

    // Somebody else is faster.
    let faster = format!(
        "{} patch gnp web -p '{{\"spec\": {{\"order\": 5}}}}' && sed -i 's/order: 12/order: 13/' \"$1\"",
        env!("CARGO_BIN_EXE_tortie")
    );
    let run = edit(&cli, &faster, &["gnp", "web", "--yes"]);
    assert_eq!(run.code, 5, "{}", run.err);
    assert!(run.err.contains("was changed meanwhile:") && run.err.contains("+  order: 5\n"), "{}", run.err);
    assert!(kept(&cli)[0].contains("order: 13"));
    assert_eq!(object(&cli, &["gnp", "web"])["spec"]["order"], 5);

    // Nobody can be asked.
    let cli = filled();
    let run = edit(&cli, "sed -i 's/order: 10/order: 11/' \"$1\"", &["gnp", "web"]);
    assert_eq!(run.code, 2, "{}", run.err);
    assert!(run.err.contains("`--yes` answers every question with yes"), "{}", run.err);
    assert_eq!(kept(&cli).len(), 1);

    let cli = filled();
    let run = edit(&cli, "sed -i 's/name: web/name: other/' \"$1\"", &["gnp", "web", "--yes"]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.contains("was not to be edited"), "{}", run.err);
}
