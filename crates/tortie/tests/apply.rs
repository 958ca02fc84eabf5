//! What `apply` adds to Calico's (cli.md section 2.4): pruning, and conflicts that show both sides.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use support::Cli;

fn policy(name: &str, label: &str, order: u32) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}, labels: {{app: {label}}}}}\n\
         spec: {{order: {order}, selector: all(), ingress: [{{action: Allow}}]}}\n"
    )
}

fn set(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkSet\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: shop}}}}\nspec: {{nets: [10.0.0.0/8]}}\n"
    )
}

fn apply(cli: &Cli, documents: &[String], arguments: &[&str]) -> (i32, String, String) {
    let run = cli.run_with(&[&["apply", "-f", "-"], arguments].concat(), &documents.join("---\n"));
    (run.code, run.out, run.err)
}

fn names(cli: &Cli) -> String {
    cli.run(&["get", "gnp,networksets", "-A", "-o", "jsonpath={.items[*].metadata.name}"]).out
}

fn filled() -> Cli {
    let cli = Cli::new();
    let all = [
        policy("a", "shop", 1),
        policy("b", "shop", 2),
        policy("other", "bank", 3),
        set("near", "ns"),
        set("gone", "ns"),
        set("far", "elsewhere"),
    ];
    assert_eq!(apply(&cli, &all, &[]).0, 0);
    cli
}

#[test]
fn what_a_selector_takes_and_the_files_do_not_hold_is_pruned() {
    let cli = filled();
    let kept = [policy("a", "shop", 1), policy("c", "shop", 5), set("near", "ns")];
    let prune = ["--prune", "-l", "app=shop", "--yes"];
    let (code, out, err) = apply(&cli, &kept, &[&prune[..], &["--dry-run", "client"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("GlobalNetworkPolicy(b) would be deleted\n"), "{out}");
    assert_eq!(names(&cli), "a b other far gone near");

    let (code, out, err) = apply(&cli, &kept, &prune);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "Successfully applied 3 resource(s) (1 created, 2 unchanged, 2 pruned)\n");
    assert_eq!(
        err.lines().filter(|line| !line.starts_with("warning")).collect::<Vec<_>>(),
        ["no longer in the files:", "  GlobalNetworkPolicy(b)", "  NetworkSet(ns/gone)"],
        "the list comes first, and policies before what they name"
    );
    assert_eq!(names(&cli), "a c other far near", "nothing of another label or namespace");
    // There is nothing left to prune.
    assert_eq!(apply(&cli, &kept, &prune).1, "Successfully applied 3 resource(s) (3 unchanged)\n");
}

#[test]
fn pruning_that_is_not_sure_deletes_nothing() {
    let cli = filled();
    let kept = [policy("a", "shop", 9)];
    for (arguments, code, part) in [
        (&["--prune", "-l", "app=shop"][..], 2, "`--yes` answers every question with yes"),
        (&["--prune", "--yes"], 2, "--selector"),
        (&["-l", "app=shop"], 2, "--prune"),
        (&["--prune", "-l", "all()", "--yes"], 2, "does not take everything"),
        (&["--prune", "-l", "app=(", "--yes"], 2, "is no selector"),
    ] {
        let (found, _, err) = apply(&cli, &kept, arguments);
        assert!(found == code && err.contains(part), "{arguments:?}: {found} {err}");
    }
    let (code, _, err) = apply(&cli, &["# nothing\n".to_owned()], &["--prune", "-l", "app=shop", "--yes"]);
    assert_ne!(code, 0, "{err}");
    // What the store refuses keeps everything as it was.
    let refused = policy("a", "shop", 9).replace("{order", "{tier: none, order");
    assert_ne!(apply(&cli, &[refused], &["--prune", "-l", "app=shop", "--yes"]).0, 0);
    assert_eq!(names(&cli), "a b other far gone near");
    assert_eq!(cli.run(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"]).out, "1");
    // A file that the selector does not take is told of.
    let (code, _, err) = apply(&cli, &[policy("other", "bank", 3)], &["--prune", "-l", "app=nobody", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("GlobalNetworkPolicy(other) is not taken by the selector"), "{err}");
}

/// Whoever was slower sees which side changed what since the version that the document was made from.
#[test]
fn a_conflict_shows_what_each_side_changed() {
    let cli = filled();
    let read = cli.run(&["get", "gnp", "a", "-o", "yaml"]).out;
    let revision = revision(&cli);
    assert_eq!(apply(&cli, &[policy("a", "shop", 7).replace("app: shop", "app: shop, zone: x")], &[]).0, 0);
    let given = read.replace("order: 1", "order: 4").replace("action: Allow", "action: Deny");
    let now = self::revision(&cli);
    let shown = format!(
        "error: update conflict: GlobalNetworkPolicy(a)\n\
         it was made from revision {revision}, and revision {now} is stored now:\n  \
         < metadata.labels.zone: nothing -> x stored\n  \
         > spec.ingress[0].action: Allow -> Deny given\n  \
         ! spec.order: 1 -> 7 stored / 4 given\n"
    );
    let dry = ["apply", "-f", "-", "--dry-run=server"];
    for arguments in [&["replace", "-f", "-"][..], &["apply", "-f", "-"], &["apply", "-f", "-", "--atomic"], &dry] {
        let run = cli.run_with(arguments, &given);
        assert_eq!(run.code, 5, "{arguments:?}: {}", run.err);
        assert!(run.err.contains(&shown), "{arguments:?}: {}", run.err);
        let help = format!("then write `resourceVersion: \"{now}\"`; or change what is stored: `tortie edit gnp a`");
        assert!(run.err.contains(&help), "{}", run.err);
    }
    assert_eq!(cli.run(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"]).out, "7");
    // With that revision it is written.
    assert_eq!(
        cli.run_with(&["apply", "-f", "-"], &given.replace(&format!("\"{revision}\""), &format!("\"{now}\""))).code,
        0
    );
}

/// Where nobody knows any more what it was made from, the two sides that are known are shown, and that this is so.
#[test]
fn a_conflict_whose_base_is_gone_shows_two_sides() {
    let cli = filled();
    let read = cli.run(&["get", "gnp", "a", "-o", "yaml"]).out;
    assert_eq!(apply(&cli, &[policy("a", "shop", 7)], &[]).0, 0);
    let strange = read.replace(&format!("\"{}\"", revision_of(&read)), "\"1\"").replace("order: 1", "order: 4");
    let run = cli.run_with(&["apply", "-f", "-"], &strange);
    assert_eq!(run.code, 5, "{}", run.err);
    assert!(run.err.contains("the version that it was made from, revision 1, is not kept any more\n"), "{}", run.err);
    assert!(run.err.contains("--- stored now\n+++ given\n"), "{}", run.err);
    assert!(run.err.contains("-  order: 7\n+  order: 4\n") && !run.err.contains("-  uid"), "{}", run.err);
}

fn revision_of(yaml: &str) -> String {
    let line = yaml.lines().find_map(|line| line.trim().strip_prefix("resourceVersion: "));
    line.unwrap().trim_matches(['\'', '"']).to_owned()
}

fn revision(cli: &Cli) -> String {
    cli.run(&["get", "gnp", "a", "-o", "jsonpath={.metadata.resourceVersion}"]).out
}

/// Everything of the real change but the change: what it would do to each object, and its exit codes.
#[test]
fn a_trial_on_the_store_tells_what_would_become_of_each_object() {
    let cli = filled();
    let before = cli.run(&["get", "gnp,networksets", "-A", "-o", "json"]).out;
    let all = [policy("a", "shop", 1), policy("b", "shop", 9), policy("c", "shop", 5)].join("---\n");
    let tried = |arguments: &[&str], code: i32, out: &str| {
        let run = cli.run_with(&[arguments, &["--dry-run=server"]].concat(), &all);
        assert_eq!((run.code, run.out.as_str()), (code, out), "{arguments:?}: {}", run.err);
        run.err
    };
    let line = |name: &str, done: &str| format!("GlobalNetworkPolicy({name}) {done} (server dry run)\n");
    let applied = [line("a", "unchanged"), line("b", "configured"), line("c", "created")].concat();
    tried(&["apply", "-f", "-"], 0, &applied);
    tried(&["apply", "-f", "-", "--atomic", "--wait=1s"], 0, &applied);
    let err = tried(&["create", "-f", "-"], 6, &line("c", "created"));
    assert!(err.contains("resource already exists: GlobalNetworkPolicy(a)"), "{err}");
    let err = tried(&["create", "-f", "-", "--atomic"], 5, "");
    assert!(err.contains("nothing was written: all 3 objects or none"), "{err}");
    let err = tried(&["replace", "-f", "-"], 6, &[line("a", "replaced"), line("b", "replaced")].concat());
    assert!(err.contains("resource does not exist: GlobalNetworkPolicy(c)"), "{err}");
    tried(&["delete", "gnp", "a", "b"], 0, &[line("a", "deleted"), line("b", "deleted")].concat());
    tried(&["delete", "gnp", "none"], 4, "");
    tried(&["patch", "gnp", "a", "-p", "spec: {order: 2}"], 0, &line("a", "patched"));
    tried(&["label", "gnp", "a", "app=shop"], 0, &line("a", "unchanged"));
    tried(&["annotate", "gnp", "b", "note=x"], 0, &line("b", "annotated"));
    assert_eq!(cli.run(&["get", "gnp,networksets", "-A", "-o", "json"]).out, before);
    let run = cli.run_with(
        &["apply", "-f", "-", "--dry-run=server"],
        &policy("a", "shop", 1).replace("{order", "{tier: x, order"),
    );
    assert_eq!(run.code, 3, "{}", run.err);
    // The client alone knows what it was given.
    let run = cli.run(&["delete", "gnp", "a", "none", "--dry-run=client"]);
    assert_eq!(run.out, "GlobalNetworkPolicy(a) would be deleted\nGlobalNetworkPolicy(none) would be deleted\n");
}

#[test]
fn what_would_be_pruned_is_tried_too() {
    let cli = filled();
    let kept = [policy("a", "shop", 1), set("near", "ns")];
    let (code, out, err) = apply(&cli, &kept, &["--prune", "-l", "app=shop", "--dry-run=server"]);
    assert_eq!(code, 0, "{err}");
    for line in ["GlobalNetworkPolicy(b) pruned (server dry run)\n", "NetworkSet(ns/gone) pruned (server dry run)\n"] {
        assert!(out.contains(line), "{out}");
    }
    assert_eq!(names(&cli), "a b other far gone near");
}

/// A trial makes no store.
#[test]
fn a_store_that_is_not_there_is_not_made_by_a_trial() {
    let cli = Cli::new();
    let (code, out, err) = apply(&cli, &[policy("a", "shop", 1)], &["--dry-run=server"]);
    assert_eq!((code, out.as_str()), (0, "GlobalNetworkPolicy(a) created (server dry run)\n"), "{err}");
    assert!(err.contains("does not exist yet: this is tried on an empty one"), "{err}");
    assert_eq!(std::fs::read_dir(cli.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_this_store_or_this_version_has_not_is_a_mistake_of_use() {
    let cli = filled();
    let (_, _, err) = apply(&cli, &[policy("a", "shop", 1)], &["--server-side"]);
    assert!(err.contains("the embedded store has no server-side apply: only a Kubernetes API server"), "{err}");
    for (arguments, part) in [
        (&["--server-side"][..], "leave `--server-side` out"),
        (&["--force-conflicts"], "--server-side"),
        (&["--field-manager", "me"], "--server-side"),
        (&["--server-side", "--dry-run=client"], "`--dry-run=server` tries it"),
        (&["--dry-run=hosts"], "`--dry-run=hosts` does not exist yet"),
        (&["--dry-run=elsewhere"], "[possible values: client, server]"),
    ] {
        let (code, out, err) = apply(&cli, &[policy("a", "shop", 9)], arguments);
        assert!(code == 2 && out.is_empty() && err.contains(part), "{arguments:?}: {code} {out}{err}");
    }
    for command in ["create", "replace", "delete"] {
        cli.fails(&[command, "-f", "-", "--dry-run=hosts"], "", 2, "does not exist yet");
    }
    cli.fails(&["patch", "gnp", "a", "-p", "{}", "--dry-run=hosts"], "", 2, "does not exist yet");
    assert_eq!(cli.run(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"]).out, "1");
}

/// However many there are, several kinds are one revision here.
#[test]
fn many_objects_are_one_revision() {
    let cli = Cli::new();
    let policies = (0..150).map(|number| policy(&format!("p{number}"), "shop", number));
    let all: Vec<String> = policies.chain((0..150).map(|number| set(&format!("s{number}"), "ns"))).collect();
    let (code, out, err) = apply(&cli, &all, &[]);
    assert_eq!((code, out.as_str()), (0, "Successfully applied 300 resource(s) (300 created)\n"), "{err}");
    assert!(!err.contains("groups") && !err.contains(['\r', '\x1b']), "no boundary, and no bar off a terminal: {err}");
    let revisions =
        cli.run(&["get", "gnp,networksets", "-A", "-o", "jsonpath={.items[*].metadata.resourceVersion}"]).out;
    let revisions: std::collections::BTreeSet<&str> = revisions.split(' ').collect();
    assert_eq!(revisions.len(), 1, "{revisions:?}");
}
